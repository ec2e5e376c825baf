"""YOLO's text files of polygons."""

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.layouts import recognise
from aupimo_helpers.data.own import import_folder
from aupimo_helpers.errors import InputError

# The 12 pixels of the other layouts' masks, in an image of 12 x 16.
SQUARE = "0 " + " ".join(f"{x / 16} {y / 12}" for x, y in ((3, 2), (7, 2), (7, 5), (3, 5)))


@pytest.fixture
def yolo(draw, tmp_path):
    source = tmp_path / "export"
    for split, names in {"train": "ab12", "val": "c3"}.items():
        (source / "labels" / split).mkdir(parents=True)
        for name in names:
            draw.picture(source / "images" / split / f"{name}.jpg")
            lines = {"a": [SQUARE], "b": [SQUARE, "1 0 0.5 0.25 0.5 0.25 1 0 1"], "c": [SQUARE, ""]}.get(name, [])
            (source / "labels" / split / f"{name}.txt").write_text("\n".join(lines))
    (source / "data.yaml").write_text("path: ../x\ntrain: images/train\nnc: 2\nnames: [Dent, scratch]\n")
    return source


def test_polygons_become_masks_and_empty_files_normal_images(yolo, draw, tmp_path):
    assert recognise(yolo) == "yolo"
    folder = import_folder(yolo, data_root=tmp_path)
    assert draw.listing(folder / "ground_truth") == ["combined/b.png", "dent/a.png", "dent/c.png"]
    mask = draw.pixels(folder / "ground_truth/dent/a.png") > 0
    assert mask[2:5, 3:7].all()
    assert mask.sum() == 12
    assert (draw.pixels(folder / "ground_truth/combined/b.png") > 0).sum() == 12 + 4 * 6
    assert len(list(folder.glob("t*/good/*"))) == 3


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "names:\n  0: Dent\n  1: scratch\n"),
        ("my set.yml", "names: ['Dent', 'scratch']\n"),
        ("classes.txt", "Dent\nscratch\n"),
        (None, ""),
    ],
)
def test_names_of_classes(yolo, draw, tmp_path, file, text):
    (yolo / "data.yaml").unlink()
    if file:
        (yolo / file).write_text(text)
    folder = import_folder(yolo, data_root=tmp_path)
    kind = "dent" if file else "class_0"
    assert draw.listing(folder / "ground_truth") == sorted(["combined/b.png", f"{kind}/a.png", f"{kind}/c.png"])


def test_the_splits_of_roboflow_and_files_beside_the_images(yolo, draw, tmp_path):
    other = tmp_path / "other"
    for split in ("train", "val"):
        (other / split).mkdir(parents=True)
        (yolo / "images" / split).rename(other / split / "images")
        (yolo / "labels" / split).rename(other / split / "labels")
    (yolo / "data.yaml").rename(other / "data.yaml")
    folder = import_folder(other, data_root=tmp_path)
    assert len(draw.listing(folder)) == 6 + 3
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in [*other.glob("*/*/*"), other / "data.yaml"]:
        path.rename(flat / path.name)
    assert draw.listing(import_folder(flat, data_root=tmp_path)) == draw.listing(folder)


def test_the_size_is_that_of_the_upright_image(yolo, draw, tmp_path):
    upright = draw.rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    stored.save(yolo / "images" / "train" / "a.jpg", exif=exif)
    folder = import_folder(yolo, data_root=tmp_path)
    assert (draw.pixels(folder / "ground_truth/dent/a.png") > 0)[2:5, 3:7].all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2 0.2", r"a\.txt, line 2 is a box without an outline"),
        ("0 0.1 0.1 0.9 0.1 0.9", r"has 5 numbers, which are no corners"),
        ("0 0.1 0.1 0.9 0.1 1.5 0.9", r"has the coordinate 1\.5, which is not a share"),
        ("0 0.1 0.1 0.9 0.1 -0.1 0.9", r"has the coordinate -0\.1"),
        ("0 0.1 0.1 0.9 0.1 nan 0.9", r"has the coordinate nan"),
        ("0 0.1 0.1 0.9 x 0.9 0.9", "is not a class and numbers"),
        ("dent 0.1 0.1 0.9 0.1 0.9 0.9", "is not a class and numbers"),
        ("7 0.1 0.1 0.9 0.1 0.9 0.9", "is of the class 7, which has no name"),
        ("0 0.1 0.1 0.9 0.9 0.9 0.1 0.1 0.9", r"a\.txt, shape 2 \(Dent, polygon\) crosses itself"),
        ("0 0.11 0.11 0.12 0.11 0.12 0.12", "covers no pixel"),
    ],
)
def test_lines_that_do_not_fit_are_named(yolo, tmp_path, line, message):
    (yolo / "labels" / "train" / "a.txt").write_text(f"{SQUARE}\n{line}\n")
    with pytest.raises(InputError, match=message):
        import_folder(yolo, data_root=tmp_path)


def test_files_without_partner_are_named(yolo, tmp_path):
    (yolo / "labels" / "train" / "1.txt").unlink()
    (yolo / "images" / "train" / "2.jpg").unlink()
    with pytest.raises(InputError) as caught:
        import_folder(yolo, data_root=tmp_path)
    assert "images/train/1.jpg has no annotation" in str(caught.value)
    assert "labels/train/2.txt belongs to no image" in str(caught.value)


@pytest.mark.parametrize("text", ["names: 5\n", "names: {a: b}\n", "names: [\n", "names:\n"])
def test_files_that_name_no_classes(yolo, tmp_path, text):
    (yolo / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml does not name the classes"):
        import_folder(yolo, data_root=tmp_path)


def test_what_a_mac_leaves_is_no_picture_and_a_phone_format_is_named(yolo, tmp_path):
    (yolo / "images" / "train" / "._a.jpg").write_bytes(b"what a Mac leaves behind")
    assert import_folder(yolo, data_root=tmp_path).is_dir()
    (yolo / "images" / "train" / "IMG_1.HEIC").write_bytes(b"")
    with pytest.raises(InputError, match=r"IMG_1\.HEIC is in a format that is not read"):
        import_folder(yolo, "again", tmp_path)
