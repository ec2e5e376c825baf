"""What notebooks 03, 04 and 05 show beside their main numbers: the curves, the agreement, the correlations."""

import numpy as np
import pytest
import scipy.stats


def area_under(fpr, recall, end):
    """Area of a curve from 0 to ``end``, as a share of the largest possible; ``fpr`` falls."""
    x, y = np.array(fpr)[::-1], np.array(recall)[::-1]
    inside = x < end
    x = np.concatenate([[0.0], x[inside], [end]])
    y = np.concatenate([[0.0], y[inside], [np.interp(end, np.array(fpr)[::-1], np.array(recall)[::-1])]])
    return ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() / end


def test_03_draws_the_curves_whose_areas_it_prints(run_notebook, second_path):
    curves = ("fpr.tolist()", "roc_recall.tolist()", "pro_recall.tolist()")
    zone = "[float(end) for end in zone]"
    values = run_notebook("03", {}, (*curves, zone, "pixel_auroc", "pixel_aupro"))
    fpr, roc, pro = (values[name] for name in curves)
    assert area_under(fpr, roc, 1.0) == pytest.approx(values["pixel_auroc"], abs=2e-3)
    assert area_under(fpr, pro, 0.3) == pytest.approx(values["pixel_aupro"], abs=2e-3)
    second = second_path("synthetic/leather")
    normal = np.sort(second.maps[~second.anomalous].ravel())
    for end, level in zip(values[zone], (1e-5, 1e-4), strict=True):
        threshold = normal[-round(level * normal.size)]
        assert end == pytest.approx((second.maps[~second.masks] >= threshold).mean(), rel=0.02)


def test_04_agrees_with_anomalib_and_picks_the_extremes(run_notebook, second_path):
    names = ("float(difference)", "picked['aupimo'].tolist()", "len(few)")
    values = run_notebook("04", {}, names)
    scores = second_path("synthetic/leather").scores()
    assert values["len(few)"] >= 5
    assert values["float(difference)"] < 1e-3
    expected = [np.nanmax(scores), np.nanmedian(scores), np.nanmin(scores)]
    assert values["picked['aupimo'].tolist()"] == pytest.approx(expected, abs=0.02)


def test_05_correlates_scores_with_areas(run_notebook, second_path):
    names = ("correlations.index.tolist()", "correlations['mask_area'].tolist()", "correlations['severity'].tolist()")
    values = run_notebook("05", {}, names)
    second = second_path("synthetic/leather")
    defects = np.array([path.split("/")[-2] for path in second.paths])
    # Rounded, because logarithms put some perfect scores 1e-16 below 1, and ranks would tell them apart.
    scores, areas = second.scores().round(9), second.masks.sum(axis=(1, 2))
    for name, found in zip(values[names[0]], values[names[1]], strict=True):
        chosen = second.anomalous & ((defects == name) | (name == "all images"))
        ranks = scipy.stats.rankdata(scores[chosen]), scipy.stats.rankdata(areas[chosen])
        assert found == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)
    # Severity is what the embedded defects' visibility is made from.
    assert values[names[2]][0] > 0.5
