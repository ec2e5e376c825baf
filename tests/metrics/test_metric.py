"""The torchmetrics class: drop-in for anomalib's, constant memory, certified."""

import math
import warnings

import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.metrics import AUPIMO as ANOMALIB_AUPIMO
from anomalib.metrics import Evaluator
from anomalib.metrics.pimo.dataclasses import AUPIMOResult, PIMOResult
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aupimo_helpers import AUPIMO
from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, pimo_curves, threshold_at_fpr
from aupimo_helpers.metrics import memory as accumulate
from aupimo_helpers.metrics import metric as metric_module
from aupimo_helpers.metrics.checks import UncertifiedError
from aupimo_helpers.metrics.metric import _ExactAUPIMO


def batch(maps, masks):
    return ImageBatch(image=torch.zeros(len(maps), 3, *maps.shape[1:]), anomaly_map=maps, gt_mask=masks)


def updated(metric, maps, masks, size=5):
    for start in range(0, len(maps), size):
        metric.update(batch(maps[start : start + size], masks[start : start + size]))
    return metric


@pytest.mark.parametrize("size", [1, 3, 16])
def test_batches_of_any_size_give_the_bits_of_the_function(test_set, size):
    maps, masks = test_set()
    _, result = updated(AUPIMO(return_average=False), maps, masks, size).compute()
    expected = aupimo_scores(maps, masks)
    assert torch.equal(result.aupimos[8:], expected[8:])
    assert result.aupimos[:8].isnan().all()
    average = updated(AUPIMO(), maps, masks, size).compute()
    assert float(average) == math.fsum(expected[8:].tolist()) / 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_give_the_bits_of_the_function(test_set, dtype):
    maps, masks = test_set(dtype=dtype)
    # in float16 and bfloat16 many scores tie
    metric = _ExactAUPIMO(return_average=False, fpr_bounds=(1e-4, 1e-2))
    for start in range(0, 16, 5):  # without anomalib's batch, which makes everything float32
        metric.update(maps[start : start + 5], masks[start : start + 5])
    _, result = metric.compute()
    assert torch.equal(result.aupimos[8:], aupimo_scores(maps, masks, (1e-4, 1e-2))[8:])
    assert metric.memory.scores.dtype == dtype


def test_results_are_those_that_code_for_anomalib_expects(test_set):
    maps, masks = test_set()
    pimo, aupimo = updated(AUPIMO(return_average=False), maps, masks).compute()
    assert isinstance(pimo, PIMOResult)
    assert isinstance(aupimo, AUPIMOResult)
    assert aupimo.fpr_bounds == (1e-5, 1e-4)
    assert aupimo.num_images == pimo.num_images == 16
    assert pimo.image_classes.tolist() == [0] * 8 + [1] * 8
    assert pimo.per_image_tprs[:8].isnan().all()
    assert aupimo.thresh_bounds == (threshold_at_fpr(maps, masks, 1e-4), threshold_at_fpr(maps, masks, 1e-5))
    again = AUPIMOResult.from_pimo_result(pimo, (1e-5, 1e-4), 300, aupimo.aupimos)
    assert again.thresh_lower_bound == pytest.approx(aupimo.thresh_lower_bound, rel=0.05)
    _, threshold, fpr = pimo.thresh_at(1e-4)
    nearest = round(1e-4 * 8 * 128 * 128)
    assert fpr == nearest / (8 * 128 * 128)
    assert float(threshold) == float(maps[:8].flatten().sort(descending=True).values[nearest - 1])


def test_every_point_of_the_curves_is_exact(test_set):
    maps, masks = test_set()
    pimo, _ = updated(AUPIMO(return_average=False), maps, masks).compute()
    assert pimo.shared_fpr[0] > 5e-3  # 1 % is kept, so the curve reaches far beyond the bounds
    for point in range(0, len(pimo.thresholds), 7):
        threshold = pimo.thresholds[point]
        assert float(pimo.shared_fpr[point]) == float((maps[:8].double() >= threshold).sum()) / (8 * 128 * 128)
        for index in range(8, 16):
            tpr = float((maps[index][masks[index]].double() >= threshold).double().mean())
            assert float(pimo.per_image_tprs[index, point]) == tpr


def test_keeping_everything_gives_the_whole_curve(test_set):
    maps, masks = test_set(size=64)
    pimo, _ = updated(AUPIMO(return_average=False, fpr_bounds=(1e-4, 1e-2), keep=1.0), maps, masks).compute()
    assert float(pimo.shared_fpr[0]) == 1.0
    expected = pimo_curves(maps, masks, (1e-4, 1.0), 50)
    common = np.isin(expected.thresholds, pimo.thresholds)
    assert common.any()
    for threshold, fpr in zip(expected.thresholds[common], expected.shared_fpr[common], strict=True):
        assert float(pimo.shared_fpr[pimo.thresholds == threshold]) == float(fpr)


def test_agrees_with_anomalib_within_its_grid_error():
    # one grid step is 2e-5 of the score range; more normal pixels than grid points would only test anomalib's grid
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(40, 96, 96, generator=generator)
    masks = torch.zeros(40, 96, 96, dtype=torch.bool)
    for index in range(30, 40):
        masks[index, 20:60, 20:60] = True
        maps[index, 20:60, 20:60] += torch.rand(40, 40, generator=generator) * (index - 30) / 20
    bounds = (2e-3, 2e-2)
    theirs = updated(ANOMALIB_AUPIMO(return_average=False, fpr_bounds=bounds, num_thresholds=50_000), maps, masks, 40)
    _, expected = theirs.compute()
    _, result = updated(AUPIMO(return_average=False, fpr_bounds=bounds), maps, masks).compute()
    assert float(expected.aupimos[30:].std()) > 0.05
    torch.testing.assert_close(result.aupimos[30:], expected.aupimos[30:], rtol=0, atol=2e-3)
    assert result.thresh_lower_bound == pytest.approx(expected.thresh_lower_bound, abs=1e-3)
    assert result.thresh_upper_bound == pytest.approx(expected.thresh_upper_bound, abs=1e-3)


def test_images_of_different_sizes(ragged_set):
    maps, masks = ragged_set()
    metric = AUPIMO(return_average=False, fpr_bounds=(1e-2, 0.3))
    for image, mask in zip(maps, masks, strict=True):
        metric.update(batch(torch.from_numpy(image)[None], torch.from_numpy(mask)[None]))
    _, result = metric.compute()
    expected = aupimo_scores(maps, masks, (1e-2, 0.3))
    assert torch.equal(result.aupimos.nan_to_num(-1), expected.nan_to_num(-1))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.floats(0.02, 1), st.floats(0.005, 0.3), st.booleans())
def test_either_exact_or_refused_but_never_wrong(seed, levels, keep, upper, prune):
    assume(keep >= upper)
    random = np.random.default_rng(seed)
    metric = _ExactAUPIMO(fpr_bounds=(upper / 7, upper), keep=keep, return_average=False, force=True)
    maps, masks = [], []
    for index in range(random.integers(3, 8)):
        shape = (1, *random.integers(4, 12, 2))
        image = random.integers(0, levels, shape).astype(np.float64) + random.integers(0, levels) * (index % 2)
        mask = (random.random(shape) < 0.3) & (index > 1)
        if index == 2:
            mask[0, 0, 0] = True
        maps.append(image[0])
        masks.append(mask[0])
        metric.update(torch.from_numpy(image), torch.from_numpy(mask))
        if prune and index == 4:
            metric._prune()
    try:
        _, result = metric.compute()
    except UncertifiedError as error:
        assert keep < 1 and "keep" in str(error)
    except InputError:
        assert len({v for a, m in zip(maps, masks, strict=True) if not m.any() for v in a.flat}) == 1
    else:
        expected = aupimo_scores(maps, masks, (upper / 7, upper), force=True)
        assert torch.equal(result.aupimos.nan_to_num(-1), expected.nan_to_num(-1))


# ------------------------------------------------------------------------------------------- memory and certificate


def test_what_is_kept_is_at_most_three_per_cent():
    # 124 maps of 1024 x 1024 pass in parts; defects cover 1.5 % of an image, as in MVTec AD
    metric, total = _ExactAUPIMO(), 0
    generator = torch.Generator().manual_seed(0)
    for part in range(4):
        maps = torch.rand(31, 256, 1024, generator=generator)[:, None].expand(-1, 4, -1, -1).reshape(31, 1024, 1024)
        masks = torch.zeros(31, 1024, 1024, dtype=torch.bool)
        masks[1 if part == 1 else 0 : 31 if part else 0, 100:228, 100:223] = True  # 32 stay normal
        metric.update(maps, masks)
        total += maps.nbytes
        del maps, masks
    assert total == 124 * 1024 * 1024 * 4
    assert int(metric.image_classes.sum()) == 92
    assert metric.memory.nbytes <= 0.03 * total
    assert float(metric.compute()) < 1


def test_nothing_else_of_the_maps_is_kept_alive(test_set):
    maps, masks = test_set()
    metric = updated(AUPIMO(), maps, masks)
    storages = [state.untyped_storage() for states in (metric.scores, metric.floors) for state in states]
    kept = sum(storage.nbytes() for storage in storages)
    assert kept <= 4 * (8 * 164 + int(masks.sum()) + 16)


def test_a_result_that_cannot_be_certified_is_refused():
    # one normal image holds nearly all false positives of 200: more than the 1 % of its pixels that are kept
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(201, 64, 64, generator=generator)
    maps[7, :8] += 10
    masks = torch.zeros(201, 64, 64, dtype=torch.bool)
    masks[200, :30] = True
    narrow = AUPIMO(keep=0.005)
    with pytest.raises(UncertifiedError, match=r"0\.51% of pixels that were kept of image 7 .* larger `keep`"):
        updated(narrow, maps, masks, 50).compute()
    wide = updated(AUPIMO(keep=0.2), maps, masks, 50)
    assert float(wide.compute()) == float(aupimo_scores(maps, masks)[200])


def test_scores_that_became_too_low_are_dropped_exactly(test_set, monkeypatch):
    maps, masks = test_set(40, 8)
    monkeypatch.setattr(metric_module, "_SCORES_AT_MOST", 1500)
    metric = updated(AUPIMO(return_average=False), maps, masks, 4)
    assert len(metric.memory.scores) < len(updated(_unpruned(), maps, masks, 48).memory.scores)
    _, result = metric.compute()
    assert torch.equal(result.aupimos[40:], aupimo_scores(maps, masks)[40:])


def _unpruned():
    metric = AUPIMO()
    metric._scores_at_most = 10**9
    return metric


def test_memory_joins_in_any_order(test_set):
    maps, masks = test_set()
    parts = [updated(AUPIMO(), maps[rows], masks[rows]).memory for rows in (slice(0, 3), slice(3, 11), slice(11, 16))]
    for order in ((0, 1, 2), (2, 0, 1)):
        memory = accumulate.join([parts[index] for index in order])
        curve = accumulate.certified_curve(memory, 1e-4)
        aupimos = np.sort(accumulate.scores_of_memory(memory, curve, 1e-5, 1e-4))
        assert np.array_equal(aupimos[:8], np.sort(aupimo_scores(maps, masks).numpy())[:8])


# ------------------------------------------------------------------------------------------- as a metric


def test_evaluator_logs_the_average(test_set):
    maps, masks = test_set()
    metric = AUPIMO()
    evaluator = Evaluator(test_metrics=[metric])
    evaluator.setup(type("Trainer", (), {"num_devices": 1})(), None, "test")
    for start in range(0, 16, 4):
        evaluator.on_test_batch_end(None, None, None, batch(maps[start : start + 4], masks[start : start + 4]), 0)
    logged = {}
    evaluator.log = lambda name, value: logged.update({name: value.compute()})
    evaluator.on_test_epoch_end(type("Trainer", (), {"barebones": False})(), None)
    assert logged["AUPIMO"].shape == ()
    assert float(logged["AUPIMO"]) == pytest.approx(float(aupimo_scores(maps, masks).nanmean()))


def test_reset_forgets(test_set):
    maps, masks = test_set()
    metric = updated(AUPIMO(), maps, masks)
    metric.reset()
    assert metric.num_images == 0
    updated(metric, maps.flip(0), masks.flip(0))
    assert metric.num_images == 16
    assert metric.image_classes.tolist() == [1] * 8 + [0] * 8
    assert float(metric.compute()) == pytest.approx(float(aupimo_scores(maps, masks).nanmean()))


def test_arguments_of_anomalib_are_accepted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repr(AUPIMO(fpr_bounds=(1e-4, 1e-3), return_average=False, force=False)) == "AUPIMO([0.0001, 0.001])"
    with pytest.warns(UserWarning, match="num_thresholds=300000 is not needed"):
        metric = AUPIMO(num_thresholds=300_000, prefix="pixel_")
    assert metric.name == "pixel_AUPIMO"
    assert AUPIMO.normalizing_factor((1e-5, 1e-4)) == ANOMALIB_AUPIMO.normalizing_factor((1e-5, 1e-4))
    for wrong, error in ((1, ValueError), (2.5, TypeError)):
        with pytest.raises(error):
            ANOMALIB_AUPIMO(num_thresholds=wrong)
        with pytest.raises(error, match="num_thresholds"):
            AUPIMO(num_thresholds=wrong)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_batch_without_a_mask(test_set):
    maps, _ = test_set(1, 1)
    empty = ImageBatch(image=torch.zeros(2, 3, 128, 128), anomaly_map=maps)
    with pytest.raises(ValueError, match="gt_mask"):
        AUPIMO().update(empty)
    metric = AUPIMO(strict=False)
    metric.update(empty)
    assert metric.compute() is None


def test_force_computes_on_too_few_pixels(test_set):
    maps, masks = test_set(size=32)
    with pytest.raises(InputError, match="8192 pixels"):
        updated(AUPIMO(), maps, masks).compute()
    forced = updated(AUPIMO(force=True, return_average=False), maps, masks)
    pimo, result = forced.compute()
    assert torch.equal(result.aupimos[8:], aupimo_scores(maps, masks, force=True)[8:])
    # one pixel is more than L: the curve starts above all normal scores, at FPR 0
    assert float(pimo.shared_fpr[-1]) == 0
    average = updated(AUPIMO(), maps, masks).compute(force=True)
    assert float(average) == pytest.approx(float(result.aupimos[8:].mean()))


def test_bad_keep():
    with pytest.raises(InputError, match="keep to be at least the upper FPR bound"):
        AUPIMO(keep=1e-5)
    with pytest.raises(InputError, match="keep to lie in"):
        AUPIMO(keep=2.0)
