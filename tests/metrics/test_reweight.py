"""Leaving out and repeating normal images, against the metric on the images that are left or repeated."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, reweighted_scores


def test_set(seed, *, levels, sizes=((60, 70), (80, 50)), num_normal=5, num_anomalous=4):
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for i in range(num_normal + num_anomalous):
        shape = sizes[i % len(sizes)]
        mask = np.zeros(shape, dtype=bool)
        scores = rng.random(shape)
        if i >= num_normal:
            mask[5 : 5 + rng.integers(1, 20), 5:20] = True
            scores[mask] **= 0.2
        maps.append(np.floor(scores * levels) / levels if levels else scores)
        masks.append(mask)
    order = rng.permutation(len(maps))
    return [maps[i] for i in order], [masks[i] for i in order]


test_set.__test__ = False


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([0, 20, 200]),
    weights=st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any),
    bounds=st.sampled_from([(1e-3, 1e-2), (1e-2, 0.3), (0.05, 1.0)]),
)
def test_equals_the_metric_on_the_images_drawn(seed, levels, weights, bounds):
    maps, masks = test_set(seed, levels=levels)
    normal = [i for i, mask in enumerate(masks) if not mask.any()]
    anomalous = [i for i, mask in enumerate(masks) if mask.any()]
    drawn = [i for i, times in zip(normal, weights, strict=True) for _ in range(times)] + anomalous
    try:
        expected = aupimo_scores([maps[i] for i in drawn], [masks[i] for i in drawn], bounds)
    except InputError:  # too few distinct normal scores within the bounds: nothing to compare with
        assume(False)
    (found,) = reweighted_scores(maps, masks, [weights], bounds)
    assert np.isnan(found[normal]).all()
    np.testing.assert_allclose(found[anomalous], expected[-len(anomalous) :], atol=1e-12)


def test_many_rows_at_once_are_those_one_by_one():
    maps, masks = test_set(1, levels=0)
    weights = np.random.default_rng(0).multinomial(5, [0.2] * 5, size=150)
    together = reweighted_scores(maps, masks, weights, (1e-3, 1e-2))
    single = np.vstack([reweighted_scores(maps, masks, row[None], (1e-3, 1e-2)) for row in weights])
    np.testing.assert_allclose(together, single, atol=1e-12)


@pytest.mark.parametrize("weights", [np.ones((2, 4)), np.zeros((1, 5)), -np.eye(5), np.ones(5)])
def test_weights_that_do_not_fit_are_refused(weights):
    maps, masks = test_set(1, levels=0)
    with pytest.raises(InputError, match=r"weights of shape \(B, 5\)"):
        reweighted_scores(maps, masks, weights)


def test_the_only_normal_image_cannot_be_left_out():
    maps, masks = np.random.default_rng(0).random((2, 400, 400)), np.zeros((2, 400, 400), dtype=bool)
    masks[1, :9, :9] = True
    assert reweighted_scores(maps, masks, [[1]]).shape == (1, 2)
    with pytest.raises(InputError, match="only normal image"):
        reweighted_scores(maps, masks, 1 - np.eye(1))


@pytest.mark.parametrize("image", [0, 2])
def test_a_score_that_is_no_number_is_refused(image):
    maps, masks = np.random.default_rng(0).random((3, 40, 40)), np.zeros((3, 40, 40), dtype=bool)
    masks[2, :9, :9] = True
    maps[image, 3, 3] = np.nan
    with pytest.raises(InputError, match=f"the map of image {image} holds nan"):
        reweighted_scores(maps, masks, 1 - np.eye(2), (1e-2, 1e-1))


def test_tensors_are_taken_as_the_metric_takes_them():
    maps, masks = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 40, 40).bool()
    masks[2, :9, :9] = True
    maps = maps.bfloat16().requires_grad_()
    found = reweighted_scores(maps, masks, np.ones((1, 2)), (1e-2, 1e-1))[0]
    np.testing.assert_allclose(found, aupimo_scores(maps, masks, (1e-2, 1e-1)), rtol=1e-12)
