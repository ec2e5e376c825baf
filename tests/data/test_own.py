"""From a folder to a data set: what is used, how it is dealt, and that it appears whole or not at all."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.own import import_folder, locate
from aupimo_helpers.data.pictures import Picture
from aupimo_helpers.data.problems import check
from aupimo_helpers.data.sets import make
from aupimo_helpers.data.writing import RECORD, read_record
from aupimo_helpers.errors import InputError, MissingError, WriteError


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


def test_two_images_with_the_same_name(draw, folders, tmp_path):
    draw.picture(folders / "abnormal" / "img_10.png")
    draw.mask(folders / "masks" / "img_10.png")
    with pytest.raises(
        InputError, match=r"img_10\.png and .*IMG_10\.jpg would both become test/abnormal/img_10\.png"
    ):
        import_folder(folders, "parts", tmp_path)


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


def test_importing_again_is_a_no_op_until_something_changes(draw, folders, tmp_path):
    folder = import_folder(folders, "parts", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert import_folder(folders, "parts", tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    with pytest.raises(InputError, match=r"made from other pictures or with other options.*--name"):
        import_folder(folders, "parts", tmp_path, seed=1)
    draw.picture(folders / "normal" / "IMG_0.jpg", size=(5, 5))
    with pytest.raises(InputError, match=r"made from other pictures or with other options.*--name"):
        import_folder(folders, "parts", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_target_of_other_origin_or_not_whole_is_not_touched(draw, folders, tmp_path):
    target = tmp_path / "own" / "parts"
    draw.picture(target / "train" / "good" / "1.png")
    with pytest.raises(InputError, match="was not made by aupimo data import"):
        import_folder(folders, "parts", tmp_path)
    folder = import_folder(folders, "other", tmp_path)
    next((folder / "train" / "good").iterdir()).unlink()
    with pytest.raises(InputError, match=r"\.png is missing\. Delete the folder .*other and import again"):
        import_folder(folders, "other", tmp_path)
    (folder / RECORD).write_text("{")
    with pytest.raises(InputError, match="is not a record of an import"):
        import_folder(folders, "other", tmp_path)


def test_the_target_may_not_lie_in_the_source(folders):
    with pytest.raises(InputError, match="would lie inside the source"):
        import_folder(folders, "parts", folders / "datasets")
    assert not (folders / "datasets").exists()


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


def test_what_a_killed_import_left_is_cleared_away(draw, folders, tmp_path):
    debris = tmp_path / "own" / ".parts.a1b2c3d4.tmp"
    draw.picture(debris / "train" / "good" / "1.png")
    import_folder(folders, "parts", tmp_path)
    assert not debris.exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_place(folders, tmp_path):
    (tmp_path / "own").mkdir(mode=0o555)
    with pytest.raises(WriteError, match="permission was denied"):
        import_folder(folders, "parts", tmp_path)


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


def test_locate_takes_the_mvtec_layout_as_it_is_if_anomalib_does(draw, mvtec, tmp_path):
    root = tmp_path / "datasets"
    assert locate(mvtec, data_root=root) == (f"{tmp_path.name}/screws", tmp_path.parent)
    assert not root.exists()
    # The same with a name that unpairs the sorted lists: 000.png, 0000.png; 0000_mask.png, 000_mask.png.
    draw.picture(mvtec / "test" / "Loose Thread" / "0000.png")
    draw.mask(mvtec / "ground_truth" / "Loose Thread" / "0000_mask.png")
    assert locate(mvtec, data_root=root) == ("own/screws", root)


@pytest.mark.parametrize("extra", ["train/good/9.jpg", "notes/9.png", "9.png"])
def test_locate_imports_what_anomalib_would_misread(draw, mvtec, tmp_path, extra):
    draw.picture(mvtec / extra)
    assert locate(mvtec, data_root=tmp_path / "datasets")[0] == "own/screws"
    numbers = {path.stem for path in (tmp_path / "datasets/own/screws").rglob("*.png")}
    assert ("9" in numbers) == (extra == "train/good/9.jpg")


def test_pictures_are_not_compared_with_each_other(folders, tmp_path, monkeypatch):
    """Else the time of an import grows with the square of their number."""

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(Picture, "__eq__", never)
    assert import_folder(folders, "parts", tmp_path, without_mask="skip").is_dir()


def test_everything_that_is_wrong_is_named_at_once(draw, folders, tmp_path):
    """From the layout, from opening the files, and from fitting masks to their images."""
    draw.mask(folders / "masks" / "IMG_99.png")
    draw.mask(folders / "masks" / "IMG_10.png", size=(24, 32))
    (folders / "masks" / "IMG_11.png").unlink()
    (folders / "normal" / "IMG_3.jpg").write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        import_folder(folders, "parts", tmp_path / "datasets")
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 problems"
    named = [re.search(r"IMG_\d+\.\w+", line)[0] for line in lines if line.startswith("  ")]
    assert sorted(named) == ["IMG_10.png", "IMG_11.jpg", "IMG_3.jpg", "IMG_99.png"]
    assert not (tmp_path / "datasets").exists()


def test_problems_may_be_skipped_and_are_in_the_record(draw, folders, tmp_path):
    for number in range(20, 26):
        draw.picture(folders / "normal" / f"IMG_{number}.jpg", size=(256, 256))
    draw.mask(folders / "masks" / "IMG_99.png")
    draw.mask(folders / "masks" / "IMG_10.png", size=(24, 32))
    (folders / "normal" / "IMG_3.jpg").write_bytes(b"no image")
    shutil.copy(folders / "normal" / "IMG_20.jpg", folders / "normal" / "IMG_26.jpg")  # may be in training and test
    draw.picture(folders / "abnormal" / "IMG_12.jpg", size=(512, 512))
    mask = np.zeros((512, 512), dtype=np.uint8)
    mask[1, 1] = 1  # vanishes at 256 x 256
    Image.fromarray(mask).save(folders / "masks" / "IMG_12.png")
    with pytest.raises(InputError, match="3 problems"):
        import_folder(folders, "parts", tmp_path)
    folder = import_folder(folders, "parts", tmp_path, skip_problems=True, test_share=0.5)
    assert draw.listing(folder / "ground_truth") == ["abnormal/IMG_11.png"]
    assert [path.name for path in (folder / "test" / "abnormal").iterdir()] == ["IMG_11.png"]
    record = read_record(folder)
    skipped = {entry["file"]: entry["what"] for entry in record["skipped"]}
    assert skipped["masks/IMG_99.png"] == "belongs to no image"
    assert skipped["masks/IMG_10.png"].startswith("is 32 x 24 pixels")
    assert "cannot be read" in skipped["normal/IMG_3.jpg"]
    assert "vanishes when it is resized" in skipped["abnormal/IMG_12.jpg"]
    assert str(tmp_path) not in (folder / RECORD).read_text()
    assert check(folder, fpr_bounds=(1e-3, 1e-2)) == []
    assert sorted(draw.listing(folder)) == sorted(
        [entry["path"] for entry in record["images"]] + ["ground_truth/abnormal/IMG_11.png"]
    )
    # Again: nothing to do; after a repair: another data set.
    assert import_folder(folders, "parts", tmp_path, skip_problems=True, test_share=0.5) == folder
    draw.mask(folders / "masks" / "IMG_10.png")
    with pytest.raises(InputError, match="made from other pictures"):
        import_folder(folders, "parts", tmp_path, skip_problems=True, test_share=0.5)


def test_skipping_may_not_leave_a_gap(draw, folders, tmp_path):
    for number in (10, 11):
        draw.mask(folders / "masks" / f"IMG_{number}.png", size=(24, 32))
    with pytest.raises(InputError, match="has no image with a defect and a mask"):
        import_folder(folders, "parts", tmp_path, skip_problems=True)
    assert not (tmp_path / "own" / "parts").exists()


def test_locate_skips_problems_of_a_folder_that_could_be_used_where_it_lies(mvtec, tmp_path):
    for path in [*mvtec.glob("t*/*/*"), *mvtec.glob("ground_truth/*/*")]:
        with Image.open(path) as image:
            image.resize((256, 256), Image.Resampling.NEAREST).save(path)
    assert locate(mvtec, data_root=tmp_path / "x", skip_problems=True)[0] == f"{tmp_path.name}/screws"
    (mvtec / "train" / "good" / "000.png").write_bytes(b"")
    name, root = locate(mvtec, data_root=tmp_path / "x", skip_problems=True)
    assert (name, root) == ("own/screws", tmp_path / "x")
    assert len(list((root / name / "train" / "good").iterdir())) == 2


def test_records_of_older_imports_are_understood(folders, tmp_path):
    """They know nothing of skipped problems."""
    folder = import_folder(folders, "parts", tmp_path)
    record = json.loads((folder / RECORD).read_text())
    del record["options"]["skip_problems"]
    (folder / RECORD).write_text(json.dumps(record))
    assert import_folder(folders, "parts", tmp_path) == folder


@pytest.mark.parametrize("part", ["train/good", "test/abnormal", "ground_truth/abnormal"])
@pytest.mark.parametrize("fault", ["is missing", "was added", "has another size"])
def test_what_was_imported_is_compared_with_its_record(draw, folders, tmp_path, part, fault):
    folder = import_folder(folders, "parts", tmp_path)
    path = next((folder / part).iterdir())
    if fault == "was added":
        path = path.with_name("more.png")
        draw.picture(path)
    elif fault == "is missing":
        path.unlink()
    else:
        path.write_bytes(b"")
    with pytest.raises(InputError, match=rf"{path.name} {fault}.*Delete the folder .*parts and import again"):
        import_folder(folders, "parts", tmp_path)
    with pytest.raises(InputError, match=rf"{path.name} {fault}.* or keep it as it is by deleting .*own\.json only"):
        make("own/parts", tmp_path)
    (folder / RECORD).unlink()
    assert make("own/parts", tmp_path) == folder
