"""``aupimo score``: formats, matching, output and bad input."""

import html
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image

from aupimo_helpers.commands import main
from aupimo_helpers.errors import AupimoWarning
from aupimo_helpers.metrics import aupimo_scores, threshold_at_fpr
from aupimo_helpers.scores import load_scores


def make_set(num_normal=5, num_anomalous=6, size=160, seed=0):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(num_normal + num_anomalous, size, size, generator=generator)
    masks = torch.zeros(maps.shape, dtype=torch.bool)
    for position, index in enumerate(range(num_normal, len(maps))):
        masks[index, 20 : 40 + position, 30:60] = True
        maps[index][masks[index]] += 1.5 * position
    names = [f"good/{index:03}" for index in range(num_normal)]
    names += [f"{'cut' if index % 2 else 'hole'}/{index:03}" for index in range(num_anomalous)]
    return maps.numpy(), masks.numpy(), names


def write_map(path, scores):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, scores)
    elif path.suffix == ".npz":
        np.savez_compressed(path, scores)
    elif path.suffix == ".png":
        Image.fromarray(scores).save(path)
    else:
        tifffile.imwrite(path, scores)


def write_mask(path, mask, value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * value).save(path)


def write_set(folder, suffix=".npy", ending="_mask", with_normal_masks=True, sets=None):
    maps, masks, names = sets or make_set()
    for scores, mask, name in zip(maps, masks, names, strict=True):
        write_map(folder / "maps" / f"{name}{suffix}", scores)
        if mask.any() or with_normal_masks:
            write_mask(folder / "masks" / f"{name}{ending}.png", mask)
    return maps, masks, names


def score(folder, *arguments):
    return main(
        [
            "score",
            "--maps",
            f"{folder}/maps",
            "--masks",
            f"{folder}/masks",
            "-o",
            f"{folder}/out/scores.json",
            *arguments,
        ]
    )


def assert_scores(folder, maps, masks, names, bounds=(1e-5, 1e-4)):
    table = load_scores(folder / "out" / "scores.json").set_index("image_path")["aupimo"]
    expected = aupimo_scores(list(maps), list(masks), bounds)
    assert len(table) == len(names)
    for path, aupimo in table.items():
        value = float(expected[names.index(str(Path(path).with_suffix("")))])
        assert aupimo == value or (np.isnan(aupimo) and np.isnan(value)), path
    assert table.std() > 0.2


@pytest.mark.parametrize("ending", ["", "_mask"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tif", ".tiff"])
def test_each_float_format_and_both_mask_names(tmp_path, suffix, ending):
    assert_scores_after = write_set(tmp_path, suffix, ending)
    assert score(tmp_path) == 0
    assert_scores(tmp_path, *assert_scores_after)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_images(tmp_path, suffix):
    maps, masks, names = make_set()
    maps = np.clip((maps + 6) * 4000, 0, 65535).astype(np.uint16)
    write_set(tmp_path, suffix, sets=(maps, masks, names))
    assert score(tmp_path) == 0
    assert_scores(tmp_path, maps.astype(np.float32), masks, names)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_dtypes_and_a_channel_axis(tmp_path, dtype):
    maps, masks, names = make_set()
    maps = maps.astype(dtype)
    write_set(tmp_path, sets=(maps[:, None], masks, names))
    assert score(tmp_path, "--fpr-bounds", "1e-4", "1e-2") == 0
    assert_scores(tmp_path, maps, masks, names, (1e-4, 1e-2))


def test_images_of_different_sizes(tmp_path):
    maps, masks, names = make_set(num_normal=12)
    maps = [image[: 160 - 5 * (index % 3)] for index, image in enumerate(maps)]
    masks = [mask[: 160 - 5 * (index % 3)] for index, mask in enumerate(masks)]
    write_set(tmp_path, sets=(maps, masks, names))
    assert score(tmp_path) == 0
    assert_scores(tmp_path, maps, masks, names)


def test_layout_of_mvtec_ad(tmp_path):
    maps, masks, names = make_set()
    for scores, mask, name in zip(maps, masks, names, strict=True):
        write_map(tmp_path / "maps" / "test" / f"{name}.npy", scores)
        if mask.any():
            write_mask(tmp_path / "masks" / "ground_truth" / f"{name}_mask.png", mask)
    assert score(tmp_path, "--missing-mask", "normal") == 0
    table = load_scores(tmp_path / "out" / "scores.json").set_index("image_path")["aupimo"]
    expected = dict(zip(names, aupimo_scores(maps, masks).tolist(), strict=True))
    assert table["test/hole/004.npy"] == expected["hole/004"]
    assert np.isnan(table["test/good/000.npy"])


@pytest.mark.parametrize("kind", ["zeros and ones", "palette", "one bit", "rgb"])
def test_masks_of_every_kind(tmp_path, kind):
    maps, masks, names = write_set(tmp_path)
    for mask, name in zip(masks, names, strict=True):
        path = tmp_path / "masks" / f"{name}_mask.png"
        if kind == "zeros and ones":
            write_mask(path, mask, 1)
        elif kind == "one bit":
            Image.fromarray(mask).save(path)
        elif kind == "rgb":
            Image.fromarray(mask[..., None] * np.array([200, 0, 9], dtype=np.uint8)).save(path)
        else:  # number 0 is the anomalous colour here
            image = Image.fromarray((~mask).astype(np.uint8), mode=None).convert("P")
            image.putpalette([255, 0, 0, 0, 0, 0] + [7, 7, 7] * 254)
            image.save(path)
    assert score(tmp_path) == 0
    assert_scores(tmp_path, maps, masks, names)


def test_what_is_written_and_printed(tmp_path, capsys):
    maps, masks, names = write_set(tmp_path)
    assert score(tmp_path) == 0
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert content["fpr_lower_bound"], content["fpr_upper_bound"] == (1e-5, 1e-4)
    assert content["thresh_lower_bound"] == threshold_at_fpr(maps, masks, 1e-4)
    assert content["thresh_upper_bound"] == threshold_at_fpr(maps, masks, 1e-5)
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert table["image_path"].tolist() == content["paths"] == sorted(f"{name}.npy" for name in names)
    assert set(table["defect"]) == {"good", "cut", "hole"}
    aupimo = table["aupimo"].dropna().sort_values()
    printed = capsys.readouterr().out
    for value in (aupimo.mean(), *aupimo.quantile([0.25, 0.5, 0.75]), *aupimo.head(5)):
        assert f"{value:.4f}" in printed
    assert "5 normal and 6 anomalous" in printed
    assert "hole/000.npy" in printed
    assert "cut/005.npy" not in printed  # the best one


# ------------------------------------------------------------------------------------------- bad input


def refused(folder, capsys, *arguments):
    before = {path for path in folder.rglob("*") if "out" in path.parts}
    assert score(folder, *arguments) == 1
    assert {path for path in folder.rglob("*") if "out" in path.parts} == before
    captured = capsys.readouterr()
    assert captured.err.count("aupimo: ") == 1
    assert "Traceback" not in captured.err
    return captured.err.partition("aupimo: ")[2]


def test_a_missing_mask(tmp_path, capsys):
    maps, masks, names = write_set(tmp_path, with_normal_masks=False)
    message = refused(tmp_path, capsys)
    assert "maps/good/000.npy has no mask" in message
    assert "--missing-mask normal" in message
    assert score(tmp_path, "--missing-mask", "normal") == 0
    assert_scores(tmp_path, maps, masks, names)


def test_masks_without_a_map(tmp_path, capsys):
    write_set(tmp_path)
    (tmp_path / "maps" / "cut" / "003.npy").unlink()
    (tmp_path / "maps" / "cut" / "005.npy").unlink()
    message = refused(tmp_path, capsys)
    assert "cut/003_mask.png has no score map" in message
    assert "cut/005_mask.png has no score map" in message


def emptied(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("fault", ["hidden", "empty", ".npy", ".jp2", ".json", "dangling"])
def test_what_is_no_mask_does_not_make_an_image_normal(tmp_path, capsys, fault):
    write_set(tmp_path, with_normal_masks=False)
    cut = tmp_path / "masks" / "cut"
    paths = list(cut.iterdir())
    if fault == "hidden":
        cut.rename(cut.with_name(".cut"))
    else:
        emptied(cut)
        for path in paths if fault != "empty" else []:
            path.symlink_to("nowhere") if fault == "dangling" else path.with_suffix(fault).write_bytes(b"1")
    message = refused(tmp_path, capsys, "--missing-mask", "normal")
    assert "must be a mask" in message
    for path in paths if fault != "empty" else []:
        assert path.stem in message


def test_links_to_masks_are_followed(tmp_path):
    maps, masks, names = write_set(tmp_path, with_normal_masks=False)
    for folder in ("maps", "masks"):
        (tmp_path / folder / "cut").rename(tmp_path / f"{folder} of cuts")
        (tmp_path / folder / "cut").symlink_to(tmp_path / f"{folder} of cuts")
    (tmp_path / "masks" / ".DS_Store").touch()
    (tmp_path / "masks" / "good").mkdir()
    assert score(tmp_path, "--missing-mask", "normal") == 0
    assert_scores(tmp_path, maps, masks, names)


@pytest.mark.parametrize("black", [True, False])
def test_a_folder_that_came_out_normal_must_be_confirmed(tmp_path, capsys, black):
    write_set(tmp_path, with_normal_masks=False)
    for path in (tmp_path / "masks" / "cut").iterdir():
        write_mask(path, np.zeros((160, 160))) if black else path.unlink()
    (tmp_path / "masks" / "cut").rmdir() if not black else None
    message = refused(tmp_path, capsys, "--missing-mask", "normal")
    assert "All images in cut would count as normal" in message
    assert "confirm it with --normal-folder cut." in message
    assert "none of the score maps lies" in refused(
        tmp_path, capsys, "--missing-mask", "normal", "--normal-folder", "c"
    )
    assert score(tmp_path, "--missing-mask", "normal", "--normal-folder", "cut") == 0
    assert "3 anomalous images" in capsys.readouterr().out


def named_as_doubtful(tmp_path, *command):
    masks = str(tmp_path / "masks")
    with pytest.warns(AupimoWarning) as said:
        assert main([*command, "--masks", masks, "--missing-mask", "normal"]) == 0
    return [str(warning.message) for warning in said]


def test_normal_images_among_defects_are_named(tmp_path):
    write_set(tmp_path, with_normal_masks=False)
    maps, masks = str(tmp_path / "maps"), tmp_path / "masks" / "cut"
    (masks / "001_mask.png").unlink()
    one = "1 of the 3 images in cut counts as normal, since no mask marks a pixel in it: cut/001. If there is"
    commands = (
        ["score", "--maps", maps, "-o", str(tmp_path / "s.json")],
        ["threshold", "--maps", maps, "--fpr", "1e-3"],
    )
    for command in commands:
        assert all(text.startswith(one) for text in named_as_doubtful(tmp_path, *command))
    (masks / "003_mask.png").unlink()
    (text,) = named_as_doubtful(tmp_path, *commands[0])
    assert text.startswith(
        "2 of the 3 images in cut count as normal, since no mask marks a pixel in them: cut/001, cut/003."
    )


def test_normal_images_in_one_flat_folder_are_no_surprise(tmp_path, recwarn):
    write_set(tmp_path, with_normal_masks=False)
    for path in sorted(tmp_path.glob("ma*/*/*")):
        path.rename(path.parents[1] / f"{path.parent.name}-{path.name}")
    for path in tmp_path.glob("ma*/*/"):
        path.rmdir()
    assert score(tmp_path, "--missing-mask", "normal", "--normal-folder", ".") == 0
    assert not [each for each in recwarn if each.category is AupimoWarning]


def test_masks_of_more_than_half_an_image_get_a_warning(tmp_path):
    maps, masks, names = make_set()
    write_set(tmp_path, sets=(maps, np.where(masks.any((1, 2), keepdims=True), ~masks, False), names))
    with pytest.warns(AupimoWarning, match=r"6 masks mark more than half .*cut/001_mask.*and 3 more\. Look whether"):
        assert score(tmp_path) == 0


def test_one_mask_of_several_maps(tmp_path, capsys):
    write_set(tmp_path)
    write_map(tmp_path / "maps" / "hole" / "001.npy", np.zeros((160, 160), np.float32))
    (tmp_path / "masks" / "cut" / "001_mask.png").rename(tmp_path / "masks" / "001.png")
    message = refused(tmp_path, capsys, "--missing-mask", "normal")
    assert "masks/001.png has no score map, but could be that of " in message
    assert "maps/cut/001.npy and " in message
    assert "Put masks into folders of the names of those in" in message


@pytest.mark.parametrize(("first", "then"), [(".npz", ".npy"), (".npy", ".npz")])
def test_an_array_is_known_by_its_content(tmp_path, first, then):
    written = write_set(tmp_path, first)
    for path in tmp_path.glob(f"maps/*/*{first}"):
        path.rename(path.with_suffix(then))
    assert score(tmp_path) == 0
    assert_scores(tmp_path, *written)


def lying(shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00v\x00" + header + bytes(160 * 160 * 4)


@pytest.mark.parametrize("shape", [(100_000, 100_000), (-5, 4), (10**30, 4), (160, 80)])
def test_a_header_that_lies(tmp_path, capsys, shape):
    write_set(tmp_path)
    (tmp_path / "maps" / "cut" / "001.npy").write_bytes(lying(shape))
    assert f"of an array {shape}, and it has 102400)" in refused(tmp_path, capsys)
    (tmp_path / "maps" / "cut" / "001.npy").unlink()
    with zipfile.ZipFile(tmp_path / "maps" / "cut" / "001.npz", "w") as archive:
        archive.writestr("a.npy", lying(shape))
    assert f"of an array {shape}, and it has 102400)" in refused(tmp_path, capsys)


@pytest.mark.parametrize("suffix", [".npz", ".tif"])
def test_a_size_is_compared_before_a_map_is_decoded(tmp_path, capsys, suffix, monkeypatch):
    write_set(tmp_path)
    (tmp_path / "maps" / "cut" / "001.npy").unlink()
    huge = np.broadcast_to(np.float32(0), (6000, 6000))
    path = tmp_path / "maps" / "cut" / f"001{suffix}"
    write_map(path, huge) if suffix == ".npz" else tifffile.imwrite(path, huge, compression="zlib")
    monkeypatch.setattr("numpy.load", None)
    monkeypatch.setattr("tifffile.imread", None)
    message = refused(tmp_path, capsys)
    assert "6000 x 6000 pixels, but its mask" in message
    assert "has 160 x 160" in message


def test_a_map_larger_than_the_memory(tmp_path, capsys, monkeypatch):
    write_set(tmp_path)
    for name in ("000", "001"):
        np.save(tmp_path / "maps" / "good" / f"{name}.npy", np.zeros((2000, 2000), dtype=np.float32))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=500_000))
    message = refused(tmp_path, capsys)
    assert "has 2000 x 2000 values, for which 0.1 GB of memory are needed" in message
    assert "make it smaller (2):" in message


@pytest.mark.parametrize("field", ["encrypted", "compression"])
def test_an_archive_that_cannot_be_opened(tmp_path, capsys, field):
    write_set(tmp_path)
    (tmp_path / "maps" / "cut" / "001.npy").unlink()
    path = tmp_path / "maps" / "cut" / "001.npz"
    np.savez(path, np.zeros((160, 160)))
    content = bytearray(path.read_bytes())
    central = content.find(b"PK\x01\x02")
    for place in (6, central + 8) if field == "encrypted" else (8, central + 10):
        content[place] = 1 if field == "encrypted" else 97
    path.write_bytes(content)
    assert "001.npz cannot be read as a score map" in refused(tmp_path, capsys)


def test_a_file_of_noise_gets_no_advice_to_unpickle(tmp_path, capsys):
    write_set(tmp_path)
    (tmp_path / "maps" / "cut" / "001.npy").write_bytes(b"\x80\x04 noise")
    message = refused(tmp_path, capsys)
    assert "so it is neither .npy nor .npz" in message
    assert "pickle" not in message


def test_a_tiff_of_several_pictures_or_with_holes(tmp_path, capsys):
    write_set(tmp_path)
    path = tmp_path / "maps" / "cut" / "001.tif"
    path.with_suffix(".npy").unlink()
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.zeros((160, 160), np.float32))
        tiff.write(np.zeros((80, 80), np.float32))
    assert "it holds 2 pictures, expected one" in refused(tmp_path, capsys)
    tifffile.imwrite(path, np.ones((160, 160), np.float32))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["StripByteCounts"].overwrite(0)
    assert "a part of its pixels is missing" in refused(tmp_path, capsys)


def test_another_size(tmp_path, capsys):
    write_set(tmp_path)
    for name in ("good/002", "hole/002"):
        write_mask(
            tmp_path / "masks" / f"{name}_mask.png", np.arange(160 * 80).reshape(160, 80) < 7 * ("hole" in name)
        )
        message = refused(tmp_path, capsys)
        assert f"{name}.npy has 160 x 160 pixels, but its mask" in message
        assert "has 160 x 80" in message
        write_mask(tmp_path / "masks" / f"{name}_mask.png", np.zeros((160, 160)))


def test_two_maps_or_two_masks_of_one_name(tmp_path, capsys):
    write_set(tmp_path)
    write_map(tmp_path / "maps" / "cut" / "001.tiff", np.zeros((160, 160), np.float32))
    message = refused(tmp_path, capsys)
    assert "Two score maps have the same name" in message
    assert "001.npy" in message
    assert "001.tiff" in message
    (tmp_path / "maps" / "cut" / "001.tiff").unlink()
    write_mask(tmp_path / "masks" / "cut" / "001.png", np.zeros((160, 160)))
    assert "cut/001.npy has two masks" in refused(tmp_path, capsys)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tiff", ".png"])
@pytest.mark.parametrize("content", [b"", b"not a map"])
def test_an_unreadable_map(tmp_path, capsys, suffix, content):
    write_set(tmp_path)
    (tmp_path / "maps" / "cut" / "001.npy").unlink()
    (tmp_path / "maps" / "cut" / f"001{suffix}").write_bytes(content)
    assert f"{tmp_path}/maps/cut/001{suffix} cannot be read as a score map (" in refused(tmp_path, capsys)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tiff", ".png"])
def test_a_truncated_map(tmp_path, capsys, suffix):
    write_set(tmp_path)
    path = tmp_path / "maps" / "cut" / f"001{suffix}"
    (tmp_path / "maps" / "cut" / "001.npy").unlink()
    random = np.random.default_rng(0)
    write_map(path, random.integers(0, 65535, (160, 160)).astype(np.uint16))
    path.write_bytes(path.read_bytes()[:-2000])
    assert f"maps/cut/001{suffix}" in refused(tmp_path, capsys)


def test_an_unreadable_mask(tmp_path, capsys):
    write_set(tmp_path)
    (tmp_path / "masks" / "cut" / "001_mask.png").write_bytes(b"not an image")
    assert f"{tmp_path}/masks/cut/001_mask.png cannot be read as a mask (it is not an image)" in refused(
        tmp_path, capsys
    )


def test_a_pickled_map_is_not_loaded(tmp_path, capsys):
    write_set(tmp_path)
    np.save(tmp_path / "maps" / "cut" / "001.npy", np.array([{"a": 1}]), allow_pickle=True)
    assert "001.npy cannot be read as a score map (it holds Python objects" in refused(tmp_path, capsys)


def test_a_grey_mask(tmp_path, capsys):
    write_set(tmp_path)
    path = tmp_path / "masks" / "cut" / "001_mask.png"
    Image.fromarray(np.arange(160 * 160, dtype=np.uint8).reshape(160, 160)).save(path)
    message = refused(tmp_path, capsys)
    assert "cut/001_mask.png has 256 different values (0, 1, 2, 3 ...), and a mask has two" in message


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.complex64])
def test_a_map_of_eight_bits_or_worse(tmp_path, capsys, dtype):
    write_set(tmp_path)
    write_map(tmp_path / "maps" / "cut" / "001.npy", np.zeros((160, 160), dtype))
    assert f"cut/001.npy holds {np.dtype(dtype)}, too coarse or of an unknown kind" in refused(tmp_path, capsys)


def test_a_map_with_channels(tmp_path, capsys):
    write_set(tmp_path)
    write_map(tmp_path / "maps" / "cut" / "001.npy", np.zeros((3, 160, 160), np.float32))
    assert "cut/001.npy has the shape (3, 160, 160), and one channel is expected" in refused(tmp_path, capsys)


def test_an_archive_of_several_arrays(tmp_path, capsys):
    write_set(tmp_path)
    (tmp_path / "maps" / "cut" / "001.npy").unlink()
    np.savez(tmp_path / "maps" / "cut" / "001.npz", a=np.zeros(1), b=np.zeros(1))
    assert "it holds 2 arrays (a, b), expected one" in refused(tmp_path, capsys)
    with zipfile.ZipFile(tmp_path / "maps" / "cut" / "001.npz", "w"):
        pass
    assert "it holds 0 arrays (none)" in refused(tmp_path, capsys)


@pytest.mark.parametrize("name", ["good/001", "hole/004"])
def test_nan_in_a_map(tmp_path, capsys, name):
    maps, _, names = write_set(tmp_path)
    scores = maps[names.index(name)].copy()
    scores[5, 5] = np.nan
    write_map(tmp_path / "maps" / f"{name}.npy", scores)
    assert f"maps/{name}.npy holds nan" in refused(tmp_path, capsys)


def test_missing_and_empty_folders(tmp_path, capsys):
    assert f"no folder {tmp_path}/maps" in refused(tmp_path, capsys)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "readme.txt").touch()
    assert f"No score maps in {tmp_path}/maps: expected files that end in .npy" in refused(tmp_path, capsys)


def test_sets_that_lack_something(tmp_path, capsys):
    maps, masks, names = make_set(num_normal=3)
    write_set(tmp_path / "few", sets=(maps, masks, names))
    message = refused(tmp_path / "few", capsys)
    assert "have 76800 pixels in all, but the lower FPR bound 1e-05 needs at least 100000" in message
    write_set(tmp_path / "none", sets=(maps[3:], masks[3:], names[3:]))
    assert "at least one normal image" in refused(tmp_path / "none", capsys)
    write_set(tmp_path / "all", sets=(maps[:3], masks[:3], names[:3]))
    assert "at least one anomalous image" in refused(tmp_path / "all", capsys)


def test_bounds_and_output(tmp_path, capsys):
    write_set(tmp_path)
    assert "order (lower, upper), but got (0.1, 0.01)" in refused(tmp_path, capsys, "--fpr-bounds", "0.1", "0.01")
    assert "to end in .json" in refused(tmp_path, capsys, "-o", f"{tmp_path}/scores.csv")
    (tmp_path / "file").touch()
    assert "a file is where a folder must be" in refused(tmp_path, capsys, "-o", f"{tmp_path}/file/scores.json")


def test_starts_fast_because_it_imports_nothing_heavy(tmp_path):
    write_set(tmp_path)
    arguments = [
        "score",
        "--maps",
        f"{tmp_path}/maps",
        "--masks",
        f"{tmp_path}/masks",
        "-o",
        f"{tmp_path}/out/s.json",
    ]
    code = (
        f"import sys; from aupimo_helpers.commands import main; assert main({arguments!r}) == 0; "
        "print(sorted({'torch', 'anomalib', 'lightning', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_report_tells_what_the_files_hold(tmp_path):
    maps, masks, names = write_set(tmp_path)
    for i, name in enumerate(names):
        path = tmp_path / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (i, 9, 9)).save(path)
    given = ["--fpr-bounds", "1e-4", "1e-3", "--report", str(tmp_path / "page"), "--images", str(tmp_path / "images")]
    assert score(tmp_path, *given) == 0
    page = html.unescape((tmp_path / "page" / "index.html").read_text())
    scores = aupimo_scores(maps, masks, (1e-4, 1e-3)).numpy()
    rest = [(np.delete(maps, i, 0), np.delete(masks, i, 0)) for i in range(5)]
    without = [np.nanmean(aupimo_scores(*pair, (1e-4, 1e-3)).numpy()) for pair in rest]
    assert f"{100 * np.nanmean(scores):.1f} %" in page
    assert f"mean from {100 * min(without):.1f} % to {100 * max(without):.1f} %" in page
    threshold = threshold_at_fpr(maps, masks, 1e-3)
    fired = (maps[:5] >= threshold).sum(axis=(1, 2))
    assert f"{(fired == 0).sum()} of 5 normal images have no false positive pixel" in page
    assert page.count("data:image/jpeg") == 6 + (fired > 0).sum()
    assert "http" not in re.sub(r"data:[^\"]*", "", page)


def test_a_report_with_images_that_do_not_fit_is_not_begun(tmp_path, capsys):
    write_set(tmp_path)
    (tmp_path / "images" / "good").mkdir(parents=True)
    Image.new("L", (4, 4)).save(tmp_path / "images" / "good" / "000.png")
    given = ["--fpr-bounds", "1e-4", "1e-3", "--images", str(tmp_path / "images")]
    assert score(tmp_path, *given) == 1
    assert "--report" in capsys.readouterr().err
    assert score(tmp_path, *given, "--report", str(tmp_path / "page")) == 1
    assert "has no image" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
    assert not (tmp_path / "out").exists()
