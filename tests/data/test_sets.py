"""The embedded data sets: what they hold, and that they appear whole or not at all."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers import data
from aupimo_helpers.data import DEFECT_TYPES, check, sets
from aupimo_helpers.errors import InputError, MissingError, WriteError
from aupimo_helpers.synthesis import dataset as writer

pytestmark = pytest.mark.slow

SMALL = (6, 3, 2)  # train/good, test/good, per defect type


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def everything_in(folder: Path) -> set[str]:
    """Files that a failed run left; the empty lock beside a data set is meant to stay."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


@pytest.fixture
def small(monkeypatch):
    """Every embedded set with a few images only."""
    monkeypatch.setattr(writer, "COUNTS", dict.fromkeys(writer.COUNTS, SMALL))


@pytest.fixture(scope="module")
def leather_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    data.make("synthetic/leather", root)
    return root


# --- what the full leather set holds


def test_leather_has_the_promised_images(leather_root):
    folder = data.folder("synthetic/leather", leather_root)
    counts = Counter(path.relative_to(folder).parent.as_posix() for path in folder.rglob("*.png"))
    assert counts.pop("train/good") == 200
    assert counts.pop("test/good") == 32
    for defect in DEFECT_TYPES:
        assert counts.pop(f"test/{defect}") >= 18
        assert counts.pop(f"ground_truth/{defect}") >= 18
    assert not counts
    for path in list(folder.glob("t*/*/*.png"))[::40]:
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((256, 256), "RGB")


def test_the_table_of_defects_tells_what_the_masks_show(leather_root):
    folder = data.folder("synthetic/leather", leather_root)
    table = data.defects("synthetic/leather", leather_root)
    assert list(table.columns) == ["image_path", "defect", "severity", "mask_area"]
    assert set(table.image_path) == {
        path.relative_to(folder).as_posix() for path in folder.glob("test/*/*.png") if path.parent.name != "good"
    }
    for row in table.itertuples():
        name = Path(row.image_path)
        assert row.defect == name.parent.name
        with Image.open(folder / "ground_truth" / row.defect / f"{name.stem}_mask.png") as image:
            assert image.mode == "L"
            mask = np.asarray(image)
        assert set(np.unique(mask)) == {0, 255}
        assert (mask > 0).sum() == row.mask_area
    assert table.severity.between(0.1, 1).all()
    # Severities cover the whole range in each type; areas differ by more than ten times.
    severities = table.groupby("defect").severity
    assert (severities.min() < 0.2).all()
    assert (severities.max() > 0.9).all()
    assert table.mask_area.max() > 10 * table.mask_area.min()
    # Shape is drawn independently of severity, or recall against the one would show the other.
    assert abs(table.severity.corr(table.mask_area, method="spearman")) < 0.25


def test_the_mask_covers_what_the_defect_changes():
    """Draw each surface with and without its defect: nearly all of the visible change lies on the mask."""
    from aupimo_helpers.synthesis import leather
    from aupimo_helpers.synthesis.defects import make_defect

    for kind in DEFECT_TYPES:
        on_mask, changed, mask_pixels = 0, 0, 0
        for i in range(6):
            defect = make_defect(kind, np.random.default_rng([9, i]), (256, 256), severity=0.9)
            with_it = leather.render(np.random.default_rng(i), defect).astype(int)
            without = leather.render(np.random.default_rng(i)).astype(int)
            visible = np.abs(with_it - without).max(axis=2) > 25
            on_mask += (visible & defect.mask).sum()
            changed += visible.sum()
            mask_pixels += defect.mask.sum()
        assert on_mask / changed > 0.80, kind
        assert on_mask / mask_pixels > 0.35, kind


def test_all_training_and_test_images_differ(leather_root):
    folder = data.folder("synthetic/leather", leather_root)
    contents = [hashlib.sha256(path.read_bytes()).digest() for path in folder.glob("t*/*/*.png")]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize("dataset", ["synthetic/leather", "photos/brick"])
def test_the_data_check_finds_nothing_wrong(dataset, leather_root):
    assert check(data.make(dataset, leather_root)) == []


# --- the same pixels from the same seed


@pytest.mark.parametrize("dataset", sets.EMBEDDED)
@pytest.mark.usefixtures("small")
def test_pixels_depend_on_the_seed_alone(dataset, tmp_path):
    made = []
    for run, (seed, workers) in enumerate([(0, 1), (0, 3), (1, 2)]):
        folder = tmp_path / str(run)
        folder.mkdir()
        writer.write(dataset, folder, seed=seed, workers=workers)
        made.append(digests(folder))
    assert made[0] == made[1]
    assert made[0].keys() == made[2].keys()
    assert not set(made[0].values()) & set(made[2].values())


def test_training_and_test_crops_of_a_photograph_share_no_pixel():
    from aupimo_helpers.synthesis import photos

    columns = np.broadcast_to(np.arange(512, dtype=np.float32), (512, 512))
    rng = np.random.default_rng(0)
    train = [photos._crop(columns, rng, photos.TRAIN_COLUMNS) for _ in range(200)]
    test = [photos._crop(columns, rng, photos.TEST_COLUMNS) for _ in range(200)]
    # A value between two whole numbers was interpolated between these two columns.
    assert np.ceil(np.max(train)) < np.floor(np.min(test))
    assert np.max(train) - np.min(train) > 250
    assert np.max(test) - np.min(test) > 190


# --- a set that is there


@pytest.mark.usefixtures("small")
def test_a_set_that_is_there_is_left_untouched(tmp_path):
    folder = data.make("photos/brick", tmp_path, seed=3)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert data.make("photos/brick", tmp_path) == folder
    assert data.make("photos/brick", tmp_path, seed=3) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.usefixtures("small")
def test_another_seed_is_refused(tmp_path):
    folder = data.make("photos/brick", tmp_path, seed=3)
    with pytest.raises(InputError, match=r"brick was made with seed 3, not 4\. Remove the folder .* --seed 4"):
        data.make("photos/brick", tmp_path, seed=4)
    assert json.loads((folder / "dataset.json").read_text())["seed"] == 3


@pytest.mark.usefixtures("small")
def test_an_older_recipe_is_refused(tmp_path, monkeypatch):
    data.make("photos/brick", tmp_path)
    monkeypatch.setattr(writer, "RECIPE", writer.RECIPE + 1)
    with pytest.raises(InputError, match="was made by recipe 1, this version has recipe 2"):
        data.make("photos/brick", tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"recipe": 1}', '{"recipe": "x", "seed": 0}'])
@pytest.mark.usefixtures("small")
def test_a_damaged_record_is_refused(content, tmp_path):
    folder = data.make("photos/brick", tmp_path)
    (folder / "dataset.json").write_text(content)
    with pytest.raises(InputError, match=r"dataset\.json is not a record"):
        data.make("photos/brick", tmp_path)


@pytest.mark.parametrize("part", ["train/good", "test/cut", "ground_truth/cut"])
@pytest.mark.parametrize("fault", ["is missing", "was added", "has another size"])
@pytest.mark.usefixtures("small")
def test_a_set_that_is_no_longer_whole_is_refused(part, fault, tmp_path):
    folder = data.make("photos/brick", tmp_path)
    path = next((folder / part).iterdir())
    if fault == "was added":
        path = path.with_name("more.png")
    path.unlink() if fault == "is missing" else path.write_bytes(b"")
    with pytest.raises(InputError, match=rf"{path.name} {fault}.*Remove the folder to have it made again"):
        data.make("photos/brick", tmp_path)


def test_a_folder_of_your_own_is_taken_as_it_is(tmp_path):
    own = tmp_path / "own" / "screws"
    (own / "train" / "good").mkdir(parents=True)
    assert data.make("own/screws", tmp_path) == data.folder("own/screws", tmp_path) == own
    assert data.defects("own/screws", tmp_path) is None


@pytest.mark.parametrize("dataset", ["own/screws", "synthetic/leather"])
def test_a_folder_that_is_no_data_set_is_refused(dataset, tmp_path):
    (tmp_path / dataset).mkdir(parents=True)
    with pytest.raises(InputError, match=rf"{dataset} is not a data set: it has no folder train/good\..* data check"):
        data.make(dataset, tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("image_path,defect\n", "no column mask_area, severity"),
        ("", "is not a table"),
        (b"\xff\xfe\x00", "is not a table"),
    ],
)
def test_a_damaged_table_of_defects_is_named(content, reason, tmp_path):
    (tmp_path / "own" / "x").mkdir(parents=True)
    table = tmp_path / "own" / "x" / "defects.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=rf"defects\.csv.*{reason}"):
        data.defects("own/x", tmp_path)


# --- names


def test_every_known_name_is_listed():
    names = data.available()
    assert len(names) == len(set(names)) == 4 + 15 + 12
    from anomalib.data.datasets.image import mvtecad, visa

    for source, categories in {"mvtec/": mvtecad.CATEGORIES, "visa/": visa.CATEGORIES}.items():
        assert tuple(name.removeprefix(source) for name in names if name.startswith(source)) == categories


@pytest.mark.parametrize("function", [data.make, data.folder, data.defects, data.datamodule])
@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("synthetic/lether", "synthetic/leather"),
        ("photos/bricks", "photos/brick"),
        ("mvtec/metalnut", "mvtec/metal_nut"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one(function, wrong, nearest, tmp_path):
    with pytest.raises(MissingError, match=rf"no data set {wrong}\. Did you mean {nearest}\?"):
        function(wrong, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_your_own_is_suggested_too(tmp_path):
    (tmp_path / "own" / "screws" / "train").mkdir(parents=True)
    with pytest.raises(
        MissingError, match=r"Did you mean own/screws\?.* in .*: own/screws; .* belongs at .*own/screw\."
    ):
        data.make("own/screw", tmp_path)


@pytest.mark.parametrize(
    "name", ["leather", "", "/", "a/", "/a", "a/b/c", "../x", "a/..", "./a", "a\\b/c", " /a", "a/ "]
)
def test_a_name_of_another_form_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="SOURCE/CATEGORY, such as synthetic/leather, not"):
        data.make(name, tmp_path)


def test_a_missing_set_that_can_be_made_says_how(tmp_path):
    with pytest.raises(MissingError, match=r"Make it with: aupimo data make photos/brick --data-root"):
        data.folder("photos/brick", tmp_path)


@pytest.mark.parametrize("dataset", ["mvtec/leather", "own/x"])
def test_a_seed_for_data_that_has_none_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match=rf"{dataset} is not made from random numbers"):
        data.make(dataset, tmp_path, seed=1)


def test_only_mvtec_is_copied_from_a_folder(tmp_path):
    with pytest.raises(InputError, match="photos/brick is not one of them"):
        data.make("photos/brick", tmp_path, from_folder=tmp_path)


# --- whole or not at all


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the file system is read-only"), (errno.EACCES, "permission")],
)
@pytest.mark.usefixtures("small")
def test_a_failed_write_leaves_nothing(number, reason, tmp_path, monkeypatch):
    save, calls = writer._save, []

    def fails_later(pixels, path):
        calls.append(path)
        if len(calls) > 5:
            raise OSError(number, os.strerror(number))
        save(pixels, path)

    monkeypatch.setattr(writer, "_save", fails_later)
    with pytest.raises(WriteError, match=rf"Cannot write .*photos/brick: {reason}"):
        data.make("photos/brick", tmp_path)
    assert everything_in(tmp_path) == set()
    assert not (tmp_path / "photos" / "brick").exists()


@pytest.mark.usefixtures("small")
def test_ctrl_c_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(_pixels, _path):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.make("photos/brick", tmp_path)
    assert everything_in(tmp_path) == set()


def test_a_read_only_data_root_is_named(tmp_path, monkeypatch):
    def refused(_self, *_args, **_kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(WriteError, match=r"Cannot write .*photos/brick: the file system is read-only"):
        data.make("photos/brick", tmp_path)


@pytest.mark.parametrize("blocked", ["root", "root/photos", "root/photos/brick"])
def test_a_file_where_a_folder_must_be_is_named(blocked, tmp_path):
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_text("I am a file")
    with pytest.raises(WriteError, match=rf"Cannot write .*: .*{blocked} is a file, not a folder"):
        data.make("photos/brick", tmp_path / "root")
    assert (tmp_path / blocked).read_text() == "I am a file"


MAKE = "import sys; from aupimo_helpers import data; data.make('photos/gravel', sys.argv[1])"


def test_a_killed_run_is_not_taken_for_whole_and_leaves_no_debris(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", MAKE, str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.png"))) < 20:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder = tmp_path / "photos" / "gravel"
    assert not folder.exists()
    assert list(tmp_path.rglob("*.png"))

    data.make("photos/gravel", tmp_path)
    assert check(folder) == []
    assert {path.name for path in folder.parent.iterdir()} == {"gravel", ".gravel.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_real_limit_on_file_sizes_leaves_nothing(tmp_path):
    limited = (
        "import resource, signal, sys; from aupimo_helpers.commands import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.exit(main(['data', 'make', 'photos/gravel', '--data-root', sys.argv[1]]))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith("aupimo: Cannot write ")
    assert "larger than is allowed" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert everything_in(tmp_path) == set()


def test_two_processes_at_once_make_it_once(tmp_path):
    counting = (
        "import sys; from aupimo_helpers import data; from aupimo_helpers.synthesis import dataset\n"
        "write = dataset.write\n"
        "def counted(*args, **options):\n"
        "    open(sys.argv[2], 'a').write('made '); write(*args, **options)\n"
        "dataset.write = counted\n"
        "data.make('photos/gravel', sys.argv[1])"
    )
    log = tmp_path / "log"
    command = [sys.executable, "-c", counting, str(tmp_path / "data"), str(log)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert log.read_text() == "made "
    assert check(tmp_path / "data" / "photos" / "gravel") == []


# --- anomalib's datamodule


def test_the_datamodule_reads_every_image_and_mask(leather_root):
    datamodule = data.datamodule("synthetic/leather", leather_root)
    datamodule.setup()
    table = data.defects("synthetic/leather", leather_root)
    assert (len(datamodule.train_data), len(datamodule.test_data)) == (200, 32 + len(table))
    batch = next(iter(datamodule.train_dataloader()))
    assert tuple(batch.image.shape) == (4, 3, 256, 256)
    areas = {}
    for batch in datamodule.test_dataloader():
        for path, mask in zip(batch.image_path, batch.gt_mask, strict=True):
            areas["/".join(Path(path).parts[-3:])] = int(mask.sum())
    assert {path: area for path, area in areas.items() if area} == dict(
        zip(table.image_path, table.mask_area, strict=True)
    )


def test_images_of_different_sizes_fit_into_one_batch(tmp_path):
    folder = tmp_path / "own" / "mixed"
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(40, 60), (64, 64), (100, 30)]):
        for split in ("train/good", "test/good", "test/scratch", "ground_truth/scratch"):
            (folder / split).mkdir(parents=True, exist_ok=True)
        for split in ("train/good", "test/good", "test/scratch"):
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number:03d}.png")
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[: height // 2] = 255
        Image.fromarray(mask).save(folder / "ground_truth" / "scratch" / f"{number:03d}_mask.png")
    datamodule = data.datamodule("own/mixed", tmp_path, image_size=(32, 48), batch_size=4)
    datamodule.setup()
    assert datamodule.train_dataloader().num_workers == 0
    batch = next(iter(datamodule.test_dataloader()))
    assert tuple(batch.image.shape) == (4, 3, 32, 48)
    assert tuple(batch.gt_mask.shape) == (4, 32, 48)
    shares = batch.gt_mask.float().mean((1, 2))
    assert sorted(shares.tolist()) == [0, 0, 0, 0.5]
