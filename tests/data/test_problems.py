"""Each fault of a folder is named, with the file and what to do."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.problems import check
from aupimo_helpers.errors import AupimoWarning, InputError, MissingError, Problem

SIZE = 64


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)


def draw_mask(path: Path, values=(255,), size=(SIZE, SIZE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size, dtype=np.uint8)
    mask[: size[0] // 2] = np.resize(np.array(values, dtype=np.uint8), (size[0] // 2, size[1]))
    Image.fromarray(mask).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A sound data set: 3 training images, 2 + 2 test images at 64 x 64."""
    root = tmp_path / "screws"
    for i in range(3):
        draw(root / "train" / "good" / f"{i:03d}.png", seed=i)
    for i in range(2):
        draw(root / "test" / "good" / f"{i:03d}.png", seed=10 + i)
        draw(root / "test" / "bent" / f"{i:03d}.png", seed=20 + i)
        draw_mask(root / "ground_truth" / "bent" / f"{i:03d}_mask.png")
    return root


def run(folder: Path, **options) -> list[Problem]:
    return check(folder, **{"fpr_bounds": (1e-3, 1e-2), "image_size": (SIZE, SIZE), **options})


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


def test_a_sound_folder_has_no_problems(folder):
    assert run(folder) == []


def test_masks_may_have_the_image_s_name(folder):
    for path in folder.glob("ground_truth/*/*"):
        path.rename(path.with_name(path.name.replace("_mask", "")))
    assert run(folder) == []


def test_no_training_image(folder):
    shutil.rmtree(folder / "train")
    problem = only(run(folder))
    assert problem.file == folder / "train" / "good"
    assert "no normal training image" in str(problem)


def test_no_normal_test_image(folder):
    shutil.rmtree(folder / "test" / "good")
    problem = only(run(folder))
    assert problem.file == folder / "test" / "good"
    assert "false positive rate" in str(problem)


def test_no_defect(folder):
    shutil.rmtree(folder / "test" / "bent")
    shutil.rmtree(folder / "ground_truth")
    problem = only(run(folder))
    assert problem.file == folder / "test"
    assert "nothing to score" in str(problem)


def test_a_defect_without_mask(folder):
    (folder / "ground_truth" / "bent" / "001_mask.png").unlink()
    problem = only(run(folder))
    assert problem.file == folder / "test" / "bent" / "001.png"
    assert f"but {folder / 'ground_truth' / 'bent' / '001_mask.png'} is missing" in problem.what


@pytest.mark.parametrize("where", ["ground_truth/bent/007_mask.png", "ground_truth/good/000_mask.png"])
def test_a_mask_without_image(where, folder):
    draw_mask(folder / where)
    problem = only(run(folder))
    assert problem.file == folder / where
    assert "mask without an image" in problem.what


def test_a_mask_whose_image_has_another_format_is_not_to_be_removed(folder):
    image = folder / "test" / "bent" / "001.png"
    Image.open(image).save(image.with_suffix(".bmp"))
    image.unlink()
    problems = check(folder)
    assert {problem.remedy for problem in problems} == {"Convert to PNG, for instance with: aupimo data import"}
    assert f"is the mask of {image.with_suffix('.bmp')}" in str(problems[1])


def test_a_mask_of_another_size(folder):
    path = folder / "ground_truth" / "bent" / "000_mask.png"
    draw_mask(path, size=(SIZE, SIZE // 2))
    problem = only(run(folder))
    assert problem.file == path
    assert "is 64 x 32 pixels, its image" in problem.what
    assert "is 64 x 64" in problem.what


def test_a_mask_with_more_than_two_values(folder):
    path = folder / "ground_truth" / "bent" / "000_mask.png"
    draw_mask(path, values=(0, 17, 200))
    problem = only(run(folder))
    assert problem.file == path
    assert "has 3 different values (0, 17, 200 ...)" in problem.what


@pytest.mark.parametrize("value", [1, 128, 255])
def test_any_two_values_make_a_mask(value, folder):
    draw_mask(folder / "ground_truth" / "bent" / "000_mask.png", values=(value,))
    assert run(folder) == []


def test_an_empty_mask(folder):
    path = folder / "ground_truth" / "bent" / "000_mask.png"
    draw_mask(path, values=(0,))
    problem = only(run(folder))
    assert problem.file == path
    assert "is empty" in problem.what


def test_inverted_masks_get_one_warning(folder):
    for number in range(2):
        path = folder / "ground_truth" / "bent" / f"{number:03d}_mask.png"
        with Image.open(path) as image:
            mask = 255 - np.asarray(image)
        mask[: SIZE // 2, : SIZE // 2] = 255
        Image.fromarray(mask).save(path)
    with pytest.warns(
        AupimoWarning, match=r"2 masks mark more than half .*000_mask\.png, .*001_mask\.png\."
    ) as caught:
        assert run(folder) == []
    assert len(caught) == 1


def test_a_mask_that_vanishes_when_resized(folder):
    path = folder / "ground_truth" / "bent" / "000_mask.png"
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[33, 33] = 255
    Image.fromarray(mask).save(path)
    assert run(folder) == []
    problem = only(run(folder, fpr_bounds=(1e-2, 1e-1), image_size=(32, 32)))
    assert problem.file == path
    assert "vanishes when it is resized to 32 x 32" in problem.what


@pytest.mark.parametrize("content", [b"", b"this is no picture", "half"])
@pytest.mark.parametrize("where", ["train/good/000.png", "test/good/001.png", "test/bent/000.png"])
def test_an_unreadable_image(where, content, folder):
    whole = (folder / where).read_bytes()
    (folder / where).write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    problem = only(run(folder))
    assert problem.file == folder / where
    assert "cannot be read" in problem.what


def test_an_unreadable_mask(folder):
    (folder / "ground_truth" / "bent" / "000_mask.png").write_bytes(b"no")
    assert "cannot be read as a mask (it is not an image)" in only(run(folder)).what


@pytest.mark.parametrize("label", ["good", "bent"])
def test_the_same_image_in_train_and_test_also_when_saved_anew(label, folder):
    with Image.open(folder / "train" / "good" / "002.png") as image:
        image.save(folder / "test" / label / "000.png", compress_level=0)
    problem = only(run(folder))
    assert problem.file == folder / "test" / label / "000.png"
    assert f"is the same image as {folder / 'train' / 'good' / '002.png'}" in problem.what


def test_too_few_normal_pixels(folder):
    problem = only(run(folder, fpr_bounds=(1e-5, 1e-4)))
    assert problem.file == folder / "test" / "good"
    assert "has 2 normal images, 8,192 pixels at 64 x 64" in problem.what
    assert "needs at least 100,000" in problem.what
    assert "Add 23 normal test images, or use a lower bound of at least 0.00012" in problem.remedy


def test_exactly_enough_normal_pixels(folder):
    assert run(folder, fpr_bounds=(1 / (2 * SIZE * SIZE), 1e-1)) == []


def test_other_formats_are_said_to_be_ignored(folder):
    for name in ("a.jpg", "b.JPEG"):
        (folder / "train" / "good" / name).write_bytes(b"")
    problem = only(run(folder))
    assert problem.file == folder / "train" / "good"
    assert "holds a.jpg and 1 more, which will be ignored" in problem.what


@pytest.mark.parametrize("where", ["overview.png", "test/bent/old/000.png", "extra/bent/000.png"])
def test_an_image_outside_the_layout(where, folder):
    draw(folder / where, seed=99)
    problem = only(run(folder))
    assert problem.file == folder / where
    assert "outside the layout" in problem.what


def test_a_training_image_that_is_not_good(folder):
    draw(folder / "train" / "bent" / "000.png", seed=99)
    assert only(run(folder)).file == folder / "train" / "bent" / "000.png"


def test_a_link_out_of_the_folder(folder, tmp_path):
    draw(tmp_path / "elsewhere.png", seed=99)
    (folder / "train" / "good" / "003.png").symlink_to(tmp_path / "elsewhere.png")
    assert "link to a file outside" in only(run(folder)).what


def test_the_folder_above_the_category(folder):
    assert any(f"such as {folder}" in problem.remedy for problem in run(folder.parent))


def test_hidden_images_count_because_anomalib_reads_them(folder):
    (folder / "train" / "good" / "._000.png").write_bytes(b"what a Mac leaves behind")
    (folder / ".DS_Store").write_bytes(b"")
    assert only(run(folder)).file.name == "._000.png"


@pytest.mark.parametrize("path", ["nowhere", "a_file"])
def test_no_such_folder(path, tmp_path):
    (tmp_path / "a_file").write_text("")
    with pytest.raises(MissingError, match=f"There is no folder .*{path}"):
        check(tmp_path / path)


@pytest.mark.parametrize("bounds", [(1e-4, 1e-5), (0, 1e-4), (1e-5, 1.5), (1e-4, 1e-4), (float("nan"), 1e-4)])
def test_impossible_bounds(bounds, folder):
    with pytest.raises(InputError, match="FPR bounds must be in order"):
        check(folder, fpr_bounds=bounds)


@pytest.mark.parametrize("size", [(0, 256), (256, -1)])
def test_impossible_size(size, folder):
    with pytest.raises(InputError, match="image size must be positive"):
        check(folder, image_size=size)


def test_several_problems_are_all_named(folder):
    (folder / "ground_truth" / "bent" / "001_mask.png").unlink()
    (folder / "train" / "good" / "000.png").write_bytes(b"")
    assert {problem.file.name for problem in run(folder)} == {"000.png", "001.png"}


def test_masks_that_sorting_would_swap(folder):
    """As anomalib pairs them: a.png comes before a1.png, and a_mask.png behind a1_mask.png."""
    for number, name in enumerate(("a", "a1")):
        for part in ("test/bent/{}.png", "ground_truth/bent/{}_mask.png"):
            (folder / part.format(f"{number:03d}")).rename(folder / part.format(name))
    problems = run(folder)
    assert {problem.file.name for problem in problems} == {"a_mask.png", "a1_mask.png"}
    assert "would be taken for the mask of" in problems[0].what
    for path in folder.glob("ground_truth/*/*"):
        path.rename(path.with_name(path.name.replace("_mask", "")))
    assert run(folder) == []


@pytest.mark.parametrize("where", ["train/good/000.png", "ground_truth/bent/000_mask.png"])
def test_what_is_no_file_is_named_and_not_waited_for(where, folder):
    (folder / where).unlink()
    os.mkfifo(folder / where)
    assert "it is no plain file" in only(run(folder)).what
    (folder / where).unlink()
    (folder / where).symlink_to(folder / "nowhere.png")
    assert any("cannot be read" in problem.what for problem in run(folder) if problem.file == folder / where)


def test_images_that_anomalib_would_read_otherwise(folder):
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(folder / "train" / "good" / "001.png") as image:
        image.save(folder / "train" / "good" / "001.png", exif=exif)
    Image.fromarray(np.full((SIZE, SIZE), 700, dtype=np.uint16)).save(folder / "test" / "good" / "001.png")
    problems = run(folder)
    assert {problem.file.name for problem in problems} == {"001.png"}
    assert len(problems) == 2
    assert all("anomalib reads it as it is stored" in problem.what for problem in problems)
