"""PIMO curves and operating points against the definition."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aupimo_helpers.metrics import curves as curves_module
from aupimo_helpers.metrics import pimo_curves, recall_at_fpr, threshold_at_fpr

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@SETTINGS
@given(st.data(), st.integers(2, 20))
def test_every_point_of_a_curve_is_exact(definition, tied_sets, data, num_points):
    maps, masks, fpr_range = data.draw(tied_sets())
    curves = pimo_curves(maps, masks, fpr_range, num_points)
    assert len(curves.thresholds) <= num_points
    assert (torch.diff(curves.thresholds) > 0).all()
    assert (torch.diff(curves.shared_fpr) < 0).all()
    for point, threshold in enumerate(curves.thresholds.tolist()):
        fpr = definition.brute_force_fpr(maps, masks, threshold)
        assert float(curves.shared_fpr[point]) == pytest.approx(float(fpr), abs=1e-12)
        for index, (image, mask) in enumerate(zip(maps, masks, strict=True)):
            tpr = float(curves.per_image_tprs[index, point])
            if mask.any():
                assert tpr == pytest.approx(float(definition.brute_force_tpr(image, mask, threshold)), abs=1e-12)
            else:
                assert math.isnan(tpr)


def test_a_curve_covers_the_range_with_log_spaced_points(test_set):
    maps, masks = test_set(size=256)
    curves = pimo_curves(maps, masks)
    assert 200 < len(curves.thresholds) <= 300
    assert float(curves.shared_fpr[0]) == 1.0
    assert float(curves.shared_fpr[-1]) == 1 / (8 * 256 * 256)
    gaps = -torch.diff(curves.shared_fpr[curves.shared_fpr > 1e-3].log())
    assert gaps.max() < 1.1 * math.log(1e6) / 299


def test_a_curve_of_many_pixels_takes_high_fprs_from_a_sample(test_set, monkeypatch):

    maps, masks = test_set(size=256)
    monkeypatch.setattr(curves_module, "_SORTED_AT_MOST", 1000)
    curves = pimo_curves(maps, masks)
    assert 200 < len(curves.thresholds) <= 300
    for point in range(0, len(curves.thresholds), 10):
        threshold = float(curves.thresholds[point])
        assert float(curves.shared_fpr[point]) == float((maps[:8].double() >= threshold).sum()) / (8 * 256 * 256)
        assert float(curves.per_image_tprs[12, point]) == float((maps[12][masks[12]] >= threshold).double().mean())
    ragged = [maps[0, :100], *maps[1:]], [masks[0, :100], *masks[1:]]
    curves = pimo_curves(*ragged)
    threshold = float(curves.thresholds[5])
    shares = [float((image.double() >= threshold).double().mean()) for image in ragged[0][:8]]
    assert float(curves.shared_fpr[5]) == pytest.approx(sum(shares) / 8, abs=1e-12)


def test_curves_of_anomalib_accept_ours(test_set):
    from anomalib.metrics.pimo.dataclasses import PIMOResult

    curves = pimo_curves(*test_set(size=64))
    result = PIMOResult(curves.thresholds, curves.shared_fpr, curves.per_image_tprs)
    assert result.num_images == 16


# ------------------------------------------------------------------------------------------- operating points


@SETTINGS
@given(st.data())
def test_threshold_and_recall_at_an_fpr(definition, tied_sets, data):
    maps, masks, (fpr, _) = data.draw(tied_sets())
    threshold = threshold_at_fpr(maps, masks, fpr)
    assert definition.brute_force_fpr(maps, masks, threshold) >= fpr
    higher = [v for a, m in zip(maps, masks, strict=True) if not m.any() for v in a.flat if v > threshold]
    if higher:
        assert definition.brute_force_fpr(maps, masks, min(higher)) < fpr
    recall = recall_at_fpr(maps, masks, fpr)
    for index, (image, mask) in enumerate(zip(maps, masks, strict=True)):
        if mask.any():
            assert float(recall[index]) == float(definition.brute_force_tpr(image, mask, threshold))
        else:
            assert math.isnan(recall[index])


def test_an_fpr_that_is_met_exactly_is_met_by_that_score():
    maps = torch.arange(2.0 * 100 * 100).reshape(2, 100, 100)
    masks = torch.zeros(2, 100, 100, dtype=torch.bool)
    masks[1] = True
    for count in (1, 3, 7, 10, 99, 10_000):
        assert threshold_at_fpr(maps, masks, count / 10_000) == 10_000 - count
