"""What an import writes: pixels, masks, the record; and which files it cannot use."""

import builtins
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.own import import_folder
from aupimo_helpers.data.writing import RECORD, read_record
from aupimo_helpers.errors import InputError


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tiff", ".webp", ".JPG"])
def test_every_format_keeps_its_decoded_pixels(draw, folders, tmp_path, suffix):
    wanted = draw.picture(folders / "abnormal" / f"IMG_12{suffix}")
    draw.mask(folders / "masks" / "IMG_12_mask.bmp")
    folder = import_folder(folders, "parts", tmp_path)
    np.testing.assert_array_equal(draw.pixels(folder / "test/abnormal/IMG_12.png"), wanted)


def test_grey_pictures_stay_grey_and_sizes_may_differ(draw, folders, tmp_path):
    wanted = draw.picture(folders / "abnormal" / "grey.jpg", size=(20, 9), mode="L")
    draw.mask(folders / "masks" / "grey.png", size=(20, 9))
    folder = import_folder(folders, "parts", tmp_path)
    np.testing.assert_array_equal(draw.pixels(folder / "test/abnormal/grey.png"), wanted)
    assert draw.pixels(folder / "ground_truth/abnormal/grey.png").shape == (20, 9)


def test_names_that_sort_differently_with_and_without_mask_suffix_stay_paired(draw, tmp_path):
    """anomalib pairs images and masks by sorting them, and "a_mask" sorts behind "a1_mask"."""
    from anomalib.data import MVTecAD

    source = tmp_path / "source"
    draw.picture(source / "train" / "good" / "0.png")
    draw.picture(source / "test" / "good" / "0.png")
    names = ("a", "a1", "a_b", "a10", "A")
    for area, name in enumerate(names[:4], start=1):
        draw.picture(source / "test" / "dent" / f"{name}.png", size=(32, 32))
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[0, :area] = 255
        (source / "ground_truth" / "dent").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(source / "ground_truth" / "dent" / f"{name}_mask.png")
    folder = import_folder(source, data_root=tmp_path)
    data = MVTecAD(root=folder.parent, category=folder.name, num_workers=0)
    data.setup()
    areas = {Path(item.image_path).stem: int(item.gt_mask.sum()) for item in data.test_data if item.gt_mask.any()}
    assert areas == {"a": 1, "a1": 2, "a_b": 3, "a10": 4}


def test_rotation_noted_by_the_camera_is_applied_to_the_picture_and_not_to_the_polygon(draw, folders, tmp_path):
    upright = draw.rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    stored.save(folders / "abnormal" / "phone.png", exif=exif)
    draw.labelme(folders / "abnormal" / "phone.json")
    folder = import_folder(folders, "parts", tmp_path)
    np.testing.assert_array_equal(draw.pixels(folder / "test/dent/phone.png"), upright)
    mask = draw.pixels(folder / "ground_truth/dent/phone.png")
    assert mask.shape == (12, 16)
    assert mask[2:5, 3:7].all()


def test_sixteen_bit_pictures_share_one_scale(draw, folders, tmp_path):
    for number, value in enumerate((1000, 4000)):
        Image.fromarray(np.full((12, 16), value, dtype=np.uint16)).save(folders / "normal" / f"deep_{number}.png")
    folder = import_folder(folders, "parts", tmp_path)
    found = {path.stem: draw.pixels(path) for path in folder.rglob("deep_*.png")}
    assert found["deep_0"].max() == found["deep_0"].min() == 1000 // 16
    assert found["deep_1"].max() == 4000 // 16
    assert found["deep_1"].dtype == np.uint8
    assert read_record(folder)["bits"] == 12


def test_smooth_masks_need_a_threshold(draw, folders, tmp_path):
    smooth = np.zeros((12, 16), dtype=np.uint8)
    smooth[3, 3:6] = (100, 128, 255)
    Image.fromarray(smooth).save(folders / "masks" / "IMG_10.png")
    with pytest.raises(InputError, match=r"IMG_10\.png has 4 different values.*threshold"):
        import_folder(folders, "parts", tmp_path)
    assert not list((tmp_path / "own").glob("*parts*/*"))
    folder = import_folder(folders, "parts", tmp_path, mask_threshold=128)
    assert draw.pixels(folder / "ground_truth/abnormal/IMG_10.png").sum() == 2 * 255


def test_a_mask_of_another_size_names_both_sizes(draw, folders, tmp_path):
    draw.mask(folders / "masks" / "IMG_11.png", size=(24, 32))
    with pytest.raises(InputError, match=r"IMG_11\.png is 32 x 24 pixels and its image IMG_11\.jpg 16 x 12"):
        import_folder(folders, "parts", tmp_path)
    assert not (tmp_path / "own" / "parts").exists()


def test_several_bad_files_are_counted(draw, folders, tmp_path):
    for number in (10, 11):
        draw.mask(folders / "masks" / f"IMG_{number}.png", size=(24, 32))
    with pytest.raises(InputError, match=r"^2 problems\nDraw the mask.*\(2\):\n.*IMG_10.*\n.*IMG_11[^\n]*$"):
        import_folder(folders, "parts", tmp_path)


def test_an_empty_mask_is_refused(draw, folders, tmp_path):
    draw.mask(folders / "masks" / "IMG_11.png", value=0)
    with pytest.raises(InputError, match=r"IMG_11\.png marks no pixel"):
        import_folder(folders, "parts", tmp_path)


def test_a_normal_image_may_have_an_empty_mask_only(draw, folders, tmp_path):
    draw.mask(folders / "masks" / "IMG_0.png", value=0)
    import_folder(folders, "empty", tmp_path)
    draw.mask(folders / "masks" / "IMG_0.png")
    with pytest.raises(InputError, match=r"IMG_0\.png marks a defect in .*IMG_0\.jpg, which is a normal image"):
        import_folder(folders, "full", tmp_path)


def test_an_annotation_of_another_size_names_both_sizes(draw, folders, tmp_path):
    (folders / "masks" / "IMG_10.png").unlink()
    draw.labelme(folders / "abnormal" / "IMG_10.json", size=(24, 32))
    with pytest.raises(InputError, match=r"IMG_10\.json is 32 x 24 pixels and its image IMG_10\.jpg 16 x 12"):
        import_folder(folders, "parts", tmp_path)


def test_an_unreadable_image_is_named_and_nothing_is_left(folders, tmp_path):
    whole = (folders / "normal" / "IMG_3.jpg").read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        (folders / "normal" / "IMG_3.jpg").write_bytes(content)
        with pytest.raises(InputError, match=r"IMG_3\.jpg (is not an image|cannot be read as an image)"):
            import_folder(folders, "parts", tmp_path / "datasets")
        assert [path.name for path in (tmp_path / "datasets" / "own").iterdir()] == [".parts.lock"]


def test_the_record_has_no_path_of_this_machine(folders, tmp_path):
    folder = import_folder(folders, "parts", tmp_path)
    text = (folder / RECORD).read_text()
    assert str(tmp_path) not in text
    record = read_record(folder)
    assert record["source"] == "Phone Pictures"
    assert record["layout"] == "folders"
    assert {entry["source"] for entry in record["images"]} >= {"abnormal/IMG_10.jpg", "normal/IMG_0.jpg"}


def test_a_file_that_cannot_be_opened_is_named(folders, tmp_path, monkeypatch):
    really_open = builtins.open

    def locked(path, *args, **kwargs):
        if Path(str(path)).name == "IMG_3.jpg":
            raise PermissionError(13, "Permission denied")
        return really_open(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", locked)
    with pytest.raises(InputError, match=r"IMG_3\.jpg cannot be read \(Permission denied\)"):
        import_folder(folders, "parts", tmp_path)
