"""The stateless functions against the definition, closed forms and invariances."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, no_skill_score, pimo_curves

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def assert_equal(scores, expected, tolerance=1e-12):
    expected = torch.tensor([math.nan if value is None else value for value in expected], dtype=torch.float64)
    torch.testing.assert_close(scores, expected, rtol=0, atol=tolerance, equal_nan=True)


@SETTINGS
@given(st.data())
def test_equals_the_definition_on_ties_and_different_sizes(definition, tied_sets, data):
    maps, masks, bounds = data.draw(tied_sets())
    expected = definition.brute_force_aupimo(maps, masks, *bounds)
    assert_equal(aupimo_scores(maps, masks, bounds, force=True), expected)


@SETTINGS
@given(st.data())
def test_equals_the_definition_as_one_tensor(definition, tied_sets, data):
    maps, masks, bounds = data.draw(tied_sets(same_size=True))
    expected = definition.brute_force_aupimo(maps, masks, *bounds)
    stacked = torch.from_numpy(np.stack([image.astype(np.float64) for image in maps]))
    assert_equal(aupimo_scores(stacked, torch.from_numpy(np.stack(masks)), bounds, force=True), expected)


def test_equals_the_definition_without_ties(definition, test_set):
    maps, masks = test_set(4, 4, size=32, dtype=torch.float64)
    bounds = (4e-4, 4e-2)
    expected = definition.brute_force_aupimo(maps, masks, *bounds)
    assert_equal(aupimo_scores(maps, masks, bounds), expected)
    assert 0 < expected[5] < expected[-1] <= 1  # the set is one that can tell a wrong integral


def test_one_size_given_as_a_sequence_gives_the_same_bits(test_set):
    maps, masks = test_set()
    together, one_by_one = aupimo_scores(maps, masks), aupimo_scores(list(maps), list(masks))
    assert torch.equal(together[8:], one_by_one[8:])


def test_different_sizes_weigh_images_not_pixels():
    # FPR at 1: one of 4 pixels and one of 400; their mean is 0.12625, the share of all pixels would be 2 / 404
    maps = [np.zeros((2, 2)), np.zeros((20, 20)), np.ones((3, 3))]
    maps[0][0, 0] = maps[1][0, 0] = 1.0
    masks = [np.zeros((2, 2), bool), np.zeros((20, 20), bool), np.ones((3, 3), bool)]
    curves = pimo_curves(maps, masks, (1e-3, 1.0), 10)
    assert curves.shared_fpr.tolist() == [1.0, (1 / 4 + 1 / 400) / 2]


def test_a_perfect_model_scores_one_and_a_blind_one_zero(test_set):
    maps, masks = test_set()
    maps[masks] = 100.0
    assert aupimo_scores(maps, masks)[8:].tolist() == [1.0] * 8
    maps[masks] = -100.0
    assert aupimo_scores(maps, masks)[8:].tolist() == [0.0] * 8


def test_a_model_without_skill_scores_the_closed_form():
    # the same scores inside the mask as in the normal images: TPR = FPR at each of 10 ** 4 thresholds
    scores = np.random.default_rng(0).permutation(10_000).astype(np.float64).reshape(100, 100)
    maps, masks = np.stack([scores, scores]), np.stack([np.zeros((100, 100), bool), np.ones((100, 100), bool)])
    lower, upper = 1e-2, 1e-1
    score = float(aupimo_scores(maps, masks, (lower, upper))[1])
    # the pixels tie, so the curve is the straight line over ln F between neighbouring points of TPR = FPR
    points = np.arange(100, 1001) / 10_000
    assert score == pytest.approx(np.trapezoid(points, np.log(points)) / np.log(10), abs=1e-12)
    assert score == pytest.approx(no_skill_score((lower, upper)), rel=1e-5)


def test_no_skill_score_at_the_default_bounds():
    assert no_skill_score((1e-5, 1e-4)) == pytest.approx(3.909e-5, rel=1e-4)


@pytest.mark.parametrize(
    "transform",
    [lambda x: x.exp(), lambda x: 3 * x - 7, lambda x: x.double() ** 3, lambda x: torch.sigmoid(x.double() / 4)],
    ids=["exp", "affine", "cube", "sigmoid"],
)
def test_strictly_increasing_transforms_change_nothing(test_set, transform):
    maps, masks = test_set(dtype=torch.float64)
    assert torch.equal(aupimo_scores(maps, masks)[8:], aupimo_scores(transform(maps), masks)[8:])


def test_the_order_of_images_changes_no_bit(test_set, ragged_set):
    maps, masks = test_set()
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    shuffled = aupimo_scores(maps[order], masks[order])
    assert torch.equal(shuffled.nan_to_num(-1), aupimo_scores(maps, masks)[order].nan_to_num(-1))
    maps, masks = ragged_set()
    scores = aupimo_scores(maps, masks, (1e-2, 0.3))
    backwards = aupimo_scores(maps[::-1], masks[::-1], (1e-2, 0.3))
    assert torch.equal(backwards.flip(0).nan_to_num(-1), scores.nan_to_num(-1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_each_dtype_is_compared_as_it_is(test_set, dtype):
    maps, masks = test_set(dtype=dtype)
    scores = aupimo_scores(maps, masks, (1e-4, 1e-2))
    assert scores.dtype == torch.float64
    assert torch.equal(scores[8:], aupimo_scores(maps.double(), masks, (1e-4, 1e-2))[8:])


def test_float64_is_never_rounded_to_float32():
    maps = 1 + torch.arange(2 * 100 * 100, dtype=torch.float64).reshape(2, 100, 100) * 1e-12
    masks = torch.zeros(2, 100, 100, dtype=torch.bool)
    masks[1, 50:] = True
    assert float(aupimo_scores(maps, masks, (1e-3, 1e-2))[1]) == 1.0
    assert float(aupimo_scores(maps.flip(0), masks, (1e-3, 1e-2))[1]) == 0.0


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.uint16, np.int32, np.int64])
def test_masks_of_any_integer_type(test_set, dtype):
    maps, masks = test_set()
    scores = aupimo_scores(maps.numpy(), masks.numpy().astype(dtype))
    assert torch.equal(scores[8:], aupimo_scores(maps, masks)[8:])


def test_arrays_of_any_layout(test_set):
    maps, masks = test_set()
    expected = aupimo_scores(maps, masks)[8:]
    read_only = maps.numpy().copy()
    read_only.flags.writeable = False
    layouts = {
        "read-only": read_only,
        "big endian": maps.numpy().astype(">f4"),
        "transposed": np.ascontiguousarray(maps.numpy().transpose(2, 1, 0)).transpose(2, 1, 0),
        "a channel": torch.stack([maps, maps], dim=1)[:, 0],
        "channels last": torch.stack([maps, maps], dim=-1)[..., 0],
        "with a channel": maps[:, None],
        "with gradient": maps.clone().requires_grad_(),
    }
    of_masks = {
        "channels last": torch.stack([masks, masks], dim=-1)[..., 0],
        "with a channel": masks.numpy()[:, None],
        "big endian": masks.numpy().astype(">u2"),
    }
    for name, layout in layouts.items():
        assert torch.equal(aupimo_scores(layout, of_masks.get(name, masks))[8:], expected), name
    flipped = aupimo_scores(maps.numpy()[:, ::-1], masks.numpy()[:, ::-1])
    assert torch.equal(flipped[8:], expected)
    once = torch.zeros(1, 128, 128, dtype=torch.bool).expand(8, -1, -1)
    assert torch.equal(aupimo_scores([*maps[:8].unbind(), maps[9]], [*once.unbind(), masks[9]])[8], expected[1])
    repeated = torch.cat([once, masks[9:10].expand(8, -1, -1)])
    assert torch.equal(aupimo_scores(maps, repeated)[9], expected[1])


def test_finds_enough_scores_when_the_sample_misleads():
    # the few scores that a strided sample sees are the highest ones: a first guess that is far too high
    maps = torch.rand(4, 1024, 1024, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = max(1, 1024 * 1024 * 3 // 2**16) | 1
    maps[:3].view(3, -1)[:, ::step] += 1 + torch.rand(3, -(-(1024**2) // step), dtype=torch.float64)
    masks = torch.zeros(4, 1024, 1024, dtype=torch.bool)
    masks[3, :100, :100] = True
    maps[3, :100, :100] = torch.linspace(0, 2, 10_000, dtype=torch.float64).reshape(100, 100)
    normal = maps[:3].flatten().sort(descending=True).values
    upper = 0.3
    defects = maps[3, :100, :100].flatten()
    points = torch.arange(1, len(normal) + 1, dtype=torch.float64) / len(normal)
    ends = points.log().clamp(math.log(0.01), math.log(upper))
    widths = torch.diff(ends, prepend=torch.tensor([math.log(0.01)], dtype=torch.float64))
    tprs = 1 - torch.searchsorted(defects.sort().values, normal) / 10_000
    expected = float((widths * tprs).sum() / math.log(upper / 0.01))
    assert float(aupimo_scores(maps, masks, (0.01, upper))[3]) == pytest.approx(expected, abs=1e-9)


def test_saturated_scores_cost_little_memory_and_stay_exact(definition):
    random = np.random.default_rng(0)
    maps = np.maximum(random.normal(size=(6, 40, 50)), 1.5).astype(np.float32)  # 93 % of the pixels tie
    masks = np.zeros(maps.shape, dtype=bool)
    masks[4:, 5:15, 5:15] = True
    expected = definition.brute_force_aupimo(maps, masks, 1e-2, 0.5)
    assert_equal(aupimo_scores(maps, masks, (1e-2, 0.5)), expected)


@pytest.mark.parametrize("size", [(16, 16), (15, 20), (15, 18), (15, 15)])  # 8, 4, 2 and 1 pixels looked at together
@pytest.mark.parametrize("images_at_once", [0.4, 1, 2, 100])
def test_neither_chunks_nor_interleaved_classes_nor_strides_change_a_bit(size, images_at_once, monkeypatch):
    from aupimo_helpers.metrics import checks

    random = np.random.default_rng(0)
    maps = random.integers(0, 60, (13, *size)).astype(np.float32)
    masks = random.random((13, *size)) < 0.3
    masks[[0, 3, 4, 8, 12]] = False
    one_by_one = torch.cat(
        [
            aupimo_scores(
                np.stack([*maps[[0, 3, 4, 8, 12]], image]), np.stack([*masks[[0, 3, 4, 8, 12]], mask]), (1e-2, 0.5)
            )[5:]
            for image, mask in zip(maps, masks, strict=True)
            if mask.any()
        ]
    )
    monkeypatch.setattr(checks, "PIXELS_AT_ONCE", int(images_at_once * size[0] * size[1]))
    for strided in (
        lambda array: array,
        lambda array: np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0),
    ):
        scores = aupimo_scores(strided(maps), strided(masks), (1e-2, 0.5))
        assert torch.equal(scores[~scores.isnan()], one_by_one)


def test_importing_the_functions_imports_nothing_heavy():
    code = (
        "import sys; from aupimo_helpers import aupimo_scores; import aupimo_helpers.metrics.memory; "
        "heavy = {'torch', 'anomalib', 'lightning', 'pytorch_lightning', 'torchmetrics', 'pandas', 'scipy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def test_a_definition_that_is_wrong_in_the_ties_would_be_noticed():
    # half of the mask ties with the normal scores' third: counting ">" or ">=" alone gives 0.5 or 1
    normal = np.array([[3.0, 3.0, 2.0, 2.0, 1.0, 1.0]])
    defect = np.array([[2.0, 2.0, 5.0, 5.0, 0.0, 0.0]])
    maps, masks = np.stack([normal, defect]), np.array([[[0] * 6], [[1, 1, 1, 1, 0, 0]]])
    score = float(aupimo_scores(maps, masks, (1 / 3, 2 / 3))[1])
    assert score == pytest.approx(0.75, abs=1e-12)
    with pytest.raises(InputError, match=r"33\.333 % of the normal pixels"):
        aupimo_scores(maps, masks, (1 / 5, 1 / 3))
