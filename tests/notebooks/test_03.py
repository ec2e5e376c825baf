"""Notebook 03, average AUPIMO: three metrics of the same maps, and the curves whose areas they are."""

import numpy as np
import pytest
import scipy.stats
from notebook_runs import run

pytestmark = pytest.mark.notebook
AVERAGES = ("average_anomalib", "average_exact", "pixel_auroc", "pixel_aupro")
CURVES = ("fpr.tolist()", "roc_recall.tolist()", "pro_recall.tolist()")
ZONE = "[float(end) for end in zone]"


@pytest.fixture(scope="module")
def leather():
    return run("03", {}, (*AVERAGES, *CURVES, ZONE))


@pytest.fixture(scope="module")
def brick():
    """With other bounds than the notebook's own."""
    return run("03", {"DATASET": "photos/brick", "FPR_BOUNDS": [1e-4, 1e-3]}, AVERAGES)


def pixel_auroc(maps, masks):
    """The chance that a defective pixel outscores a normal one, ties counted half."""
    labels = masks.ravel()
    ranks = scipy.stats.rankdata(maps.ravel())
    positive = int(labels.sum())
    return (ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (labels.size - positive))


def area_under(fpr, recall, end):
    """Area of a curve from 0 to ``end``, as a share of the largest possible; ``fpr`` falls."""
    x, y = np.array(fpr)[::-1], np.array(recall)[::-1]
    inside = x < end
    x = np.concatenate([[0.0], x[inside], [end]])
    y = np.concatenate([[0.0], y[inside], [np.interp(end, np.array(fpr)[::-1], np.array(recall)[::-1])]])
    return ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() / end


@pytest.mark.parametrize(
    ("name", "dataset", "bounds"),
    [("leather", "synthetic/leather", (1e-5, 1e-4)), ("brick", "photos/brick", (1e-4, 1e-3))],
)
def test_averages(request, second_path, name, dataset, bounds):
    values = request.getfixturevalue(name)
    second = second_path(dataset)
    mean = np.nanmean(second.scores(*bounds))
    assert values["average_exact"] == pytest.approx(mean, abs=1e-6)
    assert values["average_anomalib"] == pytest.approx(mean, abs=1e-3)  # its grid of thresholds
    assert values["pixel_auroc"] == pytest.approx(pixel_auroc(second.maps, second.masks), abs=1e-4)
    assert mean < values["pixel_aupro"] <= 1


def test_averages_of_own_pictures(own):
    values = own.run("03", ("average_anomalib", "average_exact"))
    assert values["average_exact"] == pytest.approx(own.mean, abs=1e-6)
    # anomalib's grid of thresholds: few normal pixels make its error larger than on the course's data.
    assert values["average_anomalib"] == pytest.approx(own.mean, abs=0.02)


def test_draws_the_curves_whose_areas_it_prints(leather, second_path):
    fpr, roc, pro = (leather[name] for name in CURVES)
    assert area_under(fpr, roc, 1.0) == pytest.approx(leather["pixel_auroc"], abs=2e-3)
    assert area_under(fpr, pro, 0.3) == pytest.approx(leather["pixel_aupro"], abs=2e-3)
    second = second_path()
    for end, level in zip(leather[ZONE], (1e-5, 1e-4), strict=True):
        threshold = second.normal[-round(level * second.normal.size)]
        assert end == pytest.approx((second.maps[~second.masks] >= threshold).mean(), rel=0.02)
