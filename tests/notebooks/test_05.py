"""Notebook 05, statistics and plots: the mean, its interval, and what the scores go with."""

import numpy as np
import pytest
import scipy.stats
from notebook_runs import EMBEDDED, run

pytestmark = pytest.mark.notebook
MEAN = ("mean_aupimo", "ci_low", "ci_high")
CORRELATIONS = (
    "correlations.index.tolist()",
    "correlations['mask_area'].tolist()",
    "correlations['severity'].tolist()",
)


@pytest.fixture(scope="module", params=EMBEDDED)
def dataset(request):
    return request.param


@pytest.fixture(scope="module")
def values(dataset):
    return run("05", {"DATASET": dataset}, (*MEAN, *CORRELATIONS))


def test_describes_the_scores(values, second_path, dataset):
    scores = second_path(dataset).scores()
    scores = scores[~np.isnan(scores)]
    assert values["mean_aupimo"] == pytest.approx(scores.mean(), abs=1e-9)
    # With this many images the bootstrap and the normal approximation must nearly agree.
    half = 1.96 * scores.std(ddof=1) / np.sqrt(scores.size)
    assert values["ci_low"] == pytest.approx(scores.mean() - half, abs=0.3 * half)
    assert values["ci_high"] == pytest.approx(scores.mean() + half, abs=0.3 * half)


def test_correlates_scores_with_areas(values, second_path, dataset):
    second = second_path(dataset)
    # Rounded, because logarithms put some perfect scores 1e-16 below 1, and ranks would tell them apart.
    scores, areas = second.scores().round(9), second.masks.sum(axis=(1, 2))
    names, by_area, by_severity = (values[name] for name in CORRELATIONS)
    for name, found in zip(names, by_area, strict=True):
        chosen = second.anomalous & ((second.defects == name) | (name == "all images"))
        ranks = scipy.stats.rankdata(scores[chosen]), scipy.stats.rankdata(areas[chosen])
        assert found == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)
    # Severity is what the embedded defects' visibility is made from.
    assert by_severity[0] > 0.5


def test_the_mean_of_own_pictures(own):
    values = own.run("05", MEAN)
    assert values["mean_aupimo"] == pytest.approx(own.mean, abs=1e-6)
    assert values["ci_low"] <= own.mean <= values["ci_high"]
