"""Notebook 00, the quick start: anomalib's own way to the average and to the scores, against the second path."""

import numpy as np
import pytest
from notebook_runs import EMBEDDED, assert_exercises, run, verdicts

pytestmark = pytest.mark.notebook
NUMBERS = ("00.1", "00.2")
NAMES = ("float(result['AUPIMO'])", "scores", "is_normal", "counts.tolist()", verdicts(*NUMBERS))


@pytest.fixture(scope="module", params=EMBEDDED[:1])  # it trains without the cache
def dataset(request):
    return request.param


@pytest.fixture(scope="module")
def values(dataset):
    return run("00", {"DATASET": dataset}, NAMES, max_gb=4)


def test_the_scores_are_those_of_the_course(values, second_path, dataset):
    second = second_path(dataset)
    scores = second.scores()
    assert values["float(result['AUPIMO'])"] == pytest.approx(np.nanmean(scores), abs=1e-6)
    assert sorted(values["scores"]) == pytest.approx(np.sort(scores[second.anomalous]), abs=1e-5)
    assert sum(values["is_normal"]) == (~second.anomalous).sum()
    assert sum(values["counts.tolist()"]) == second.anomalous.sum()


def test_exercises(values):
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_the_leather_is_as_the_text_says(values, dataset):
    if dataset != "synthetic/leather":
        return
    scores = np.array(values["scores"])
    assert values["float(result['AUPIMO'])"] == pytest.approx(0.743, abs=0.001)
    assert (len(scores), sum(values["is_normal"])) == (90, 32)
    ends = (scores < 0.1).sum(), (scores >= 0.9).sum(), (abs(scores - scores.mean()) <= 0.1).sum()
    assert ends == pytest.approx((12, 53, 10), abs=1)


def test_own_pictures(own):
    values = own.run("00", ("float(result['AUPIMO'])", verdicts(*NUMBERS)))
    assert values["float(result['AUPIMO'])"] == pytest.approx(own.mean, abs=1e-6)
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
