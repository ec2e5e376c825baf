"""The reader of images and masks, and the rule that import, check, score and plots share."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.images import load_image, pair_masks, read_mask, read_picture
from aupimo_helpers.errors import InputError


def test_opaque_alpha_is_dropped_and_transparency_refused(draw, tmp_path):
    colours = draw.rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    alpha = np.full((4, 5, 1), 255, dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(np.concatenate([colours, alpha], axis=2)).save(path)
    np.testing.assert_array_equal(read_picture(path), colours)
    alpha[0, 0] = 0
    Image.fromarray(np.concatenate([colours, alpha], axis=2)).save(path)
    with pytest.raises(InputError, match=r"a\.png has transparent pixels.*background"):
        read_picture(path)


def test_palette_and_one_bit_pictures(tmp_path):
    colours = np.zeros((2, 2, 3), dtype=np.uint8)
    colours[0, 0] = (200, 10, 30)
    Image.fromarray(colours).quantize(4).save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png"), colours)
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "bit.png"), [[255, 0]])


def test_other_colour_modes_and_several_pages_are_refused(tmp_path):
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    with pytest.raises(InputError, match=r"print\.jpg has the colour mode CMYK"):
        read_picture(tmp_path / "print.jpg")
    Image.new("L", (4, 4)).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.new("L", (4, 4))])
    with pytest.raises(InputError, match=r"pages\.tif holds 2 frames or pages"):
        read_picture(tmp_path / "pages.tif")
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match=r"float\.tif has the colour mode F"):
        read_picture(tmp_path / "float.tif")


@pytest.mark.parametrize("value", [1, 7, 255])
def test_masks_of_any_one_value(draw, tmp_path, value):
    draw.mask(tmp_path / "m.png", value=value)
    mask = read_mask(tmp_path / "m.png")
    assert mask.sum() == 12
    assert mask[2:5, 3:7].all()


def test_palette_masks_join_their_classes(tmp_path):
    image = Image.new("P", (4, 1))
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    image.putdata([0, 1, 2, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), [[False, True, True, False]])


def test_palette_masks_go_by_colour_and_not_by_index(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.putdata([0, 1, 1])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), [[True, False, False]])


def test_red_on_black_is_a_mask(tmp_path):
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    pixels[1, 1] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), [[False, False], [False, True]])


def test_the_reader_is_light_to_import():
    code = (
        "import sys; import aupimo_helpers.data.images\n"
        "heavy = {'torch', 'anomalib', 'pandas', 'scipy', 'skimage', 'matplotlib', 'tifffile', 'filelock'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def files(*names):
    return [(Path(name).with_suffix("").as_posix(), Path(name)) for name in names]


def test_masks_are_paired_by_name():
    found, left, problems = pair_masks(
        files("cut/a.png", "cut/a1.jpg", "dent/a.png"),
        files("dent/a.bmp", "cut/a1_mask.png", "cut/a_mask.png", "b.png"),
    )
    assert {image.as_posix(): mask.as_posix() for image, mask in found.items()} == {
        "cut/a.png": "cut/a_mask.png",
        "cut/a1.jpg": "cut/a1_mask.png",
        "dent/a.png": "dent/a.bmp",
    }
    assert left == [Path("b.png")]
    assert problems == []


@pytest.mark.parametrize("masks", [("a.png", "a.bmp"), ("a.png", "a_mask.png"), ("a_mask.png", "a_mask.tif")])
def test_two_masks_of_one_image_are_named(masks):
    _, left, (problem,) = pair_masks(files("a.jpg"), files(*masks))
    assert str(problem) == f"a.jpg has two masks, {masks[0]} and {masks[1]}. Keep one of them."
    assert left == []


def test_one_mask_of_two_images_is_named():
    images = [("001", Path("cut/001.png")), ("001", Path("dent/001.png"))]
    _, _, (problem,) = pair_masks(images, files("001.png"))
    assert problem.what == "could be the mask of cut/001.png and of dent/001.png"


def test_an_image_may_have_as_many_pixels_as_the_memory_takes(tmp_path, monkeypatch):
    path = tmp_path / "line.png"
    image = Image.new("1", (30_000, 6_000))
    image.putpixel((29_999, 5_999), 1)
    image.save(path)
    assert np.argwhere(read_mask(path)).tolist() == [[5_999, 29_999]]
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10**9))
    with pytest.raises(
        InputError, match=r"line\.png has 6000 x 30000 x 1 values, for which 1\.4 GB .*\(1\.0 GB are fr"
    ):
        read_mask(path)


def test_a_grey_image_of_more_than_8_bits_is_shown_in_its_range(tmp_path):
    for largest, expected in ((60000, 234), (3000, 187), (200, 200)):
        Image.fromarray(np.array([[0, largest]], dtype=np.uint16)).save(tmp_path / "grey.png")
        assert load_image(tmp_path / "grey.png").tolist() == [[[0] * 3, [expected] * 3]]
