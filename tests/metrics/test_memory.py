"""What is kept of images that have passed: bounded, joined in any way, and always enough."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
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
    return memory.per_image(exact.mean_lengths, exact.lengths(curve, lower, memory.upper))


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
        places = sorted(
            range(number), key=lambda index: -maps[index].mean() if order[0] == "h" else maps[index].mean()
        )
        maps, masks = [maps[index] for index in places], [masks[index] for index in places]
    upper = draw(st.sampled_from([0.003, 0.01, 0.03, 0.1, 1.0]))
    processes = draw(st.integers(1, 4))
    batch = draw(st.integers(1, 12))
    pixels = sum(not mask.any() for mask in masks) * max(image.size for image in maps)
    budget = max(2, math.ceil(2 * upper * pixels))
    return maps, masks, processes, batch, (upper / draw(st.sampled_from([1.5, 10.0])), upper), budget


def split(stream, budget):
    """Let each process have its share: the memory of all of them, and the images in its order."""
    maps, masks, processes, batch, bounds, _ = stream
    memories, order = [], []
    for process in range(processes):
        share = range(len(maps))[process::processes]
        mine = [maps[index] for index in share], [masks[index] for index in share]
        memories.append(fed(bounds[1], budget, *mine, [batch] * len(share))[0])
        order += share
    return joined(memories), [maps[index] for index in order], [masks[index] for index in order]


@SETTINGS
@given(streams())
def test_within_the_stated_size_nothing_is_ever_refused(stream):
    *_, bounds, budget = stream
    memory, maps, masks = split(stream, budget)
    try:
        expected = aupimo_scores(maps, masks, bounds, force=True).numpy()
    except InputError as error:
        assert "equal" in str(error)
        with pytest.raises(InputError, match="equal"):
            scores_of(memory, bounds[0])
    else:
        np.testing.assert_array_equal(scores_of(memory, bounds[0]), expected)


@SETTINGS
@given(streams(), st.floats(0.01, 1))
def test_with_less_memory_either_exact_or_refused_but_never_wrong(stream, share):
    *_, bounds, budget = stream
    memory, maps, masks = split(stream, max(2, int(share * budget)))
    try:
        scores = scores_of(memory, bounds[0])
    except UncertifiedError as error:
        normal = [image.size for image, mask in zip(maps, masks, strict=True) if not mask.any()]
        assert f"budget={math.ceil(2 * bounds[1] * len(normal) * max(normal))} " in str(error)
    except InputError as error:
        assert "equal" in str(error)
    else:
        np.testing.assert_array_equal(scores, aupimo_scores(maps, masks, bounds, force=True).numpy())


def test_the_floor_rises_again_and_again_and_half_a_budget_stays():
    # each image scores higher than all before it, so that the budget is filled anew each time
    random = np.random.default_rng(0)
    maps = [random.random((10, 10)).astype(np.float32) + index for index in range(400)]
    masks = [np.full((10, 10), index % 4 == 1) for index in range(400)]
    memory, raised = fed(1e-3, 1000, maps, masks, [3] * 400)
    assert raised > 20
    assert 500 <= sum(map(len, memory.normal)) <= 1000
    every = np.sort(
        np.concatenate([image.ravel() for image, mask in zip(maps, masks, strict=True) if not mask.any()])
    )
    np.testing.assert_array_equal(np.sort(np.concatenate(memory.normal)), every[every >= memory.floor])
    # of the masks, the scores below the floor are kept as a number only
    of_masks = np.concatenate([image.ravel() for image, mask in zip(maps, masks, strict=True) if mask.any()])
    assert (memory.images[:, 1] == [100 * mask.any() for mask in masks]).all()
    np.testing.assert_array_equal(np.concatenate(memory.masks), of_masks[of_masks >= memory.floor])
    assert memory.nbytes < 20 * 1000
    expected = aupimo_scores(maps, masks, (1e-4, 1e-3), force=True).numpy()
    np.testing.assert_array_equal(scores_of(memory, 1e-4), expected)


def test_ties_are_kept_as_counts():
    # half of the pixels share one score, which no floor can split: more than the budget, if they were kept one by one
    random = np.random.default_rng(0)
    maps = [random.choice([100.0, 50.0, 40.0], (10, 10), p=[0.02, 0.5, 0.48]) for _ in range(200)]
    masks = [np.full((10, 10), index == 199) for index in range(200)]
    memory, _ = fed(0.03, 1000, maps, masks, [7] * 200)
    assert memory.floor == 50
    assert sum(map(len, memory.normal)) <= max(1000, 8 * 0.03 * 199 * 100)
    assert sum(counts.sum() for counts in memory.counts) > 4000
    expected = aupimo_scores(maps, masks, (0.01, 0.03), force=True).numpy()
    np.testing.assert_array_equal(scores_of(memory, 0.01), expected)


def test_single_images_do_not_make_a_long_list():
    memory = Memory(1e-4, 10**6)
    for index in range(1000):
        memory.add(checks.make_stack(np.full((1, 4, 4), index, np.float32), np.zeros((1, 4, 4), bool)))
    assert max(map(len, memory.lists)) < 60
    assert sum(map(len, memory.normal)) == 16_000
    assert memory.normals().top(1.0).scores.tolist() == list(range(999, -1, -1))


def test_the_budget_is_enough_for_high_bounds_too():
    assert default_budget(1e-4) == 2**22
    assert default_budget(0.3) >= 2 * 0.3 * 4000 * 256 * 256


def test_beyond_its_size_the_budget_grows_with_the_set():
    # images that come in no particular order: a tenth of the budget that would do for any order is enough
    random = np.random.default_rng(0)
    maps = [random.random((10, 10)).astype(np.float32) for _ in range(400)]
    masks = [np.full((10, 10), index % 4 == 1) for index in range(400)]
    memory, raised = fed(1e-2, 60, maps, masks, [3] * 400)
    assert raised > 3
    assert sum(map(len, memory.normal)) <= 8 * 1e-2 * 300 * 100
    expected = aupimo_scores(maps, masks, (1e-3, 1e-2)).numpy()
    np.testing.assert_array_equal(scores_of(memory, 1e-3), expected)


@pytest.mark.parametrize(("budget", "seen"), [(10**6, 0), (300, 0), (300, 8), (700, 8)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_found_wherever_normal_scores_are_read_first(budget, seen, value):
    # copied, compared with a floor, or among those from which a floor is chosen
    random = np.random.default_rng(0)
    memory = Memory(0.1, budget)
    if seen:
        memory.add(stack(random.standard_normal((seen, 10, 10)), np.zeros((seen, 10, 10), bool)))
    maps, masks = random.standard_normal((9, 10, 10)), np.zeros((9, 10, 10), bool)
    masks[::3, 4:6] = True  # between the normal ones
    maps[7, 9, 9] = value
    with pytest.raises(InputError, match=f"the map of image 7 holds {value}"):
        memory.add(stack(maps, masks))


def test_scores_of_masks_below_the_floor_do_not_pile_up():
    random = np.random.default_rng(0)
    memory = Memory(0.1, 1000)
    memory.add(stack(random.standard_normal((50, 8, 8)), np.zeros((50, 8, 8), bool)))
    assert memory.floor > -math.inf
    for _ in range(1000):
        memory.add(stack(random.standard_normal((1, 8, 8)) - 9, np.ones((1, 8, 8), bool)))
    assert sum(map(len, memory.masks)) <= 65 * 64
    assert len(memory.images) == 1050
