"""Masks as public data sets keep them."""

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.layouts import recognise
from aupimo_helpers.data.own import import_folder
from aupimo_helpers.errors import InputError

INSIDE = np.zeros((12, 16), dtype=np.uint8)
INSIDE[2:5, 3:7] = 1
RED, GREEN, VOID = (128, 0, 0), (0, 128, 0), (224, 224, 192)


def palette(path, indexes):
    """A mask as Pascal VOC's: colours by index, 255 around the objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(indexes.astype(np.uint8)).convert("P")
    colours = [(0, 0, 0), RED, GREEN] + [(i, 1, 2) for i in range(252)] + [VOID]
    image.putpalette([value for colour in colours for value in colour])
    image.save(path)


@pytest.fixture
def voc(draw, tmp_path):
    source = tmp_path / "voc"
    for name in "abc123":
        draw.picture(source / "JPEGImages" / f"{name}.jpg")
    masks = source / "SegmentationClass"
    palette(masks / "a.png", INSIDE)
    surrounded = 2 * INSIDE
    surrounded[1, 3:7] = 255
    palette(masks / "b.png", surrounded)
    both = INSIDE.copy()
    both[8, 8:10] = 2
    Image.fromarray(np.array([(0, 0, 0), RED, GREEN], dtype=np.uint8)[both]).save(masks / "c.png")
    for name in "123":
        palette(masks / f"{name}.png", 0 * INSIDE)
    return source


def test_voc_masks_and_their_void(voc, draw, tmp_path):
    (voc / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nDent:128,0,0::\n\nx y:0,128,0::"
    )
    assert recognise(voc) == "voc"
    folder = import_folder(voc, data_root=tmp_path)
    masks = {name: draw.pixels(folder / "ground_truth" / name) > 0 for name in draw.listing(folder / "ground_truth")}
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "dent/a.png": 12,
        "x_y/b.png": 12,
        "combined/c.png": 14,
    }
    assert len(list(folder.glob("t*/good/*"))) == 3


def test_voc_without_names_or_masks(voc, draw, tmp_path):
    (voc / "SegmentationClass" / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.jpg has no annotation"):
        import_folder(voc, data_root=tmp_path)
    folder = import_folder(voc, data_root=tmp_path, unlabelled="normal")
    assert draw.listing(folder / "ground_truth") == [f"abnormal/{name}.png" for name in "abc"]


@pytest.mark.parametrize("line", ["dent", "dent:1,2", "dent:a,b,c::"])
def test_a_damaged_labelmap_is_named(voc, tmp_path, line):
    (voc / "labelmap.txt").write_text(f"x:1,2,3::\n{line}\n")
    with pytest.raises(InputError, match=rf"labelmap\.txt has the line '{line}', which is not NAME:RED,GREEN,BLUE"):
        import_folder(voc, data_root=tmp_path)


@pytest.mark.parametrize("inner", ["Data", "."])
def test_visa(draw, tmp_path, inner):
    source = tmp_path / "candle"
    for number in range(4):
        draw.picture(source / inner / "Images" / "Normal" / f"{number:03}.JPG", format="jpeg")
    for number in range(2):
        draw.picture(source / inner / "Images" / "Anomaly" / f"{number:03}.JPG", format="jpeg")
        mask = INSIDE.copy()
        mask[8, 8] = 2  # a second class
        draw.mask(source / inner / "Masks" / "Anomaly" / f"{number:03}.png")
        Image.fromarray(mask).save(source / inner / "Masks" / "Anomaly" / f"{number:03}.png")
    (source / "image_anno.csv").write_text("image,label,mask\n")
    assert recognise(source) == "visa"
    folder = import_folder(source, data_root=tmp_path)
    assert (draw.pixels(folder / "ground_truth" / "anomaly" / "001.png") > 0).sum() == 13
    assert len(list(folder.glob("t*/good/*"))) == 4
    with pytest.raises(InputError, match=r"holds several data sets: import one of them, such as .*candle"):
        import_folder(tmp_path, "all", data_root=tmp_path / "datasets")


@pytest.fixture
def tiles(draw, tmp_path):
    """Photographs and masks side by side, as a folder for each kind, with normal ones among them."""
    source = tmp_path / "tiles"
    for kind, names in {"MT_Hole/Imgs": "ab", "MT_Crack/Imgs": "ac", "MT_Free/Imgs": "123"}.items():
        for name in names:
            draw.picture(source / kind / f"{name}.jpg")
            draw.mask(source / kind / f"{name}.png", value=0 if name in "123" else 255)
    return source


def test_masks_beside_the_images(tiles, draw, tmp_path):
    assert recognise(tiles) == "beside"
    folder = import_folder(tiles, data_root=tmp_path)
    assert draw.listing(folder / "ground_truth") == [
        f"mt_{name}.png" for name in ("crack/a", "crack/c", "hole/a", "hole/b")
    ]
    assert len(list(folder.glob("t*/good/*"))) == 3


def test_masks_beside_with_an_ending_and_normal_images_without(tiles, draw, tmp_path):
    for path in tiles.glob("MT_[HC]*/*/*.png"):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    for path in tiles.glob("MT_[HC]*/*/*.jpg"):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    for path in tiles.glob("MT_Free/*/*.png"):
        path.unlink()
    (tiles / "MT_Free").rename(tiles / "good")
    folder = import_folder(tiles, data_root=tmp_path)
    assert len(draw.listing(folder / "ground_truth")) == 4
    assert len(list(folder.glob("t*/good/*"))) == 3


def test_masks_beside_that_do_not_fit(tiles, draw, tmp_path):
    draw.mask(tiles / "MT_Hole" / "Imgs" / "a.png", value=0)
    draw.mask(tiles / "MT_Hole" / "Imgs" / "z.png")
    draw.mask(tiles / "MT_Crack" / "Imgs" / "c.png", size=(24, 32))
    (tiles / "MT_Crack" / "Imgs" / "a.png").unlink()
    with pytest.raises(InputError) as caught:
        import_folder(tiles, data_root=tmp_path)
    message = str(caught.value)
    for text in (
        "4 problems",
        "z.png belongs to no image",
        "a.jpg shows a defect and has no mask",
        "is 32 x 24 pixels",
    ):
        assert text in message
    assert "a.png marks no pixel" in message


def test_an_image_of_the_same_name_in_two_kinds_is_no_conflict(tiles, draw, tmp_path):
    folder = import_folder(tiles, data_root=tmp_path)
    first, second = (draw.pixels(folder / f"test/mt_{kind}/a.png") for kind in ("hole", "crack"))
    assert (first != second).any()


def test_what_a_mac_leaves_is_no_picture_and_a_phone_format_is_named(tiles, tmp_path):
    (tiles / "MT_Hole" / "Imgs" / "._a.jpg").write_bytes(b"what a Mac leaves behind")
    assert import_folder(tiles, data_root=tmp_path).is_dir()
    (tiles / "MT_Hole" / "Imgs" / "IMG_1.HEIC").write_bytes(b"")
    with pytest.raises(InputError, match=r"IMG_1\.HEIC is in a format that is not read"):
        import_folder(tiles, "again", tmp_path)
