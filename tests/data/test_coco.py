"""COCO's polygons and run lengths."""

import json
from pathlib import Path

import numpy as np
import pytest

from aupimo_helpers.data.layouts import recognise
from aupimo_helpers.data.own import import_folder
from aupimo_helpers.data.shapes import Annotation, draw_mask
from aupimo_helpers.errors import InputError

SQUARE = [[3, 2, 7, 2, 7, 5, 3, 5]]
# The same 12 pixels of 12 x 16 as pycocotools 2.0.11 writes them: compressed, and as a list.
TEXT = "V13900000Z3"
LIST = [38, 3, 9, 3, 9, 3, 9, 3, 115]


def coco(**changes):
    """Three images with a defect, two of them with the same one, and three without."""
    names = ["a.png", "b.png", "c.png", "1.png", "2.png", "3.png"]
    content = {
        "images": [{"id": i, "file_name": name, "height": 12, "width": 16} for i, name in enumerate(names)],
        "categories": [{"id": 1, "name": "Dent"}, {"id": 2, "name": "scratch"}],
        "annotations": [
            {"id": 10, "image_id": 0, "category_id": 1, "segmentation": SQUARE},
            {"id": 11, "image_id": 1, "category_id": 1, "segmentation": {"counts": TEXT, "size": [12, 16]}},
            {"id": 12, "image_id": 2, "category_id": 1, "segmentation": {"counts": LIST, "size": [12, 16]}},
            {"id": 13, "image_id": 2, "category_id": 2, "segmentation": [[0, 8, 2, 8, 2, 12, 0, 12]]},
        ],
    }
    return content | changes


@pytest.fixture
def export(draw, tmp_path):
    """Write a COCO file and its images; returns the folder."""

    def write(content, file="annotations/instances_default.json", images="images"):
        source = tmp_path / "export"
        for entry in content["images"]:
            draw.picture(source / images / entry["file_name"].rpartition("\\")[2])
        (source / file).parent.mkdir(exist_ok=True)
        (source / file).write_text(json.dumps(content))
        return source

    return write


def areas(folder, draw):
    return {path.relative_to(folder / "ground_truth").as_posix(): int((draw.pixels(path) > 0).sum()) for path in
            sorted(folder.glob("ground_truth/*/*"))}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("annotations/instances_default.json", "images"),  # CVAT
        ("result.json", "images"),  # Label Studio
        ("train/_annotations.coco.json", "train"),  # Roboflow
        ("annotations.json", "."),
    ],
)
def test_exports_of_several_tools(export, draw, tmp_path, file, images):
    source = export(coco(), file, images)
    folder = import_folder(source, data_root=tmp_path / "datasets", unlabelled="normal")
    assert areas(folder, draw) == {"combined/c.png": 12 + 8, "dent/a.png": 12, "dent/b.png": 12}
    a, b = (draw.pixels(folder / f"ground_truth/dent/{name}.png") for name in "ab")
    np.testing.assert_array_equal(a, b)
    assert len(list(folder.glob("t*/good/*"))) == 3
    again = import_folder(source / file, "by_file", tmp_path / "datasets", unlabelled="normal")
    assert draw.listing(again) == draw.listing(folder)


def test_several_files_and_paths_from_elsewhere(export, tmp_path):
    content = coco()
    for entry in content["images"]:
        entry["file_name"] = "C:\\upload\\7\\" + entry["file_name"]
    normal = {**content, "images": content["images"][3:], "annotations": []}
    source = export(normal, "valid/_annotations.json", "valid")
    export({**content, "images": content["images"][:3]}, "train/_annotations.json", "train")
    folder = import_folder(source, data_root=tmp_path / "datasets", unlabelled="normal")
    assert len(list(folder.glob("t*/*/*"))) == 6


def test_images_without_annotation_are_normal_only_if_somebody_says_so(export, tmp_path):
    source = export(coco())
    with pytest.raises(InputError, match=r"(?s)--unlabelled normal.*\(3\):.*1\.png has no annotation"):
        import_folder(source, data_root=tmp_path / "datasets")
    (source / "good").mkdir()
    for number in (1, 2, 3):  # the folder's name says it, too
        (source / "images" / f"{number}.png").rename(source / "good" / f"{number}.png")
    folder = import_folder(source, data_root=tmp_path / "datasets")
    assert len(list(folder.glob("t*/good/*"))) == 3


def test_random_polygons_keep_their_area():
    """Within 1 % of the shoelace formula on average."""
    rng = np.random.default_rng(0)
    drawn = exact = 0
    for _ in range(100):
        angles = np.linspace(0, 2 * np.pi, 9, endpoint=False) + rng.uniform(0, 0.6, 9)
        corners = 100 + rng.uniform(20, 90, 9)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        x, y = corners.T
        exact += abs((x * np.roll(y, 1) - y * np.roll(x, 1)).sum()) / 2
        shape = {"label": "x", "shape_type": "polygon", "points": corners}
        drawn += draw_mask(Annotation(Path("a.json"), (200, 200), (shape,))).sum()
    assert drawn == pytest.approx(exact, rel=0.01)


def annotation(**changes):
    """The file with one annotation changed."""
    content = coco()
    content["annotations"][0] |= changes
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (annotation(segmentation=[]), r"annotation 10 of a\.png is empty"),
        (annotation(segmentation=[], bbox=[1, 1, 2, 2]), r"annotation 10 of a\.png is a box without an outline"),
        (annotation(segmentation=[[1, 1, 9]]), r"annotation 10 of a\.png has no polygon of numbers"),
        (annotation(segmentation=[["x", 1]]), "has no polygon of numbers"),
        (annotation(segmentation=[[1, 1, float("nan"), 9, 9, 9]]), "has no polygon of numbers"),
        (annotation(segmentation=5), "has no polygon of numbers"),
        (
            annotation(segmentation=[[1, 1, 9, 9]]),
            r"a\.png, shape 1 \(Dent, polygon\) has 2 points and needs 3",
        ),
        (
            annotation(segmentation=[[1, 1, 9, 9, 9, 1, 1, 9]]),
            r"a\.png, shape 1 \(Dent, polygon\) crosses itself",
        ),
        (annotation(segmentation=[[90, 90, 95, 90, 95, 95]]), "covers no pixel of the 16 x 12 image"),
        (
            annotation(segmentation={"counts": TEXT, "size": [16, 12]}),
            r"run lengths for \[16, 12\], and its image",
        ),
        (annotation(segmentation={"counts": LIST[:-1], "size": [12, 16]}), "run lengths of 77 pixels in all"),
        (annotation(segmentation={"counts": [200, -8], "size": [12, 16]}), "run lengths of 192 pixels in all"),
        (annotation(segmentation={"counts": "~~~~", "size": [12, 16]}), r"run lengths of \d+ pixels in all"),
        (annotation(segmentation={"counts": None, "size": [12, 16]}), "holds no run lengths"),
        (annotation(segmentation={"counts": [1.5], "size": [12, 16]}), "holds no run lengths"),
        (annotation(image_id=99), r"is about the image 99, which is not listed"),
        (annotation(category_id=99), r"is about the category 99, which is not listed"),
        (annotation(image_id=[1]), r"is not a whole COCO file \(TypeError"),
        (coco(categories=[{"id": 1, "name": "dent"}, {"id": 1, "name": "cut"}]), "several categories with the id 1"),
        (coco(categories=[{"id": 1, "name": "good"}, {"id": 2, "name": "cut"}]), "has a shape labelled 'good'"),
        (coco(annotations=[{}]), r"is not a whole COCO file \(KeyError: 'image_id'\)"),
        (coco(annotations=7), "is not a whole COCO file"),
        (coco(categories=None), "is not a whole COCO file"),
    ],
)
def test_what_does_not_fit_is_named(export, tmp_path, content, message):
    source = export(content)
    with pytest.raises(InputError, match=message):
        import_folder(source, data_root=tmp_path / "datasets", unlabelled="normal")
    assert not (tmp_path / "datasets" / "own" / "export").exists()


def test_images_that_are_missing_or_there_twice_are_named(export, draw, tmp_path):
    source = export(coco())
    (source / "images" / "a.png").unlink()
    draw.picture(source / "more" / "b.png")
    with pytest.raises(InputError) as caught:
        import_folder(source, data_root=tmp_path / "datasets", unlabelled="normal")
    assert "instances_default.json, image a.png is not in" in str(caught.value)
    assert "instances_default.json, image b.png could be" in str(caught.value)


def test_an_image_of_another_size_is_named(export, draw, tmp_path):
    source = export(coco())
    draw.picture(source / "images" / "a.png", size=(24, 32))
    with pytest.raises(InputError, match=r"image a\.png is 16 x 12 pixels and its image a\.png 32 x 24"):
        import_folder(source, data_root=tmp_path / "datasets", unlabelled="normal")


def test_what_coco_is_not_taken_for(export, mvtec, folders, draw):
    assert recognise(mvtec) == "mvtec"
    assert recognise(folders) == "folders"
    assert recognise(export(coco(), "train/_annotations.coco.json", "train")) == "coco"
    draw.labelme(mvtec.parent / "labelled" / "a.json")
    draw.picture(mvtec.parent / "labelled" / "a.jpg")
    assert recognise(mvtec.parent / "labelled") == "labelme"


def test_what_a_mac_leaves_is_no_picture_and_a_phone_format_is_named(export, tmp_path):
    source = export(coco())
    (source / "images" / "._a.jpg").write_bytes(b"what a Mac leaves behind")
    assert import_folder(source, data_root=tmp_path, unlabelled="normal").is_dir()
    (source / "images" / "IMG_1.HEIC").write_bytes(b"")
    with pytest.raises(InputError, match=r"IMG_1\.HEIC is in a format that is not read"):
        import_folder(source, "again", tmp_path, unlabelled="normal")
