"""Scores from files: one image at a time, with bounded memory, from any mixture of files that can be compared."""

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, reweighted_scores
from aupimo_helpers.scores import maps as module
from aupimo_helpers.scores.maps import score_files


@pytest.fixture
def make_set(tmp_path):
    """Write maps and masks: most images normal, the last four with a defect."""

    def make(number=24, size=64, change=lambda _, scores: scores, suffix=lambda _: ".npy"):
        random = np.random.default_rng(0)
        maps, masks = random.random((number, size, size)).astype(np.float32), np.zeros((number, size, size), bool)
        masks[-4:, 5:30, 7:40] = True
        maps[-4:, 5:20] += np.linspace(0, 0.8, size, dtype=np.float32)
        changed = [change(index, scores) for index, scores in enumerate(maps)]
        for folder in ("maps", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for index, (scores, mask) in enumerate(zip(changed, masks, strict=True)):
            path = tmp_path / "maps" / f"{index:03}{suffix(index)}"
            if path.suffix == ".png":
                Image.fromarray(scores).save(path)
            else:
                np.save(path, scores)
            Image.fromarray(mask).save(tmp_path / "masks" / f"{index:03}.png")
        return changed, list(masks)

    return make


def assert_same(tmp_path, maps, masks, bounds):
    result = score_files(tmp_path / "maps", tmp_path / "masks", bounds)
    expected = aupimo_scores(maps, masks, bounds).numpy()
    assert 0 < np.nanmin(expected) < np.nanmax(expected) < 1
    np.testing.assert_array_equal(result.aupimos, expected)
    return result


@pytest.mark.parametrize("bounds", [(1e-3, 1e-2), (0.01, 0.3), (0.01, 1.0)])
def test_the_bits_of_the_function(make_set, tmp_path, bounds):
    result = assert_same(tmp_path, *make_set(), bounds)
    assert result.paths[0] == "000.npy"
    assert result.fpr_bounds == bounds
    assert result.threshold_bounds[0] < result.threshold_bounds[1]


@pytest.mark.parametrize(("room", "read_again"), [(2**29, 0), (2 * 61 * 61, 2), (0, 4)])
def test_masks_that_do_not_fit_into_the_memory_are_read_again(make_set, tmp_path, monkeypatch, room, read_again):
    maps, masks = make_set(size=61)  # no whole number of bytes
    monkeypatch.setattr(module, "_KEPT_BITS", room)
    read, reads = module.images.read_mask, []
    monkeypatch.setattr(module.images, "read_mask", lambda path: reads.append(path.stem) or read(path))
    assert_same(tmp_path, maps, masks, (1e-3, 1e-2))
    assert sorted(reads[24:]) == [f"{index:03}" for index in range(20, 24)][4 - read_again :]


def test_what_is_kept_is_bounded_and_the_result_the_same(make_set, tmp_path, monkeypatch):
    # an odd image comes first: nearly all of its pixels score higher than all others
    maps, masks = make_set(number=150, change=lambda index, scores: scores + (index == 0))
    most, add = [], module.Memory.add

    def watched(memory, stack):
        add(memory, stack)
        most.append(sum(map(len, memory.normal)))

    monkeypatch.setattr(module.Memory, "add", watched)
    monkeypatch.setattr(module, "default_budget", lambda _: 20_000)
    assert_same(tmp_path, maps, masks, (1e-3, 1e-2))
    assert len(most) == 146
    assert max(most) <= max(20_000, 8 * 1e-2 * 146 * 64 * 64)


def test_what_is_kept_of_each_image_is_bounded_too(make_set, tmp_path, monkeypatch):
    maps, masks = make_set(number=150, change=lambda index, scores: scores + np.float32(0.05) * (index == 7))
    monkeypatch.setattr(module, "default_budget", lambda _: 20_000)
    result = score_files(tmp_path / "maps", tmp_path / "masks", (1e-3, 1e-2), keep_highest=True)
    floor = min(image.scores.min() for image in result.normal)
    assert sum(len(image.scores) for image in result.normal) <= max(20_000, 8 * 1e-2 * 146 * 64 * 64)
    for image, scores in zip(result.normal, maps[:-4], strict=True):
        assert image.pixels == 64 * 64
        np.testing.assert_array_equal(image.scores, scores[scores >= floor])
    for of_mask, scores, mask in zip(result.of_masks, maps, masks, strict=True):
        np.testing.assert_array_equal(of_mask, scores[mask])
    draws = np.random.default_rng(1).multinomial(146, np.full(146, 1 / 146), size=5)
    expected = reweighted_scores(maps, masks, draws, (1e-3, 1e-2))
    assert 0 < np.nanmin(expected) < np.nanmax(expected) < 1
    np.testing.assert_allclose(result.reweighted(draws), expected, rtol=1e-12)
    monkeypatch.setattr(module, "_ROWS", 100)  # and a rest
    without = np.nanmean(reweighted_scores(maps, masks, 1 - np.eye(146), (1e-3, 1e-2)), axis=1)
    np.testing.assert_allclose(result.means_without_each(), without, rtol=1e-12)
    assert np.ptp(without) > 1e-4


def test_what_was_not_kept_is_no_basis_for_an_answer(make_set, tmp_path, monkeypatch):
    make_set(number=12, change=lambda index, scores: scores + 10 * (index == 2))  # the scores of one image are kept
    monkeypatch.setattr(module, "default_budget", lambda _: 4_000)
    result = score_files(tmp_path / "maps", tmp_path / "masks", (1e-3, 1e-2), keep_highest=True)
    with pytest.raises(InputError, match=r"The normal image 002.npy has so many of the highest scores"):
        result.reweighted(1 - np.eye(8))
    assert result.reweighted(np.ones((1, 8))).shape == (1, 12)


def test_floats_of_different_widths_are_compared_exactly(make_set, tmp_path):
    dtypes = [np.float16, np.float32, np.float64, ">f4"]
    maps, masks = make_set(change=lambda index, scores: scores.astype(np.float64).astype(dtypes[index % 4]))
    assert_same(tmp_path, maps, masks, (1e-3, 1e-2))


@pytest.mark.parametrize("odd", [0, 23])  # among the normal and among the anomalous images
@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_whole_numbers_beside_fractions_are_refused(make_set, tmp_path, odd, suffix):
    make_set(
        change=lambda index, scores: (scores * 30_000).astype(np.uint16) if index == odd else scores,
        suffix=lambda index: suffix if index == odd else ".npy",
    )
    with pytest.raises(InputError, match=rf"{odd:03}{suffix} holds whole numbers, .*/0\d\d.npy holds fractions"):
        score_files(tmp_path / "maps", tmp_path / "masks", (1e-3, 1e-2))


def test_a_map_that_is_zero_everywhere_is_no_whole_number(make_set, tmp_path):
    maps, masks = make_set(change=lambda index, scores: scores * (index != 3))
    assert_same(tmp_path, maps, masks, (1e-3, 1e-2))
