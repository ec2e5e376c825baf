"""Which pictures the layouts hold, and what does not fit into them."""

import shutil

import numpy as np
import pytest

from aupimo_helpers.data.own import import_folder
from aupimo_helpers.errors import InputError, MissingError


def test_mvtec_layout_keeps_splits_and_pixels(draw, mvtec, tmp_path):
    folder = import_folder(mvtec, data_root=tmp_path / "datasets")
    assert folder == tmp_path / "datasets" / "own" / "screws"
    names = [f"{n:03}.png" for n in range(3)]
    groups = ("ground_truth/loose_thread", "test/good", "test/loose_thread", "train/good")
    assert draw.listing(folder) == [f"{group}/{name}" for group in groups for name in names]
    source = draw.pixels(mvtec / "test" / "Loose Thread" / "001.png")
    np.testing.assert_array_equal(draw.pixels(folder / "test/loose_thread/001.png"), source)
    mask = draw.pixels(folder / "ground_truth/loose_thread/001.png")
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    assert (mask == 255).sum() == 12


def test_a_folder_of_normal_test_images_is_used_as_it_is(draw, folders, tmp_path):
    for number in range(2):
        draw.picture(folders / "normal_test" / f"IMG_{number}.jpg")
    folder = import_folder(folders, "parts", tmp_path)
    assert len(list((folder / "train/good").iterdir())) == 5
    assert sorted(path.name for path in (folder / "test/good").iterdir()) == ["IMG_0.png", "IMG_1.png"]


def test_folders_of_defects_name_them(draw, tmp_path):
    source = tmp_path / "source"
    for number in range(3):
        draw.picture(source / "OK" / f"{number}.png")
    for defect in ("Scratch", "dent"):
        draw.picture(source / "NG" / defect / "0.png")
        draw.mask(source / "GT" / defect / "0.png")
    folder = import_folder(source, data_root=tmp_path)
    assert sorted(path.name for path in (folder / "test").iterdir()) == ["dent", "good", "scratch"]


def test_labelme_folder(draw, tmp_path):
    source = tmp_path / "labelled"
    for number in range(6):
        draw.picture(source / f"{number}.jpg")
    draw.labelme(source / "0.json")
    draw.labelme(
        source / "1.json",
        shapes=[
            {"label": "Dent", "points": [[1, 1], [4, 1], [4, 4], [1, 4]]},
            {"label": "scratch", "shape_type": "circle", "points": [[8, 6], [10, 6]]},
        ],
    )
    draw.labelme(source / "2.json", shapes=[])
    with pytest.raises(
        InputError, match=r"(?s)--unlabelled normal.*\(3\):.*3\.jpg has no annotation.*5\.jpg has no annotation"
    ):
        import_folder(source, data_root=tmp_path)
    folder = import_folder(source, data_root=tmp_path, unlabelled="normal")
    assert (folder / "test/dent/0.png").is_file()
    assert (folder / "test/combined/1.png").is_file()
    assert draw.pixels(folder / "ground_truth/dent/0.png").sum() == 12 * 255
    assert len(list((folder / "train/good").iterdir())) == 3
    assert len(list((folder / "test/good").iterdir())) == 1


@pytest.mark.parametrize("drop", ["all", "one"])
def test_polygons_stand_in_for_missing_mask_images(draw, folders, tmp_path, drop):
    (folders / "masks" / "IMG_10.png").unlink()
    if drop == "all":
        shutil.rmtree(folders / "masks")
        draw.labelme(folders / "abnormal" / "IMG_11.json")
    draw.labelme(folders / "abnormal" / "IMG_10.json")
    folder = import_folder(folders, "parts", tmp_path)
    assert draw.pixels(folder / "ground_truth/dent/IMG_10.png").sum() == 12 * 255


def test_nothing_recognised_says_what_was_found_and_what_is_understood(draw, tmp_path):
    source = tmp_path / "source"
    draw.picture(source / "monday" / "1.jpg")
    draw.picture(source / "2.jpg")
    with pytest.raises(InputError, match=r"1 images and the folders monday.*mvtec.*folders.*csv.*labelme"):
        import_folder(source, data_root=tmp_path)
    with pytest.raises(InputError, match="neither a folder nor a CSV nor a COCO file"):
        import_folder(source / "2.jpg", data_root=tmp_path)
    with pytest.raises(MissingError, match=r"nowhere does not exist"):
        import_folder(tmp_path / "nowhere", data_root=tmp_path)
    with pytest.raises(InputError, match=r"Unknown layout 'tiff'"):
        import_folder(source, data_root=tmp_path, layout="tiff")
    with pytest.raises(InputError, match="has no COCO file"):
        import_folder(source, data_root=tmp_path, layout="coco")
    assert not (tmp_path / "own").exists()


def test_a_folder_of_data_sets_names_one_to_import(mvtec, tmp_path):
    with pytest.raises(InputError, match=r"holds several data sets: import one of them, such as .*screws"):
        import_folder(mvtec.parent, "all", data_root=tmp_path / "elsewhere")


def test_phone_formats_that_cannot_be_read_are_named(folders, tmp_path):
    (folders / "normal" / "IMG_7.HEIC").write_bytes(b"x")
    with pytest.raises(InputError, match=r"IMG_7\.HEIC is in a format that is not read\. Export .* as JPEG"):
        import_folder(folders, "parts", tmp_path)


def test_a_mask_without_image_is_named(draw, folders, tmp_path):
    draw.mask(folders / "masks" / "IMG_99.png")
    with pytest.raises(InputError, match=r"IMG_99\.png belongs to no image"):
        import_folder(folders, "parts", tmp_path)


def test_two_masks_for_one_image(draw, folders, tmp_path):
    draw.mask(folders / "masks" / "IMG_10_mask.png")
    with pytest.raises(InputError, match=r"IMG_10\.jpg has two masks"):
        import_folder(folders, "parts", tmp_path)


@pytest.mark.parametrize("place", ["scratch/1.jpg", "1.jpg", "normal/monday/1.jpg"])
def test_pictures_in_a_place_without_meaning(draw, folders, tmp_path, place):
    draw.picture(folders / place)
    with pytest.raises(InputError, match=r"(scratch|1\.jpg|monday).*(no meaning|only images are expected)"):
        import_folder(folders, "parts", tmp_path)


def test_defects_in_the_training_folder(draw, mvtec, tmp_path):
    draw.picture(mvtec / "train" / "dent" / "1.png")
    with pytest.raises(InputError, match=r"train/dent is not a folder of normal images"):
        import_folder(mvtec, data_root=tmp_path / "datasets")


def test_one_flat_mask_for_two_kinds_is_refused(draw, folders, tmp_path):
    for number, kind in ((10, "cut"), (11, "dent")):
        (folders / "abnormal" / kind).mkdir()
        (folders / "abnormal" / f"IMG_{number}.jpg").rename(folders / "abnormal" / kind / "001.jpg")
        (folders / "masks" / f"IMG_{number}.png").unlink()
    draw.mask(folders / "masks" / "001.png")
    with pytest.raises(InputError, match=r"001\.png could be the mask of .*cut/001\.jpg and of .*dent/001\.jpg"):
        import_folder(folders, "parts", tmp_path)


def test_each_folder_may_number_its_images_anew(draw, folders, tmp_path):
    """A mask is that of the image with the defect, not of the normal one with the same number."""
    for number in range(2):
        draw.picture(folders / "abnormal" / f"IMG_{number}.jpg")
        draw.mask(folders / "masks" / f"IMG_{number}.png")
    folder = import_folder(folders, "parts", tmp_path)
    assert len(list((folder / "test" / "abnormal").iterdir())) == 4


@pytest.mark.parametrize("place", ["ground_truth/cut/000.png", "ground_truth/000.png", "ground_truth/good/007.png"])
def test_masks_that_nobody_asks_for_are_named(draw, mvtec, tmp_path, place):
    draw.mask(mvtec / place, value=0)
    with pytest.raises(InputError, match=rf"{place} belongs to no image"):
        import_folder(mvtec, data_root=tmp_path / "datasets")


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("annotations.xml", "<annotations><image id='0'><polygon/></image></annotations>", "CVAT's XML"),
        ("a.xml", "<annotation><object><bndbox></bndbox></object></annotation>", "Pascal VOC's XML, which has boxes"),
        ("tasks.json", '[{"data": {"image": "a.png"}, "annotations": [{"result": []}]}]', "Label Studio's JSON"),
        ("via.json", '{"a.png1": {"regions": [{"shape_attributes": {}}]}}', "VGG Image Annotator's JSON"),
    ],
)
def test_other_formats_are_named_with_the_export_to_choose(draw, tmp_path, file, text, name):
    source = tmp_path / "source"
    draw.picture(source / "pictures" / "a.png")
    (source / file).write_text(text)
    for path in (source, source / file):
        with pytest.raises(InputError, match=rf"{file} is {name}.*export .* as COCO \(polygons\) instead"):
            import_folder(path, data_root=tmp_path / "datasets")


@pytest.mark.parametrize("name", ["test/1.jp2", "ground_truth/1.jp2", "train/good/1.tga", "test/good/1.HEIC"])
def test_no_picture_is_passed_over(mvtec, tmp_path, name):
    (mvtec / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"{name} is in a format that is not read"):
        import_folder(mvtec, data_root=tmp_path / "datasets")


@pytest.mark.parametrize("name", ["1.jp2", "abnormal/1.psd", "masks/1.jp2", "normal/1.pgm"])
def test_no_picture_is_passed_over_in_folders(folders, tmp_path, name):
    (folders / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"{name} is in a format that is not read"):
        import_folder(folders, "parts", tmp_path / "datasets")


def test_a_link_to_nothing_is_named(folders, tmp_path):
    (folders / "normal" / "9.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"9\.png is not there, or no plain file"):
        import_folder(folders, "parts", tmp_path / "datasets")


def test_the_plainest_numbering(draw, tmp_path):
    for number in range(3):
        for part in ("normal", "abnormal"):
            draw.picture(tmp_path / "parts" / part / f"{number:03}.png")
        draw.mask(tmp_path / "parts" / "masks" / f"{number:03}.png")
    folder = import_folder(tmp_path / "parts", data_root=tmp_path)
    assert len(list((folder / "test" / "abnormal").iterdir())) == 3
