"""The torchmetrics class: a drop-in for anomalib's, exact for any order, batching and split over processes."""

import copy
import json
import math
import pickle
import subprocess
import sys
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.metrics import AUPIMO as ANOMALIB_AUPIMO
from anomalib.metrics import Evaluator
from anomalib.metrics.pimo.dataclasses import AUPIMOResult, PIMOResult
from anomalib.metrics.pimo.pimo import _AUPIMO as _ANOMALIB_AUPIMO
from torchmetrics import MetricCollection

from aupimo_helpers import AUPIMO
from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, pimo_curves, threshold_at_fpr
from aupimo_helpers.metrics.memory import UncertifiedError
from aupimo_helpers.metrics.metric import _ExactAUPIMO


def batch(maps, masks):
    return ImageBatch(image=torch.zeros(len(maps), 3, *maps.shape[-2:]), anomaly_map=maps, gt_mask=masks)


def updated(metric, maps, masks, size=5):
    for start in range(0, len(maps), size):
        metric.update(batch(maps[start : start + size], masks[start : start + size]))
    return metric


def by_hand(maps, masks, **arguments):
    """Without anomalib's batch, which makes everything float32."""
    metric = _ExactAUPIMO(**arguments)
    for start in range(0, len(maps), 5):
        metric.update(maps[start : start + 5], masks[start : start + 5])
    return metric.compute()


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
    pimo, result = by_hand(maps, masks, return_average=False, fpr_bounds=(1e-4, 1e-2))
    assert torch.equal(result.aupimos[8:], aupimo_scores(maps, masks, (1e-4, 1e-2))[8:])
    assert pimo.thresholds.dtype == dtype


def test_batches_of_different_dtypes_and_sizes(test_set):
    maps, masks = test_set(dtype=torch.float64)
    parts = [maps[:5].half(), maps[5:9, :100].float(), maps[9:]]
    metric = _ExactAUPIMO(return_average=False)
    for part, mask in zip(parts, (masks[:5], masks[5:9, :100], masks[9:]), strict=True):
        metric.update(part, mask)
    pimo, result = metric.compute()
    ragged = [image.double() for part in parts for image in part]
    expected = aupimo_scores(ragged, [*masks[:5], *masks[5:9, :100], *masks[9:]])
    assert torch.equal(result.aupimos.nan_to_num(-1), expected.nan_to_num(-1))
    assert pimo.thresholds.dtype == torch.float64


# ------------------------------------------------------------------------------------------- a drop-in


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_each_field_is_of_the_kind_that_anomalibs_is(test_set, dtype):
    maps, masks = test_set(size=64, dtype=dtype)
    arguments = {"fpr_bounds": (1e-3, 1e-1), "force": True}
    # more thresholds would coincide in float16
    theirs = by_hand_of_anomalib(maps, masks, num_thresholds=100, return_average=False, **arguments)
    ours = by_hand(maps, masks, return_average=False, **arguments)
    for one, other in zip(theirs, ours, strict=True):
        assert type(one) is type(other)
        names = [field.name for field in fields(one)]
        names += [name for name in vars(type(one)) if isinstance(getattr(type(one), name), property)]
        assert len(names) >= 6
        for name in names:
            their, our = getattr(one, name), getattr(other, name)
            assert type(our) is type(their), name
            if isinstance(their, torch.Tensor):
                assert (our.dtype, our.device, our.ndim) == (their.dtype, their.device, their.ndim), name
                assert our.is_contiguous() == their.is_contiguous(), name
    for name in ("num_images", "image_classes", "num_normal_images", "fpr_bounds"):
        for one, other in zip(theirs, ours, strict=True):
            if hasattr(one, name):
                assert torch.equal(torch.as_tensor(getattr(one, name)), torch.as_tensor(getattr(other, name))), name
    their, our = (by(maps, masks, **arguments) for by in (by_hand_of_anomalib, by_hand))
    assert (our.dtype, our.shape, our.device) == (their.dtype, their.shape, their.device)


def by_hand_of_anomalib(maps, masks, num_thresholds=100, **arguments):
    metric = _ANOMALIB_AUPIMO(num_thresholds=num_thresholds, **arguments)
    metric.update(maps, masks)
    return metric.compute()


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        # mean heights of straight lines over ln F between the seven points
        ((1e-1, 1.0), [0.55, 0.75, 1.0]),
        ((1e-3, 1e-1), [(0.0055 + 0.055) / 2, 0.5, 1.0]),
        ((1e-5, 1e-4), [5.5e-5, 0.0, 1.0]),
    ],
)
@pytest.mark.parametrize("metric_class", [_ExactAUPIMO, _ANOMALIB_AUPIMO], ids=["ours", "anomalib's"])
@pytest.mark.filterwarnings("ignore:num_thresholds")
def test_seven_distinct_scores(bounds, expected, metric_class):
    # score 7 once, 6 nine times, 5 ninety times ... 1 nine hundred thousand times: FPR 1e-6, 1e-5 ... 1
    scores = torch.repeat_interleave(torch.arange(7.0, 0, -1), torch.tensor([1, *(9 * 10**k for k in range(6))]))
    defects = [scores, torch.tensor([4.0, 1.0]).repeat(500_000), torch.full((10**6,), 8.0)]  # blind, half, perfect
    maps = torch.stack([scores, *defects]).reshape(4, 1000, 1000)
    masks = torch.ones(maps.shape, dtype=torch.int32)
    masks[0] = 0
    metric = metric_class(num_thresholds=7, fpr_bounds=bounds, return_average=False, force=True)
    metric.update(maps, masks)
    pimo, aupimo = metric.compute()
    torch.testing.assert_close(pimo.thresholds, torch.arange(1.0, 8))
    torch.testing.assert_close(pimo.shared_fpr, torch.logspace(0, -6, 7, dtype=torch.float64))
    torch.testing.assert_close(pimo.per_image_tprs[1], pimo.shared_fpr)
    assert pimo.per_image_tprs[2].tolist() == [1, 0.5, 0.5, 0.5, 0, 0, 0]
    assert pimo.per_image_tprs[3].tolist() == [1] * 7
    torch.testing.assert_close(aupimo.aupimos, torch.tensor([math.nan, *expected]).double(), equal_nan=True)
    assert 1 <= aupimo.thresh_lower_bound < aupimo.thresh_upper_bound <= 7
    assert aupimo.num_thresholds < 7


def test_results_are_those_that_code_for_anomalib_expects(test_set):
    maps, masks = test_set()
    pimo, aupimo = updated(AUPIMO(return_average=False), maps, masks).compute()
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


@pytest.mark.parametrize("budget", [None, 20_000])
def test_every_point_of_the_curves_is_exact(test_set, budget):
    maps, masks = test_set()
    pimo, _ = updated(AUPIMO(return_average=False, budget=budget), maps, masks).compute()
    if budget is None:  # nothing was dropped
        assert float(pimo.shared_fpr[0]) == 1
    else:
        assert 10_000 / (8 * 128 * 128) <= float(pimo.shared_fpr[0]) <= 20_000 / (8 * 128 * 128)
    for point in range(0, len(pimo.thresholds), 7):
        threshold = pimo.thresholds[point]
        assert float(pimo.shared_fpr[point]) == float((maps[:8] >= threshold).sum()) / (8 * 128 * 128)
        for index in range(8, 16):
            tpr = float((maps[index][masks[index]] >= threshold).double().mean())
            assert float(pimo.per_image_tprs[index, point]) == tpr


def test_points_of_the_curves_are_those_of_the_function(test_set):
    maps, masks = test_set(size=64)
    pimo, _ = updated(AUPIMO(return_average=False, fpr_bounds=(1e-4, 1e-2)), maps, masks).compute()
    expected = pimo_curves(maps, masks, (1e-4, 1.0), 50)
    common = np.isin(expected.thresholds, pimo.thresholds.double())
    assert common.sum() > 10
    for threshold, fpr in zip(expected.thresholds[common], expected.shared_fpr[common], strict=True):
        assert float(pimo.shared_fpr[pimo.thresholds == threshold]) == float(fpr)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_largest_number_of_a_dtype_as_a_score(test_set, dtype):
    maps, masks = test_set(size=32, dtype=dtype)
    maps[0, 0, 0] = largest = torch.finfo(dtype).max
    pimo, result = by_hand(maps, masks, force=True, return_average=False)
    # one pixel is more than L: the curve starts above all normal scores, at FPR 0
    assert pimo.thresholds.tolist()[-2:] == [largest, math.inf]
    assert pimo.shared_fpr.tolist()[-2:] == [1 / (8 * 32 * 32), 0]
    assert result.thresh_bounds[0] == largest


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


def test_any_form_of_maps_and_masks(test_set):
    maps, masks = test_set()
    expected = aupimo_scores(maps, masks)[8:]
    forms = {
        "with a channel": (maps[:, None], masks[:, None]),
        "with a channel, masks without": (maps[:, None], masks),
        "with gradient": (maps.clone().requires_grad_(), masks),
        "channels last": (
            maps[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)[:, :1],
            torch.stack([masks, masks], dim=-1)[..., 0],
        ),
        "integers": (maps, masks.long()),
    }
    for name, (scores, truth) in forms.items():
        _, result = by_hand(scores, truth, return_average=False)
        assert torch.equal(result.aupimos[8:], expected), name
        assert not result.aupimos.requires_grad


def test_images_of_different_sizes(ragged_set):
    maps, masks = ragged_set()
    metric = AUPIMO(return_average=False, fpr_bounds=(1e-2, 0.3))
    for image, mask in zip(maps, masks, strict=True):
        metric.update(batch(torch.from_numpy(image)[None], torch.from_numpy(mask)[None]))
    _, result = metric.compute()
    expected = aupimo_scores(maps, masks, (1e-2, 0.3))
    assert torch.equal(result.aupimos.nan_to_num(-1), expected.nan_to_num(-1))


# ------------------------------------------------------------------------------------------- sets of real size


def test_one_odd_image_among_hundreds_is_normal_life():
    # 286 normal images, one of which scores higher than all others in nearly all of its pixels, in the first batch
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(290, 256, 256, generator=generator)
    maps[7, 8:] += 10
    masks = torch.zeros(290, 256, 256, dtype=torch.bool)
    masks[286:, :30] = True
    maps[286:, :20] += torch.linspace(0, 11, 20)[:, None]
    metric = updated(AUPIMO(), maps, masks, 32)
    assert metric.memory.floor > -math.inf
    scores = aupimo_scores(maps, masks)[286:]
    assert 0 < scores.mean() < 1
    assert float(metric.compute()) == math.fsum(scores.tolist()) / 4


def test_the_bounds_of_other_metrics():
    # AUPRO's usual end, and the whole axis, for more normal scores than the smallest budget
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(74, 256, 256, generator=generator)
    masks = torch.zeros(74, 256, 256, dtype=torch.bool)
    masks[72:, :99] = True
    for bounds in ((0.01, 0.3), (0.01, 1.0)):
        average = float(updated(AUPIMO(fpr_bounds=bounds), maps, masks, 32).compute())
        assert average == math.fsum(aupimo_scores(maps, masks, bounds)[72:].tolist()) / 2


def test_what_is_kept_is_bounded():
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
    metric = updated(AUPIMO(budget=1000), maps, masks)
    storages = {
        state.untyped_storage().data_ptr(): state.untyped_storage().nbytes()
        for name in ("normal", "counts", "masks", "records", "floors")
        for state in getattr(metric, name)
    }
    assert sum(storages.values()) <= 4 * (1000 + int(masks.sum())) + 8 * 8 * 16 + 1000


def test_a_set_beyond_the_budget_is_refused_with_the_budget_that_will_do():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(201, 32, 32, generator=generator)
    maps[0] += 10
    masks = torch.zeros(201, 32, 32, dtype=torch.bool)
    masks[200, :30] = True
    arguments = {"fpr_bounds": (1e-4, 1e-2)}
    with pytest.raises(UncertifiedError, match=r"200 normal images of up to 1024 pixels .* budget=4096 any order"):
        updated(AUPIMO(budget=100, **arguments), maps, masks, 1).compute()
    wide = updated(AUPIMO(budget=4096, **arguments), maps, masks, 1)
    assert float(wide.compute()) == float(aupimo_scores(maps, masks, **arguments)[200])


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
    metric = updated(AUPIMO(budget=2000), maps, masks)
    metric.reset()
    assert metric.num_images == 0
    updated(metric, maps.flip(0), masks.flip(0))
    assert metric.num_images == 16
    assert metric.image_classes.tolist() == [1] * 8 + [0] * 8
    assert float(metric.compute()) == pytest.approx(float(aupimo_scores(maps, masks).nanmean()))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: m.clone()])
def test_copies_go_on_by_themselves(test_set, copied):
    maps, masks = test_set()
    metric = updated(AUPIMO(return_average=False), maps[:10], masks[:10])
    other = copied(metric)
    updated(other, maps[10:], masks[10:])
    assert (metric.num_images, other.num_images) == (10, 16)
    assert torch.equal(other.compute()[1].aupimos[8:], aupimo_scores(maps, masks)[8:])
    assert torch.equal(metric.compute()[1].aupimos[8:], aupimo_scores(maps[:10], masks[:10])[8:])


@pytest.mark.parametrize("first", ["normal", "anomalous"])
def test_a_collection_keeps_apart_what_is_not_alike(test_set, first):
    maps, masks = test_set()
    if first == "anomalous":
        maps, masks = maps.flip(0), masks.flip(0)
    metrics = {
        "default": AUPIMO(),
        "each": AUPIMO(return_average=False),
        "wide": AUPIMO(fpr_bounds=(1e-4, 1e-1), budget=1000),
        "small": AUPIMO(budget=1000),
        "other field": AUPIMO(fields=("anomaly_map", "pred_mask")),
    }
    collection = MetricCollection(metrics)
    for start in range(0, 16, 4):
        part = batch(maps[start : start + 4], masks[start : start + 4])
        part.pred_mask = part.gt_mask if start == 0 else part.gt_mask & (torch.arange(128) < 25)
        collection.update(part)
    groups = sorted(sorted(group) for group in collection.compute_groups.values())
    assert groups == [["default", "each"], ["other field"], ["small"], ["wide"]]
    computed = collection.compute()
    scores = aupimo_scores(maps, masks)
    assert computed["default"] == computed["small"] == math.fsum(scores[~scores.isnan()].tolist()) / 8
    assert torch.equal(computed["each"][1].aupimos.nan_to_num(-1), scores.nan_to_num(-1))
    wide = aupimo_scores(maps, masks, (1e-4, 1e-1))
    assert computed["wide"] == math.fsum(wide[~wide.isnan()].tolist()) / 8
    assert computed["other field"] != computed["default"]
    collection.reset()
    assert all(metric.num_images == 0 for metric in collection.values())


def test_forward_gives_the_batchs_score_and_loses_nothing(test_set):
    maps, masks = test_set()
    metric, each = AUPIMO(), AUPIMO(return_average=False)
    order = [*range(5), 8, 9, 5, 6, 10, *range(11, 16), 7]  # normal only, mixed, anomalous only
    maps, masks = maps[order], masks[order]
    values = [metric(batch(maps[i : i + 5], masks[i : i + 5])) for i in (0, 5, 10)]
    assert values[0].isnan()
    assert values[0].dtype == torch.float64
    alone = aupimo_scores(maps[5:10], masks[5:10], force=True)
    assert float(values[1]) == pytest.approx(float(alone.nanmean()))
    assert values[2].isnan()
    assert each(batch(maps[:5], masks[:5])) is None
    assert torch.equal(each(batch(maps[5:10], masks[5:10]))[1].aupimos.nan_to_num(-1), alone.nan_to_num(-1))
    with pytest.raises(InputError, match="image 10 holds nan"):
        each(batch(maps[10:] * math.nan, masks[10:]))
    each(batch(maps[10:15], masks[10:15]))
    for one in (metric, each):
        one(batch(maps[15:], masks[15:]))
        assert one.num_images == 16
    expected = aupimo_scores(maps, masks)
    assert float(metric.compute()) == pytest.approx(float(expected.nanmean()), abs=1e-15)
    assert torch.equal(each.compute()[1].aupimos.nan_to_num(-1), expected.nan_to_num(-1))


def test_arguments_of_anomalib_and_of_former_versions_are_accepted():
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
    with pytest.warns(UserWarning, match=r"keep=0\.1 is not needed"):
        AUPIMO(keep=0.1)
    with pytest.raises(InputError, match="keep to lie in"):
        AUPIMO(keep=2.0)


@pytest.mark.parametrize(("budget", "error"), [(0, InputError), (2.5, TypeError), (True, TypeError)])
def test_bad_budget(budget, error):
    with pytest.raises(error, match="budget"):
        AUPIMO(budget=budget)


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
    assert isinstance(pimo, PIMOResult)
    assert torch.equal(result.aupimos[8:], aupimo_scores(maps, masks, force=True)[8:])
    # one pixel is more than L: the curve starts above all normal scores, at FPR 0
    assert float(pimo.shared_fpr[-1]) == 0
    average = updated(AUPIMO(), maps, masks).compute(force=True)
    assert float(average) == pytest.approx(float(result.aupimos[8:].mean()))


# ------------------------------------------------------------------------------------------- processes

WORKER = Path(__file__).with_name("distributed_worker.py")
# uneven, the second process has no normal images; and uneven, it has no images at all
SPLITS = ["0:11,11:16", "0:16,16:16"]


@pytest.mark.parametrize(
    ("dtype", "budget"), [(torch.float32, None), pytest.param(torch.float64, 3000, marks=pytest.mark.slow)]
)
def test_two_processes_give_the_bits_of_one(test_set, tmp_path, dtype, budget):
    maps, masks = test_set(dtype=dtype)
    torch.save((maps, masks, budget), tmp_path / "data.pt")
    shared = [str(tmp_path / name) for name in ("rendezvous", "data.pt", "result")]
    workers = [
        subprocess.Popen([sys.executable, str(WORKER), rank, *shared, *SPLITS], stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=300)
            assert worker.returncode == 0, errors
    finally:
        for worker in workers:
            worker.kill()
    expected = aupimo_scores(maps, masks)
    for rank in (0, 1):
        results = json.loads((tmp_path / f"result.{rank}").read_text())
        for split in SPLITS:
            assert results[split]["each"] == [value.hex() for value in expected.nan_to_num(-1).tolist()]
            assert results[split]["average"] == [(math.fsum(expected[8:].tolist()) / 8).hex()]
            assert results[split]["dtype"] == str(dtype)
            start, end = map(int, split.split(",")[rank].split(":"))
            assert results[split]["own images"] == end - start
