"""The reader of images and masks, and the rule that import, check, score and plots share."""

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.images import read_mask, read_picture
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
