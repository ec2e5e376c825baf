"""``aupimo threshold``: what it prints, against a plain count over all scores."""

import re

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.commands import main
from aupimo_helpers.scores import save_scores

NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"


def make_maps(number=6, side=64, dtype=np.float32, coarse=False):
    """Normal maps, one of them with a hot corner, and two maps with a defect: half of it is hot."""
    rng = np.random.default_rng(0)
    maps, masks = rng.normal(10, 1, (number + 2, side, side)), np.zeros((number + 2, side, side), dtype=bool)
    maps[0, :5, :5] += 8
    masks[-2:, :20, :20] = True
    maps[-2:, :10, :20] += 20
    return (maps.round() if coarse else maps).astype(dtype), masks


def by_counting(normal, fpr):
    """The lowest normal score with at most that share of scores at and above it, by trying one after the other."""
    best = float(np.nextafter(np.float32(normal.max()), np.float32(np.inf)))
    for score in np.unique(normal)[::-1].tolist():
        if np.count_nonzero(normal >= score) / normal.size > fpr:
            return best
        best = score
    return best


def write(folder, maps, masks):
    for i, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        kind = "cut" if mask.any() else "good"
        for name in (f"maps/{kind}", f"masks/{kind}"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        np.save(folder / f"maps/{kind}/{i}.npy", scores)
        Image.fromarray(mask).save(folder / f"masks/{kind}/{i}.png")
    return ["threshold", "--maps", f"{folder}/maps", "--masks", f"{folder}/masks"]


def printed(capsys):
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    return [[float(number) for number in re.findall(NUMBER, line)] for line in lines]


@pytest.mark.parametrize(
    ("fpr", "made"),
    [
        (1e-2, {}),
        (1e-3, {}),
        (2e-3, {"dtype": np.float16}),
        (5e-2, {"coarse": True}),  # many ties: fewer are marked than the FPR allows
        (1e-2, {"coarse": True, "dtype": np.float16}),
        (1e-3, {"number": 1, "side": 128}),
    ],
)
def test_as_counted(tmp_path, capsys, fpr, made):
    maps, masks = make_maps(**made)
    assert main([*write(tmp_path, maps, masks), "--fpr", str(fpr)]) == 0
    (threshold,), (reached, wanted, marked, pixels), (images, of), (recall, shown), sure = printed(capsys)
    normal = maps[:-2].astype(np.float64)
    assert (threshold, wanted, pixels, of, shown) == (by_counting(normal, fpr), fpr, normal.size, len(normal), 2)
    assert marked == (normal >= threshold).sum() <= fpr * normal.size
    assert reached == pytest.approx(marked / normal.size, rel=1e-3)
    assert images == (normal >= threshold).any(axis=(1, 2)).sum() > 0
    recalls = [(scores[mask] >= threshold).mean() for scores, mask in zip(maps, masks, strict=True) if mask.any()]
    assert recall == pytest.approx(100 * np.mean(recalls), abs=0.05)
    if len(normal) > 1:
        left_out = [by_counting(np.delete(normal, i, axis=0), fpr) for i in range(len(normal))]
        assert sure[1:] == [min(left_out), max(left_out)]
    else:
        assert len(sure) == 1
    assert sure[0] == pytest.approx(1 / normal.size, rel=0.05)


def test_a_rate_of_little_more_than_one_pixel(tmp_path, capsys):
    maps, masks = make_maps()
    command = write(tmp_path, maps, masks)
    pixels = maps[:-2].size
    assert main([*command, "--fpr", str(1.01 / pixels)]) == 0
    (threshold,), (_, _, marked, _), *_ = printed(capsys)
    assert (threshold, marked) == (float(maps[:-2].max()), 1)
    assert main([*command, "--fpr", str(0.5 / pixels)]) == 1
    assert f"needs at least {2 * pixels} " in capsys.readouterr().err


def test_a_rate_that_the_highest_score_meets_exactly(tmp_path, capsys):
    maps, masks = make_maps(number=2, side=100)
    maps[:2] = np.minimum(maps[:2], 15)
    maps[:2, 50, 50] = 20
    assert main([*write(tmp_path, maps, masks), "--fpr", "1e-4"]) == 0
    (threshold,), (reached, _, marked, _), *_ = printed(capsys)
    assert (threshold, reached, marked) == (20, 1e-4, 2)


def test_a_pixel_of_the_smallest_image_weighs_most(tmp_path, capsys):
    maps, masks = make_maps()
    command = write(tmp_path, maps, masks)
    np.save(tmp_path / "maps/good/1.npy", maps[1, :32])
    Image.fromarray(masks[1, :32]).save(tmp_path / "masks/good/1.png")
    assert main([*command, "--fpr", "1e-2"]) == 0
    *_, (step, _, _) = printed(capsys)
    assert step == pytest.approx(1 / (6 * 32 * 64), rel=0.05)


def test_without_the_odd_image_the_threshold_is_lower(tmp_path, capsys):
    assert main([*write(tmp_path, *make_maps()), "--fpr", "1e-3"]) == 0
    (threshold,), *_, (_, low, high) = printed(capsys)
    assert low < threshold - 1 < threshold < high


def test_a_file_of_scores_holds_two_thresholds(tmp_path, capsys):
    path = tmp_path / "scores.json"
    save_scores(
        path, [0.5, np.nan], ["cut/0.png", "good/0.png"], fpr_bounds=(1e-5, 1e-4), threshold_bounds=(3.5, 4.1)
    )
    assert main(["threshold", "--scores", str(path)]) == 0
    low, high, meaning = capsys.readouterr().out.splitlines()
    assert low == "Threshold where the shared FPR reaches 1e-05: 4.1"
    assert high == "Threshold where the shared FPR reaches 0.0001: 3.5"
    assert "just above it" in meaning
