"""What is kept of images that have passed: bounded, joined in any way, and always enough."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, checks, exact
from aupimo_helpers.metrics.memory import Memory, UncertifiedError, default_budget

SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def stack(maps, masks):
    return checks.make_stack(np.stack(maps), np.stack(masks))


def fed(upper, budget, maps, masks, batches):
    """One process: images in batches of the given sizes, each cut where the size of the images changes."""
    memory, start, raised = Memory(upper, budget), 0, 0
    for size in batches:
        rows = range(start, min(start + size, len(maps)))
        start += size
        while rows:
            same = [index for index in rows if maps[index].shape == maps[rows[0]].shape]
            end = next((index for index in rows if index not in same), rows[-1] + 1)
            floor = memory.floor
            memory.add(stack(maps[rows[0] : end], masks[rows[0] : end]))
            assert memory.floor >= floor
            raised += memory.floor > floor
            rows = range(end, rows[-1] + 1)
    return memory, raised


def joined(memories):
    whole = Memory(memories[0].upper, memories[0].budget)
    for memory in memories:
        for mine, theirs in zip(whole.lists, memory.lists, strict=True):
            mine.extend(theirs)
    return whole


def scores_of(memory, lower):
    curve = memory.certified(memory.normals(), memory.upper)
    exact.check_operating_points(curve, 1.0)
    return memory.scores(exact.lengths(curve, lower, memory.upper))


@st.composite
def streams(draw):
    """Hundreds of images in a bad order, split over processes: maps, masks, batches per process, bounds, budget."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    number = draw(st.integers(4, 150))
    shapes = [(1, 1), (4, 5), (6, 6), (3, 11)][1 : draw(st.integers(2, 4))]
    levels = draw(st.sampled_from([3, 30, 10**6]))  # all tie, many tie, none ties
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    if dtype == np.float16:
        levels = min(levels, 2000)
    odd = random.random(number) < draw(st.sampled_from([0.0, 0.02, 0.3]))
    maps, masks = [], []
    for index in range(number):
        shape = shapes[random.integers(len(shapes))]
        maps.append((random.integers(0, levels, shape) + levels * odd[index]).astype(dtype))
        masks.append((random.random(shape) < 0.4) & (random.random() < 0.4))
        maps[-1][masks[-1]] += levels // 2
    masks[0][:], masks[-1][:] = False, True
    order = draw(st.sampled_from(["any", "highest first", "lowest first"]))
    if order != "any":
        places = sorted(range(number), key=lambda index: -maps[index].mean() if order[0] == "h" else maps[index].mean())
        maps, masks = [maps[index] for index in places], [masks[index] for index in places]
    upper = draw(st.sampled_from([0.01, 0.03, 0.1, 0.3, 1.0]))
    processes = draw(st.integers(1, 4))
    batch = draw(st.integers(1, 40))
    pixels = sum(not mask.any() for mask in masks) * max(image.size for image in maps)
    budget = max(2, math.ceil(2 * upper * pixels)) + draw(st.integers(0, 20))
    return maps, masks, processes, batch, (upper / draw(st.sampled_from([1.5, 10.0])), upper), budget


@SETTINGS
@given(streams())
def test_within_the_stated_size_nothing_is_ever_refused(stream):
    maps, masks, processes, batch, bounds, budget = stream
    shares = [range(len(maps))[process::processes] for process in range(processes)]
    memories = [
        fed(bounds[1], budget, [maps[i] for i in share], [masks[i] for i in share], [batch] * len(share))[0]
        for share in shares
    ]
    order = [index for share in shares for index in share]
    expected = None
    try:
        expected = aupimo_scores([maps[i] for i in order], [masks[i] for i in order], bounds, force=True).numpy()
    except InputError as error:
        assert "equal" in str(error)
        with pytest.raises(InputError, match="equal"):
            scores_of(joined(memories), bounds[0])
    else:
        np.testing.assert_array_equal(scores_of(joined(memories), bounds[0]), expected)


@SETTINGS
@given(streams(), st.floats(0.01, 1))
def test_with_less_memory_either_exact_or_refused_but_never_wrong(stream, share):
    maps, masks, _, batch, bounds, budget = stream
    memory, _ = fed(bounds[1], max(2, int(share * budget)), maps, masks, [batch] * len(maps))
    try:
        scores = scores_of(memory, bounds[0])
    except UncertifiedError as error:
        assert f"budget={math.ceil(2 * bounds[1] * memory.normals().num_images * _largest(maps, masks))}" in str(error)
    except InputError as error:
        assert "equal" in str(error)
    else:
        np.testing.assert_array_equal(scores, aupimo_scores(maps, masks, bounds, force=True).numpy())


def _largest(maps, masks):
    return max(image.size for image, mask in zip(maps, masks, strict=True) if not mask.any())
