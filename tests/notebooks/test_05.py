"""Notebook 05, statistics and plots: the mean, its intervals, and what the scores go with."""

import numpy as np
import pytest
import scipy.stats
from notebook_runs import EMBEDDED, assert_exercises, run, verdicts

pytestmark = pytest.mark.notebook
NUMBERS = ("05.1", "05.2", "05.3", "05.4")
MEAN = ("mean_aupimo", "ci_low", "ci_high", "both_low", "both_high")
NORMAL = ("without.tolist()", "without.index.tolist()", "weights[0]", "redrawn[0].mean()", "float(np.median(both))")
ENDS = ("low.sum()", "near.sum()", "high.sum()", "(scores == 0).sum()", "(scores == 1).sum()")
TYPES = ("summary['mean'].to_dict()", "explained")
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
    names = (*MEAN, *NORMAL, *ENDS, *TYPES, *CORRELATIONS, verdicts(*NUMBERS))
    return run("05", {"DATASET": dataset}, names, max_gb=3)


def test_describes_the_scores(values, second_path, dataset):
    scores = second_path(dataset).scores()
    scores = scores[~np.isnan(scores)]
    assert values["mean_aupimo"] == pytest.approx(scores.mean(), abs=1e-9)
    # With this many images the bootstrap and the normal approximation must nearly agree.
    half = 1.96 * scores.std(ddof=1) / np.sqrt(scores.size)
    assert values["ci_low"] == pytest.approx(scores.mean() - half, abs=0.3 * half)
    assert values["ci_high"] == pytest.approx(scores.mean() + half, abs=0.3 * half)


def test_says_how_much_the_normal_images_matter(values, second_path, dataset):
    second = second_path(dataset)
    maps, without = second.maps[~second.anomalous], np.array(values["without.tolist()"])
    assert values["without.index.tolist()"] == [second.paths[i] for i in np.flatnonzero(~second.anomalous)]
    for i in {0, int(np.abs(without - values["mean_aupimo"]).argmax())}:
        rest = np.sort(np.delete(maps, i, axis=0).ravel())
        assert without[i] == pytest.approx(np.nanmean(second.scores(normal=rest)), abs=1e-6)
    drawn = np.sort(np.repeat(maps, values["weights[0]"], axis=0).ravel())
    assert values["redrawn[0].mean()"] == pytest.approx(np.nanmean(second.scores(normal=drawn)), abs=1e-6)


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


def test_exercises(values):
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_the_leather_is_as_the_text_says(values, dataset):
    if dataset != "synthetic/leather":
        return
    assert [values[name] for name in MEAN] == pytest.approx([0.743, 0.67, 0.82, 0.67, 0.82], abs=0.01)
    without = dict(zip(values["without.index.tolist()"], values["without.tolist()"], strict=True))
    assert max(without, key=without.get) == "synthetic/leather/test/good/016.png"
    assert (min(without.values()), max(without.values())) == pytest.approx((0.743, 0.754), abs=0.002)
    assert [values[name] for name in ENDS] == pytest.approx([12, 10, 53, 7, 26], abs=2)
    means, explained = (values[name] for name in TYPES)
    assert (min(means, key=means.get), max(means, key=means.get)) == ("color", "cut")
    assert (means["color"], means["cut"]) == pytest.approx((0.63, 0.82), abs=0.01)
    assert explained < (5 - 1) / (90 - 1)
    _, by_area, by_severity = (values[name] for name in CORRELATIONS)
    assert (by_severity[0], min(by_severity[1:])) == pytest.approx((0.84, 0.77), abs=0.02)
    assert (by_area[0], min(by_area[1:]), max(by_area[1:])) == pytest.approx((-0.22, -0.42, 0.22), abs=0.03)


def test_the_mean_of_own_pictures(own):
    values = own.run("05", MEAN)
    assert values["mean_aupimo"] == pytest.approx(own.mean, abs=1e-6)
    assert values["ci_low"] <= own.mean <= values["ci_high"]
