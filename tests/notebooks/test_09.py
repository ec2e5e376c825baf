"""Notebook 09, comparing models: scores, tests and ranks against a second path."""

import numpy as np
import pytest
import scipy.stats
from notebook_runs import run

from aupimo_helpers.model import PadimSettings

pytestmark = pytest.mark.notebook


@pytest.fixture(scope="module")
def leather(second_path):
    return second_path()


@pytest.fixture(scope="module")
def values():
    return run("09", variables=("scores", "comparison", "pairs", "many"), max_gb=3)


def test_scores_are_those_of_a_second_path(values, leather, second_path):
    deeper = second_path("synthetic/leather", PadimSettings(layers=("layer2",)))
    for name, expected in (("layer1", leather.scores()), ("layer2", deeper.scores())):
        np.testing.assert_allclose(values["scores"][name], expected[leather.anomalous], atol=1e-6)


def test_the_pair_by_hand(values, leather):
    found = values["comparison"]
    a, b = (np.array(values["scores"][name]) for name in ("layer1", "layer2"))
    difference, number = a - b, leather.anomalous.sum()
    assert found["num_images"] == number
    assert found["mean_difference"] == pytest.approx(difference.mean())
    error = difference.std(ddof=1) / np.sqrt(number)
    assert found["ttest_p"] == pytest.approx(2 * scipy.stats.t.sf(abs(difference.mean() / error), number - 1))
    # The BCa interval is near that of the normal distribution, and leans to the longer tail.
    assert found["ci_low"] == pytest.approx(difference.mean() - 1.96 * error, abs=error)
    assert found["ci_high"] == pytest.approx(difference.mean() + 1.96 * error, abs=error)
    steps = np.round(1000 * a) - np.round(1000 * b)
    assert [found[name] for name in ("wins", "ties", "losses")] == [
        (np.sign(steps) == sign).sum() for sign in (1, 0, -1)
    ]
    # Signed ranks, ties split evenly, normal approximation with the correction for tied ranks.
    ranks = scipy.stats.rankdata(abs(steps))
    positive = ranks[steps > 0].sum() + ranks[steps == 0].sum() / 2
    _, tied = np.unique(ranks, return_counts=True)
    variance = (number * (number + 1) * (2 * number + 1) - (tied**3 - tied).sum() / 2) / 24
    z = abs(positive - number * (number + 1) / 4) / np.sqrt(variance)
    assert np.log(found["wilcoxon_p"]) == pytest.approx(np.log(2 * scipy.stats.norm.sf(z)), rel=0.02)


def test_ranks_by_hand(values):
    names = list(values["scores"])
    steps = np.round(1000 * np.array([values["scores"][name] for name in names]))
    by_hand = scipy.stats.rankdata(-steps, axis=0).mean(axis=1)
    for name, rank in zip(names, by_hand, strict=True):
        assert np.mean(values["many"]["ranks"][name]) == pytest.approx(rank)
    assert len(values["pairs"]["a"]) == len(names) * (len(names) - 1) / 2


def test_own_pictures(own):
    own.run("09")
