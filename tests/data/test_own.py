"""Own pictures in every layout, and every way in which they can be wrong."""

import base64
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.images import read_mask, read_picture
from aupimo_helpers.data.labelme import draw_mask, read_labelme
from aupimo_helpers.data.own import import_folder, locate
from aupimo_helpers.data.record import RECORD, read_record
from aupimo_helpers.errors import InputError, MissingError, WriteError

RNG = np.random.default_rng(0)


def picture(path, size=(12, 16), mode="RGB", **options):
    """Write a random picture and return its pixels as decoded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if mode == "L" else (*size, 3)
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(path, **options)
    return np.asarray(Image.open(path))


def mask_file(path, size=(12, 16), value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, dtype=np.uint8)
    pixels[2:5, 3:7] = value
    Image.fromarray(pixels).save(path)


def labelme_file(path, size=(12, 16), shapes=None):
    if shapes is None:
        shapes = [{"label": "dent", "shape_type": "rectangle", "points": [[3, 2], [7, 5]]}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"imageHeight": size[0], "imageWidth": size[1], "shapes": shapes}))


@pytest.fixture
def folders(tmp_path):
    """The layout folders: 5 normal images, 2 with defects."""
    source = tmp_path / "Phone Pictures"
    for number in range(5):
        picture(source / "normal" / f"IMG_{number}.jpg")
    for number in (10, 11):
        picture(source / "abnormal" / f"IMG_{number}.jpg")
        mask_file(source / "masks" / f"IMG_{number}.png")
    return source


@pytest.fixture
def mvtec(tmp_path):
    source = tmp_path / "screws"
    for number in range(3):
        picture(source / "train" / "good" / f"{number:03}.png")
        picture(source / "test" / "good" / f"{number:03}.png")
        picture(source / "test" / "Loose Thread" / f"{number:03}.png")
        mask_file(source / "ground_truth" / "Loose Thread" / f"{number:03}_mask.png")
    return source


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def pixels_of(path):
    return np.asarray(Image.open(path))


# Layouts


def test_mvtec_layout_keeps_splits_and_pixels(mvtec, tmp_path):
    folder = import_folder(mvtec, data_root=tmp_path / "datasets")
    assert folder == tmp_path / "datasets" / "own" / "screws"
    names = [f"{n:03}.png" for n in range(3)]
    groups = ("ground_truth/loose_thread", "test/good", "test/loose_thread", "train/good")
    assert listing(folder) == [f"{group}/{name}" for group in groups for name in names]
    source = pixels_of(mvtec / "test" / "Loose Thread" / "001.png")
    np.testing.assert_array_equal(pixels_of(folder / "test/loose_thread/001.png"), source)
    mask = pixels_of(folder / "ground_truth/loose_thread/001.png")
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    assert (mask == 255).sum() == 12


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tiff", ".webp", ".JPG"])
def test_every_format_keeps_its_decoded_pixels(folders, tmp_path, suffix):
    wanted = picture(folders / "abnormal" / f"IMG_12{suffix}")
    mask_file(folders / "masks" / "IMG_12_mask.bmp")
    folder = import_folder(folders, "parts", tmp_path)
    np.testing.assert_array_equal(pixels_of(folder / "test/abnormal/IMG_12.png"), wanted)


def test_grey_pictures_stay_grey_and_sizes_may_differ(folders, tmp_path):
    wanted = picture(folders / "abnormal" / "grey.jpg", size=(20, 9), mode="L")
    mask_file(folders / "masks" / "grey.png", size=(20, 9))
    folder = import_folder(folders, "parts", tmp_path)
    np.testing.assert_array_equal(pixels_of(folder / "test/abnormal/grey.png"), wanted)
    assert pixels_of(folder / "ground_truth/abnormal/grey.png").shape == (20, 9)


def test_normal_images_are_dealt_by_seed_and_share(folders, tmp_path):
    def dealt(name, **options):
        folder = import_folder(folders, name, tmp_path, **options)
        train = {path.name for path in (folder / "train/good").iterdir()}
        test = {path.name for path in (folder / "test/good").iterdir()}
        assert train.isdisjoint(test)
        assert len(train | test) == 5
        return frozenset(test)

    assert dealt("a") == dealt("b")
    assert len(dealt("c", test_share=0.6)) == 3
    assert len(dealt("d", test_share=0.01)) == 1
    assert len(dealt("e", test_share=0.99)) == 4
    assert len({dealt(f"seed{seed}", seed=seed) for seed in range(8)}) > 1


def test_a_folder_of_normal_test_images_is_used_as_it_is(folders, tmp_path):
    for number in range(2):
        picture(folders / "normal_test" / f"IMG_{number}.jpg")
    folder = import_folder(folders, "parts", tmp_path)
    assert len(list((folder / "train/good").iterdir())) == 5
    assert sorted(path.name for path in (folder / "test/good").iterdir()) == ["IMG_0.png", "IMG_1.png"]


def test_folders_of_defects_name_them(tmp_path):
    source = tmp_path / "source"
    for number in range(3):
        picture(source / "OK" / f"{number}.png")
    for defect in ("Scratch", "dent"):
        picture(source / "NG" / defect / "0.png")
        mask_file(source / "GT" / defect / "0.png")
    folder = import_folder(source, data_root=tmp_path)
    assert sorted(path.name for path in (folder / "test").iterdir()) == ["dent", "good", "scratch"]


def test_csv_with_semicolons_and_windows_paths(tmp_path):
    source = tmp_path / "shots"
    for name in ("a/1.png", "a/2.png", "a/3.png", "b/4.png"):
        picture(source / name)
    mask_file(source / "b" / "4m.png")
    table = source / "parts.csv"
    table.write_text(
        "\ufeffImage;Label;Split;Mask\na\\1.png;OK;train;\na/2.png;good;test;\n\na/3.png;ok;;\nb/4.png;Dent;;b/4m.png\n"
    )
    folder = import_folder(table, data_root=tmp_path)
    assert folder.name == "parts"
    assert listing(folder)[:2] == ["ground_truth/dent/4.png", "test/dent/4.png"]
    assert (folder / "train/good/1.png").is_file()
    assert (folder / "test/good/2.png").is_file()
    # The folder with the table in it is the same source.
    again = import_folder(source, "by_folder", tmp_path)
    assert listing(again) == listing(folder)


def test_labelme_folder(tmp_path):
    source = tmp_path / "labelled"
    for number in range(6):
        picture(source / f"{number}.jpg")
    labelme_file(source / "0.json")
    labelme_file(
        source / "1.json",
        shapes=[
            {"label": "Dent", "points": [[1, 1], [4, 1], [4, 4], [1, 4]]},
            {"label": "scratch", "shape_type": "circle", "points": [[8, 6], [10, 6]]},
        ],
    )
    labelme_file(source / "2.json", shapes=[])
    with pytest.raises(InputError, match=r"3\.jpg, .*5\.jpg has no annotation.*--unlabelled normal"):
        import_folder(source, data_root=tmp_path)
    folder = import_folder(source, data_root=tmp_path, unlabelled="normal")
    assert (folder / "test/dent/0.png").is_file()
    assert (folder / "test/combined/1.png").is_file()
    assert pixels_of(folder / "ground_truth/dent/0.png").sum() == 12 * 255
    assert len(list((folder / "train/good").iterdir())) == 3
    assert len(list((folder / "test/good").iterdir())) == 1


@pytest.mark.parametrize("drop", ["all", "one"])
def test_polygons_stand_in_for_missing_mask_images(folders, tmp_path, drop):
    (folders / "masks" / "IMG_10.png").unlink()
    if drop == "all":
        shutil.rmtree(folders / "masks")
        labelme_file(folders / "abnormal" / "IMG_11.json")
    labelme_file(folders / "abnormal" / "IMG_10.json")
    folder = import_folder(folders, "parts", tmp_path)
    assert pixels_of(folder / "ground_truth/dent/IMG_10.png").sum() == 12 * 255


def test_names_that_sort_differently_with_and_without_mask_suffix_stay_paired(tmp_path):
    """anomalib pairs images and masks by sorting them, and "a_mask" sorts behind "a1_mask"."""
    from anomalib.data import MVTecAD

    source = tmp_path / "source"
    picture(source / "train" / "good" / "0.png")
    picture(source / "test" / "good" / "0.png")
    names = ("a", "a1", "a_b", "a10", "A")
    for area, name in enumerate(names[:4], start=1):
        picture(source / "test" / "dent" / f"{name}.png", size=(32, 32))
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[0, :area] = 255
        (source / "ground_truth" / "dent").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(source / "ground_truth" / "dent" / f"{name}_mask.png")
    folder = import_folder(source, data_root=tmp_path)
    data = MVTecAD(root=folder.parent, category=folder.name, num_workers=0)
    data.setup()
    areas = {Path(item.image_path).stem: int(item.gt_mask.sum()) for item in data.test_data if item.gt_mask.any()}
    assert areas == {"a": 1, "a1": 2, "a_b": 3, "a10": 4}


# Special pictures


def test_rotation_noted_by_the_camera_is_applied_to_the_picture_and_not_to_the_polygon(folders, tmp_path):
    upright = RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    stored.save(folders / "abnormal" / "phone.png", exif=exif)
    labelme_file(folders / "abnormal" / "phone.json")
    folder = import_folder(folders, "parts", tmp_path)
    np.testing.assert_array_equal(pixels_of(folder / "test/dent/phone.png"), upright)
    mask = pixels_of(folder / "ground_truth/dent/phone.png")
    assert mask.shape == (12, 16)
    assert mask[2:5, 3:7].all()


def test_sixteen_bit_pictures_share_one_scale(folders, tmp_path):
    for number, value in enumerate((1000, 4000)):
        Image.fromarray(np.full((12, 16), value, dtype=np.uint16)).save(folders / "normal" / f"deep_{number}.png")
    folder = import_folder(folders, "parts", tmp_path)
    found = {path.stem: pixels_of(path) for path in folder.rglob("deep_*.png")}
    assert found["deep_0"].max() == found["deep_0"].min() == 1000 // 16
    assert found["deep_1"].max() == 4000 // 16
    assert found["deep_1"].dtype == np.uint8
    assert read_record(folder)["bits"] == 12


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path):
    colours = RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8)
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
    with pytest.raises(InputError, match=r"pages\.tif holds 2 pages"):
        read_picture(tmp_path / "pages.tif")
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match=r"float\.tif has the colour mode F"):
        read_picture(tmp_path / "float.tif")


# Masks


@pytest.mark.parametrize("value", [1, 7, 255])
def test_masks_of_any_one_value(tmp_path, value):
    mask_file(tmp_path / "m.png", value=value)
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


def test_smooth_masks_need_a_threshold(folders, tmp_path):
    smooth = np.zeros((12, 16), dtype=np.uint8)
    smooth[3, 3:6] = (100, 128, 255)
    Image.fromarray(smooth).save(folders / "masks" / "IMG_10.png")
    with pytest.raises(InputError, match=r"IMG_10\.png has 4 different values.*threshold"):
        import_folder(folders, "parts", tmp_path)
    assert not list((tmp_path / "own").glob("*parts*/*"))
    folder = import_folder(folders, "parts", tmp_path, mask_threshold=128)
    assert pixels_of(folder / "ground_truth/abnormal/IMG_10.png").sum() == 2 * 255


def test_a_mask_of_another_size_names_both_sizes(folders, tmp_path):
    mask_file(folders / "masks" / "IMG_11.png", size=(24, 32))
    with pytest.raises(InputError, match=r"IMG_11\.png is 32 x 24 pixels and its image IMG_11\.jpg 16 x 12"):
        import_folder(folders, "parts", tmp_path)
    assert not (tmp_path / "own" / "parts").exists()


def test_several_bad_files_are_counted(folders, tmp_path):
    for number in (10, 11):
        mask_file(folders / "masks" / f"IMG_{number}.png", size=(24, 32))
    with pytest.raises(InputError, match=r"IMG_10.*1 more files cannot be used"):
        import_folder(folders, "parts", tmp_path)


def test_an_empty_mask_is_refused(folders, tmp_path):
    mask_file(folders / "masks" / "IMG_11.png", value=0)
    with pytest.raises(InputError, match=r"IMG_11\.png marks no pixel"):
        import_folder(folders, "parts", tmp_path)


def test_a_normal_image_may_have_an_empty_mask_only(folders, tmp_path):
    mask_file(folders / "masks" / "IMG_0.png", value=0)
    import_folder(folders, "empty", tmp_path)
    mask_file(folders / "masks" / "IMG_0.png")
    with pytest.raises(InputError, match=r"IMG_0\.png marks a defect in .*IMG_0\.jpg, which is a normal image"):
        import_folder(folders, "full", tmp_path)


# Polygons


def drawn(tmp_path, shapes, size=(20, 30), **options):
    labelme_file(tmp_path / "a.json", size=size, shapes=shapes)
    return draw_mask(read_labelme(tmp_path / "a.json"), **options)


def test_a_rectangle_and_its_polygon_cover_the_same_pixels(tmp_path):
    wanted = np.zeros((20, 30), dtype=bool)
    wanted[4:12, 5:25] = True
    rectangle = [{"label": "x", "shape_type": "rectangle", "points": [[25, 12], [5, 4]]}]
    corners = [{"label": "x", "shape_type": "polygon", "points": [[5, 4], [25, 4], [25, 12], [5, 12]]}]
    np.testing.assert_array_equal(drawn(tmp_path, rectangle), wanted)
    np.testing.assert_array_equal(drawn(tmp_path, corners), wanted)


def test_the_area_of_polygons_and_circles_is_right_on_average(tmp_path):
    """Against the shoelace formula and pi r^2, over many random shapes."""
    rng = np.random.default_rng(1)
    ratios, circles = [], []
    for _ in range(200):
        points = rng.uniform(5, 95, (3, 2))
        (ax, ay), (bx, by), (cx, cy) = points
        area = abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2
        if area > 100:
            shape = [{"label": "x", "shape_type": "polygon", "points": points.tolist()}]
            ratios.append(drawn(tmp_path, shape, size=(100, 100)).sum() / area)
        centre, radius = rng.uniform(30, 70, 2), rng.uniform(2, 20)
        shape = [{"label": "x", "shape_type": "circle", "points": [centre.tolist(), [centre[0] + radius, centre[1]]]}]
        circles.append(drawn(tmp_path, shape, size=(100, 100)).sum() / (np.pi * radius**2))
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)
    assert np.mean(circles) == pytest.approx(1, abs=0.01)


def test_shapes_outside_the_image_are_cut_off(tmp_path):
    mask = drawn(tmp_path, [{"label": "x", "shape_type": "rectangle", "points": [[-5, -5], [3, 2]]}])
    assert mask.sum() == 6
    with pytest.raises(InputError, match=r"shape 1 \(x, rectangle\) covers no pixel of the 30 x 20 image"):
        drawn(tmp_path, [{"label": "x", "shape_type": "rectangle", "points": [[-5, -5], [-3, -2]]}])


def test_lines_need_a_width(tmp_path):
    line = [{"label": "x", "shape_type": "linestrip", "points": [[2.5, 10.5], [20.5, 10.5]]}]
    with pytest.raises(InputError, match=r"is a line, which has no area.*line width"):
        drawn(tmp_path, line)
    mask = drawn(tmp_path, line, line_width=3)
    assert mask[9:12, 3:20].all()
    assert not mask[:8].any()
    assert not mask[13:].any()


def test_labelme_masks_are_pasted(tmp_path):
    piece = np.array([[0, 255], [255, 255]], dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(piece).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    shape = {"label": "x", "shape_type": "mask", "points": [[4, 3], [5, 4]], "mask": text}
    mask = drawn(tmp_path, [shape])
    assert set(zip(*np.nonzero(mask), strict=True)) == {(3, 5), (4, 4), (4, 5)}
    with pytest.raises(InputError, match="holds no readable mask"):
        drawn(tmp_path, [{**shape, "mask": "AAAA"}])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "point", "points": [[3, 3]]}, "has no area"),
        ({"shape_type": "polygon", "points": [[3, 3], [4, 4]]}, "has 2 points and needs 3"),
        ({"shape_type": "polygon", "points": [[3.6, 3.6], [3.7, 3.6], [3.7, 3.7]]}, "covers no pixel"),
    ],
)
def test_shapes_without_area_are_refused(tmp_path, shape, message):
    with pytest.raises(InputError, match=message):
        drawn(tmp_path, [{"label": "x", **shape}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a labelme file"),
        ('{"images": [], "annotations": []}', "not a labelme file"),
        ('{"shapes": [], "imageWidth": 3}', "not a whole labelme file"),
        ('{"shapes": [{"label": "x"}], "imageWidth": 3, "imageHeight": 3}', "not a whole labelme file"),
        ('{"shapes": [{"label": "x", "points": [["a", 1]]}], "imageWidth": 3, "imageHeight": 3}', "not a whole"),
    ],
)
def test_other_json_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=rf"a\.json is {message}"):
        read_labelme(tmp_path / "a.json")


def test_an_annotation_of_another_size_names_both_sizes(folders, tmp_path):
    (folders / "masks" / "IMG_10.png").unlink()
    labelme_file(folders / "abnormal" / "IMG_10.json", size=(24, 32))
    with pytest.raises(InputError, match=r"IMG_10\.json is 32 x 24 pixels and its image IMG_10\.jpg 16 x 12"):
        import_folder(folders, "parts", tmp_path)


# Refusals


def test_nothing_recognised_says_what_was_found_and_what_is_understood(tmp_path):
    source = tmp_path / "source"
    picture(source / "monday" / "1.jpg")
    picture(source / "2.jpg")
    with pytest.raises(InputError, match=r"1 images and the folders monday.*mvtec.*folders.*csv.*labelme"):
        import_folder(source, data_root=tmp_path)
    with pytest.raises(InputError, match="neither a folder nor a CSV file"):
        import_folder(source / "2.jpg", data_root=tmp_path)
    with pytest.raises(MissingError, match=r"nowhere does not exist"):
        import_folder(tmp_path / "nowhere", data_root=tmp_path)
    with pytest.raises(InputError, match=r"Unknown layout 'coco'"):
        import_folder(source, data_root=tmp_path, layout="coco")
    assert not (tmp_path / "own").exists()


def test_a_folder_of_data_sets_names_one_to_import(mvtec, tmp_path):
    with pytest.raises(InputError, match=r"holds several data sets: import one of them, such as .*screws"):
        import_folder(mvtec.parent, "all", data_root=tmp_path / "elsewhere")


def test_phone_formats_that_cannot_be_read_are_named(folders, tmp_path):
    (folders / "normal" / "IMG_7.HEIC").write_bytes(b"x")
    with pytest.raises(InputError, match=r"IMG_7\.HEIC cannot be read: export the pictures as JPEG"):
        import_folder(folders, "parts", tmp_path)


def test_no_normal_images(folders, tmp_path):
    for path in (folders / "normal").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="has no normal images"):
        import_folder(folders, "parts", tmp_path)


def test_no_normal_test_image(mvtec, folders, tmp_path):
    shutil.rmtree(mvtec / "test" / "good")
    with pytest.raises(InputError, match="has no normal test image"):
        import_folder(mvtec, data_root=tmp_path / "datasets")
    for path in sorted((folders / "normal").iterdir())[1:]:
        path.unlink()
    with pytest.raises(InputError, match="too few normal images"):
        import_folder(folders, "parts", tmp_path / "datasets")


def test_no_defect(folders, tmp_path):
    for path in [*(folders / "abnormal").iterdir(), *(folders / "masks").iterdir()]:
        path.unlink()
    with pytest.raises(InputError, match="has no image with a defect"):
        import_folder(folders, "parts", tmp_path)


def test_defects_without_mask_are_named_and_may_be_skipped(folders, tmp_path):
    (folders / "masks" / "IMG_11.png").unlink()
    with pytest.raises(InputError, match=r"IMG_11\.jpg shows a defect and has no mask.*--without-mask skip"):
        import_folder(folders, "parts", tmp_path)
    folder = import_folder(folders, "parts", tmp_path, without_mask="skip")
    assert [path.name for path in (folder / "test/abnormal").iterdir()] == ["IMG_10.png"]
    assert read_record(folder)["left_out"] == ["abnormal/IMG_11.jpg"]


def test_two_images_with_the_same_name(folders, tmp_path):
    picture(folders / "abnormal" / "img_10.png")
    mask_file(folders / "masks" / "img_10.png")
    with pytest.raises(
        InputError, match=r"IMG_10\.jpg and .*img_10\.png would both become test/abnormal/img_10\.png"
    ):
        import_folder(folders, "parts", tmp_path)


def test_a_mask_without_image_is_named(folders, tmp_path):
    mask_file(folders / "masks" / "IMG_99.png")
    with pytest.raises(InputError, match=r"IMG_99\.png belongs to no image"):
        import_folder(folders, "parts", tmp_path)


def test_two_masks_for_one_image(folders, tmp_path):
    mask_file(folders / "masks" / "IMG_10_mask.png")
    with pytest.raises(InputError, match=r"IMG_10\.jpg has two masks"):
        import_folder(folders, "parts", tmp_path)


@pytest.mark.parametrize("place", ["scratch/1.jpg", "1.jpg", "normal/monday/1.jpg"])
def test_pictures_in_a_place_without_meaning(folders, tmp_path, place):
    picture(folders / place)
    with pytest.raises(InputError, match=r"(scratch|1\.jpg|monday).*(no meaning|only images are expected)"):
        import_folder(folders, "parts", tmp_path)


def test_defects_in_the_training_folder(mvtec, tmp_path):
    picture(mvtec / "train" / "dent" / "1.png")
    with pytest.raises(InputError, match=r"train/dent is not a folder of normal images"):
        import_folder(mvtec, data_root=tmp_path / "datasets")


def test_an_unreadable_image_is_named_and_nothing_is_left(folders, tmp_path):
    whole = (folders / "normal" / "IMG_3.jpg").read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        (folders / "normal" / "IMG_3.jpg").write_bytes(content)
        with pytest.raises(InputError, match=r"IMG_3\.jpg (is not an image|cannot be read as an image)"):
            import_folder(folders, "parts", tmp_path / "datasets")
        assert [path.name for path in (tmp_path / "datasets" / "own").iterdir()] == [".parts.lock"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("picture,label\n1.png,good\n", "it needs image and label"),
        ("image,split\n1.png,train\n", "it needs image and label"),
        ("image,label\n1.png,\n", r"line 2 has no label"),
        ("image,label,split\n1.png,good,val\n", r"line 2 has the split 'val'"),
        ("image,label,split\n1.png,dent,train\n", r"line 2 puts an image with a defect \(dent\) into train"),
        ("image,label\n1.png,good\n,good\n", r"line 3 names no image"),
    ],
)
def test_bad_tables_name_the_line(tmp_path, table, message):
    picture(tmp_path / "1.png")
    (tmp_path / "t.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        import_folder(tmp_path / "t.csv", data_root=tmp_path / "datasets")


def test_a_table_that_names_a_missing_file(tmp_path):
    (tmp_path / "t.csv").write_text("image,label\ngone.png,good\n")
    with pytest.raises(MissingError, match=r"line 2 names gone\.png, which does not exist"):
        import_folder(tmp_path / "t.csv", data_root=tmp_path / "datasets")
    (tmp_path / "t.csv").write_bytes("image,label\nK\xfcbel.png,good\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        import_folder(tmp_path / "t.csv", data_root=tmp_path / "datasets")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_share": 0}, "test_share is 0"),
        ({"without_mask": "ignore"}, "without_mask is 'ignore'"),
        ({"unlabelled": "maybe"}, "unlabelled is 'maybe'"),
        ({"line_width": 0}, "line_width is 0"),
        ({"name": "a/b"}, "'a/b' cannot be a data set's name"),
        ({"layout": "mvtec"}, "has no folder train"),
    ],
)
def test_options_out_of_range(folders, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        import_folder(folders, data_root=tmp_path / "datasets", **options)


# The target


def test_importing_again_is_a_no_op_until_something_changes(folders, tmp_path):
    folder = import_folder(folders, "parts", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert import_folder(folders, "parts", tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    with pytest.raises(InputError, match=r"made from other pictures or with other options.*--name"):
        import_folder(folders, "parts", tmp_path, seed=1)
    picture(folders / "normal" / "IMG_0.jpg", size=(5, 5))
    with pytest.raises(InputError, match=r"made from other pictures or with other options.*--name"):
        import_folder(folders, "parts", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_target_of_other_origin_or_not_whole_is_not_touched(folders, tmp_path):
    target = tmp_path / "own" / "parts"
    picture(target / "train" / "good" / "1.png")
    with pytest.raises(InputError, match="was not made by aupimo data import"):
        import_folder(folders, "parts", tmp_path)
    folder = import_folder(folders, "other", tmp_path)
    next((folder / "train" / "good").iterdir()).unlink()
    with pytest.raises(InputError, match="is missing from an earlier import: delete the folder"):
        import_folder(folders, "other", tmp_path)
    (folder / RECORD).write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        import_folder(folders, "other", tmp_path)


def test_the_target_may_not_lie_in_the_source(folders):
    with pytest.raises(InputError, match="would lie inside the source"):
        import_folder(folders, "parts", folders / "datasets")
    assert not (folders / "datasets").exists()


def test_the_record_has_no_path_of_this_machine(folders, tmp_path):
    folder = import_folder(folders, "parts", tmp_path)
    text = (folder / RECORD).read_text()
    assert str(tmp_path) not in text
    record = read_record(folder)
    assert record["source"] == "Phone Pictures"
    assert record["layout"] == "folders"
    assert {entry["source"] for entry in record["images"]} >= {"abnormal/IMG_10.jpg", "normal/IMG_0.jpg"}


def test_a_place_that_cannot_be_written(folders, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="Cannot write"):
        import_folder(folders, "parts", tmp_path / "file")

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(WriteError, match="the disk is full"):
        import_folder(folders, "parts", tmp_path)
    assert [path.name for path in (tmp_path / "own").iterdir()] == [".parts.lock"]


def test_what_a_killed_import_left_is_cleared_away(folders, tmp_path):
    debris = tmp_path / "own" / ".parts.a1b2c3d4.tmp"
    picture(debris / "train" / "good" / "1.png")
    import_folder(folders, "parts", tmp_path)
    assert not debris.exists()


def test_a_file_that_cannot_be_opened_is_named(folders, tmp_path, monkeypatch):
    really_open = Path.open

    def locked(path, *args, **kwargs):
        if path.name == "IMG_3.jpg":
            raise PermissionError(13, "Permission denied")
        return really_open(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(InputError, match=r"IMG_3\.jpg cannot be read \(Permission denied\)"):
        import_folder(folders, "parts", tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_place(folders, tmp_path):
    (tmp_path / "own").mkdir(mode=0o555)
    with pytest.raises(WriteError, match="permission was denied"):
        import_folder(folders, "parts", tmp_path)


# From a path to a data set's name


def test_locate_imports_what_is_not_imported_yet(folders, tmp_path):
    root = tmp_path / "datasets"
    assert locate(folders, data_root=root) == ("own/phone_pictures", root)
    assert locate(folders, "phones", root) == ("own/phones", root)
    # What was imported is used where it lies.
    assert locate(root / "own" / "phones", data_root=tmp_path / "x") == ("own/phones", root.resolve())
    assert locate(root / "own", "phones", tmp_path / "x") == ("own/phones", root.resolve())
    assert not (tmp_path / "x").exists()


def test_locate_chooses_a_category(folders, mvtec, tmp_path):
    root = tmp_path / "datasets"
    many = folders.parent
    assert many == mvtec.parent
    with pytest.raises(
        InputError, match=r"holds several categories \(Phone Pictures, screws\): choose one with --cat"
    ):
        locate(many, data_root=root)
    with pytest.raises(MissingError, match=r"There is no category nuts in .*: it has Phone Pictures, screws"):
        locate(many, "nuts", root)
    assert locate(many, "Phone Pictures", root) == ("own/phone_pictures", root)
    with pytest.raises(MissingError, match="nowhere does not exist"):
        locate(tmp_path / "nowhere", data_root=root)


def test_locate_takes_the_mvtec_layout_as_it_is_if_anomalib_does(mvtec, tmp_path):
    root = tmp_path / "datasets"
    assert locate(mvtec, data_root=root) == (f"{tmp_path.name}/screws", tmp_path.parent)
    assert not root.exists()
    # The same with a name that unpairs the sorted lists: 000.png, 0000.png; 0000_mask.png, 000_mask.png.
    picture(mvtec / "test" / "Loose Thread" / "0000.png")
    mask_file(mvtec / "ground_truth" / "Loose Thread" / "0000_mask.png")
    assert locate(mvtec, data_root=root) == ("own/screws", root)


@pytest.mark.parametrize("extra", ["train/good/9.jpg", "notes/9.png", "9.png"])
def test_locate_imports_what_anomalib_would_misread(mvtec, tmp_path, extra):
    picture(mvtec / extra)
    assert locate(mvtec, data_root=tmp_path / "datasets")[0] == "own/screws"
    numbers = {path.stem for path in (tmp_path / "datasets/own/screws").rglob("*.png")}
    assert ("9" in numbers) == (extra == "train/good/9.jpg")


# The demo's pictures


def test_the_demo_folder_is_a_phone_folder_whose_polygons_follow_the_masks(tmp_path, monkeypatch):
    from aupimo_helpers.data import sets
    from aupimo_helpers.data.demo import SIZES, make_demo_folder

    leather = tmp_path / "leather"
    rng = np.random.default_rng(0)
    for number in range(8):
        picture(leather / "train" / "good" / f"{number:03}.png", size=(64, 64))
        picture(leather / "test" / "good" / f"{number:03}.png", size=(64, 64))
    for defect, radius in (("cut", 6), ("poke", 9)):
        for number in range(4):
            picture(leather / "test" / defect / f"{number:03}.png", size=(64, 64))
            y, x = np.ogrid[:64, :64]
            row, column = rng.uniform(20, 44, 2)
            disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
            (leather / "ground_truth" / defect).mkdir(parents=True, exist_ok=True)
            Image.fromarray((disc * 255).astype(np.uint8)).save(
                leather / f"ground_truth/{defect}/{number:03}_mask.png"
            )
    monkeypatch.setattr(sets, "make", lambda *_: leather)

    pictures = make_demo_folder(tmp_path / "phone", tmp_path, normal=14, per_defect=3)
    assert len(list((pictures / "good").glob("*.jpg"))) == 14
    assert len(list((pictures / "defect").glob("*.json"))) == 6
    stored = {Image.open(path).size[::-1] for path in pictures.rglob("*.jpg")}
    assert len(stored) > 1
    assert any(Image.open(path).getexif().get(0x0112) == 6 for path in pictures.rglob("*.jpg"))

    folder = import_folder(pictures, "phone", tmp_path / "datasets")
    assert {pixels_of(path).shape[:2] for path in (folder / "test").rglob("*.png")} <= set(SIZES)
    for defect, radius in (("cut", 6), ("poke", 9)):
        masks = [pixels_of(path) > 0 for path in (folder / "ground_truth" / defect).iterdir()]
        assert len(masks) == 3
        for mask in masks:
            # The longer side of a picture shows all 64 pixels of the leather.
            enlargement = max(mask.shape) / 64
            assert mask.sum() == pytest.approx(np.pi * (radius * enlargement) ** 2, rel=0.05)
    before = {path: path.stat().st_mtime_ns for path in pictures.rglob("*")}
    make_demo_folder(tmp_path / "phone", tmp_path, normal=2)
    assert {path: path.stat().st_mtime_ns for path in pictures.rglob("*")} == before
