"""Bad input ends in one clear sentence that names the value and the image, in anomalib's type of error."""

import math

import numpy as np
import pytest
import torch
from anomalib.metrics import AUPIMO as ANOMALIB_AUPIMO
from anomalib.metrics.pimo import functional as anomalib_functional

from aupimo_helpers import AUPIMO
from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, no_skill_score, pimo_curves, recall_at_fpr, threshold_at_fpr
from aupimo_helpers.metrics.metric import _ExactAUPIMO


@pytest.fixture
def maps(test_set):
    return test_set(4, 4, size=160)[0]


@pytest.fixture
def masks(test_set):
    return test_set(4, 4, size=160)[1]


def by_hand(maps, masks, **arguments):
    metric = _ExactAUPIMO(**arguments)
    for start in range(0, len(maps), 3):
        metric.update(maps[start : start + 3], masks[start : start + 3])
    return metric.compute()


BOTH_WAYS = pytest.mark.parametrize("score", [aupimo_scores, by_hand], ids=["function", "class"])


def anomalib_raises(error, maps, masks, **arguments):
    with pytest.raises(error):
        anomalib_functional.aupimo_scores(maps, masks, num_thresholds=10, **arguments)


@BOTH_WAYS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("image", [2, 6])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_nan_and_infinite_scores(maps, masks, value, image, score, dtype):
    maps = maps.to(dtype)
    maps[image, 100, 7] = value
    with pytest.raises(
        InputError, match=rf"^Expected finite anomaly scores, but the map of image {image} holds {value}"
    ):
        score(maps, masks)


@pytest.mark.parametrize("function", [pimo_curves, threshold_at_fpr, recall_at_fpr])
def test_nan_in_the_other_functions(maps, masks, function):
    maps[1, 3, 3] = math.nan
    with pytest.raises(InputError, match="image 1 holds nan"):
        function(maps, masks, *([] if function is pimo_curves else [1e-3]))


@BOTH_WAYS
def test_huge_finite_scores_are_fine(maps, masks, score):
    huge = maps * (1e38 / maps.abs().max())
    assert torch.equal(score(huge, masks).nan_to_num(-1), score(maps, masks).nan_to_num(-1))


@BOTH_WAYS
def test_denormal_scores_and_both_zeros_are_compared_as_numbers(maps, masks, score):
    tiny = maps.double() * 1e-310  # below the smallest normal number of float64
    assert torch.equal(score(tiny, masks).nan_to_num(-1), score(maps.double(), masks).nan_to_num(-1))
    zeros = maps.clamp(min=0).round(decimals=1) + 0.0
    signed = torch.where(zeros == 0, torch.copysign(zeros, maps), zeros)
    assert signed.signbit().any()
    assert not zeros.signbit().any()
    expected = score(zeros, masks, fpr_bounds=(1e-3, 1.0)).nan_to_num(-1)
    assert torch.equal(score(signed, masks, fpr_bounds=(1e-3, 1.0)).nan_to_num(-1), expected)


@BOTH_WAYS
def test_different_shapes(maps, masks, score):
    anomalib_raises(ValueError, maps, masks[:, :100])
    with pytest.raises(InputError, match=r"same shape, but got \(., 160, 160\) and \(., 100, 160\)"):
        score(maps, masks[:, :100])


def test_different_shapes_in_a_sequence(maps, masks):
    different = [*masks[:5], masks[5, :, :100], *masks[6:]]
    with pytest.raises(InputError, match=r"\(1, 160, 160\) and \(1, 160, 100\) at image 5"):
        aupimo_scores(list(maps), different)
    with pytest.raises(InputError, match="8 maps and 7 masks"):
        aupimo_scores(list(maps), list(masks[1:]))
    with pytest.raises(InputError, match=r"image 0 to have 2 dimensions .* \(1, 160, 160\)"):
        aupimo_scores([maps[:1]], [masks[:1]])


@BOTH_WAYS
@pytest.mark.parametrize("shape", [(4, 2, 160, 160), (8 * 160, 160)])
def test_wrong_number_of_dimensions(maps, masks, shape, score):
    anomalib_raises(ValueError, maps.reshape(shape), masks.reshape(shape))
    with pytest.raises(InputError, match=rf"3 dimensions \(N, H, W\), but got {len(shape)}"):
        score(maps.reshape(shape), masks.reshape(shape))


def test_images_without_pixels():
    with pytest.raises(InputError, match=r"image 0 has shape \(0, 5\)"):
        aupimo_scores(torch.zeros(2, 0, 5), torch.zeros(2, 0, 5, dtype=torch.bool))


@BOTH_WAYS
@pytest.mark.parametrize("value", [2, 255])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_a_mask_that_is_not_two_valued(maps, masks, value, dtype, score):
    masks = masks.to(dtype)
    masks[5, 3, 3] = value
    anomalib_raises(ValueError, maps, masks)
    with pytest.raises(InputError, match=f"mask of image 5 holds {value}"):
        score(maps, masks)


@BOTH_WAYS
def test_masks_and_maps_of_a_wrong_type(maps, masks, score):
    anomalib_raises(TypeError, maps, masks.float())
    with pytest.raises(TypeError, match=r"masks to be bool or integers, but got dtype torch\.float32"):
        score(maps, masks.float())
    anomalib_raises(TypeError, maps.int(), masks)
    with pytest.raises(TypeError, match=r"floating point .* but got dtype torch\.int32"):
        score(maps.int(), masks)


def test_what_is_no_array():
    with pytest.raises(TypeError, match="anomaly maps to be a tensor or a NumPy array, but got str"):
        aupimo_scores("maps", np.zeros((1, 2, 2)))
    with pytest.raises(TypeError, match="dtype, but got float"):
        aupimo_scores(np.zeros((1, 2, 2), np.longdouble), np.zeros((1, 2, 2), bool))


@BOTH_WAYS
def test_a_class_of_images_is_missing(maps, masks, score):
    anomalib_raises(ValueError, maps[:4], masks[:4])
    with pytest.raises(InputError, match=r"at least one anomalous image .* all 4 images are empty"):
        score(maps[:4], masks[:4])
    anomalib_raises(ValueError, maps[4:], masks[4:])
    with pytest.raises(InputError, match=r"at least one normal image .* all 4 images have anomalous pixels"):
        score(maps[4:], masks[4:])


@BOTH_WAYS
def test_all_normal_scores_equal(maps, masks, score):
    maps[:4] = 0.25
    anomalib_raises(ValueError, maps, masks)
    with pytest.raises(InputError, match=r"All normal scores are equal \(0\.25\)"):
        score(maps, masks)
    with pytest.raises(InputError, match="All normal scores are equal"):
        aupimo_scores(maps, masks, force=True)


@BOTH_WAYS
def test_saturated_normal_scores(maps, masks, score):
    maps = maps.clamp(max=1)
    anomalib_raises(ValueError, maps, masks)
    with pytest.raises(InputError, match=r"The highest normal score, 1, is that of 1.\.\d+ % of the normal pixels"):
        score(maps, masks)


@BOTH_WAYS
def test_fewer_normal_pixels_than_the_lower_bound_needs(maps, masks, score):
    anomalib_raises(ValueError, maps, masks, fpr_bounds=(1e-6, 1e-4))
    with pytest.raises(
        InputError, match="have 102400 pixels in all, but the lower FPR bound 1e-06 needs at least 1000000"
    ):
        score(maps, masks, fpr_bounds=(1e-6, 1e-4))


def test_exactly_enough_normal_pixels():
    maps = torch.rand(2, 100, 1000)
    masks = torch.zeros(2, 100, 1000, dtype=torch.bool)
    masks[1, :10] = True
    assert 0 <= float(aupimo_scores(maps, masks, (1e-5, 1e-4))[1]) <= 1


@pytest.mark.parametrize(
    "bounds", [(1e-4, 1e-5), (1e-4, 1e-4), (0.0, 1e-4), (-1e-5, 1e-4), (1e-5, 1.5), (math.nan, 0.1)]
)
def test_bounds_out_of_order_or_range(maps, masks, bounds):
    for score in (aupimo_scores, pimo_curves, by_hand):
        with pytest.raises(InputError, match=r"fpr_bounds|fpr_range"):
            score(maps, masks, **{"fpr_range" if score is pimo_curves else "fpr_bounds": bounds})
    with pytest.raises(InputError):
        no_skill_score(bounds)
    if not math.isnan(bounds[0]):
        with pytest.raises(ValueError, match=r"Expected|Rate"):
            ANOMALIB_AUPIMO(fpr_bounds=bounds)


def test_bounds_that_are_no_bounds(maps, masks):
    for bounds in (1e-4, {1e-5, 1e-4}, ("a", "b"), (True, 1)):
        with pytest.raises(TypeError, match="fpr_bounds"):
            aupimo_scores(maps, masks, bounds)
    with pytest.raises(InputError, match="two numbers"):
        aupimo_scores(maps, masks, (1e-5, 1e-4, 1e-3))
    with pytest.raises(TypeError):
        ANOMALIB_AUPIMO(fpr_bounds=1e-4)


@pytest.mark.parametrize("fpr", [0.0, 1.1, -1.0, math.nan])
def test_one_fpr_out_of_range(maps, masks, fpr):
    for function in (threshold_at_fpr, recall_at_fpr):
        with pytest.raises(InputError, match=r"fpr to lie in \(0, 1\]"):
            function(maps, masks, fpr)


def test_too_few_points_for_a_curve(maps, masks):
    with pytest.raises(InputError, match="num_points to be at least 2, but got 1"):
        pimo_curves(maps, masks, num_points=1)
    with pytest.raises(TypeError, match=r"num_points to be an integer, but got 2\.5"):
        pimo_curves(maps, masks, num_points=2.5)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_compute_before_update():
    with pytest.raises(RuntimeError):
        ANOMALIB_AUPIMO().compute()
    with pytest.raises(RuntimeError, match="call `update` before `compute`"):
        AUPIMO().compute()


def test_messages_of_a_metric_count_images_over_all_updates(maps, masks):
    metric = _ExactAUPIMO()
    metric.update(maps[:5], masks[:5])
    maps[6, 0, 0] = math.nan
    with pytest.raises(InputError, match="image 6 holds nan"):
        metric.update(maps[5:], masks[5:])
    assert metric.num_images == 5


@pytest.mark.parametrize("bounds", [(1e-320, 1e-4), (1e-320, 2e-320), (1e-16, 1e-5)])
def test_bounds_that_nobody_can_measure(maps, masks, bounds):
    for score in (aupimo_scores, by_hand):
        with pytest.raises(InputError, match=r"at least 1e-15, but got .* too small to be measured"):
            score(maps, masks, fpr_bounds=bounds)
    with pytest.raises(InputError, match="too small to be measured"):
        AUPIMO(fpr_bounds=bounds)
