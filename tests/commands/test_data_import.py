"""`aupimo data import` as a user types it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.commands import main


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "brackets"
    rng = np.random.default_rng(0)
    for name in ("normal/1", "normal/2", "normal/3", "abnormal/4", "abnormal/5"):
        path = source / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    (source / "masks").mkdir()
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(source / "masks" / "4.png")
    return source


def test_import_says_where_it_lies_and_what_is_next(pictures, tmp_path, capsys):
    command = ["data", "import", str(pictures), "--data-root", str(tmp_path / "datasets"), "--without-mask", "skip"]
    assert main(command) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "datasets" / "own" / "brackets"
    assert out.splitlines() == [
        f"own/brackets lies in {folder} (layout: folders)",
        "  train/good: 2 images",
        "  test/abnormal: 1 image",
        "  test/good: 1 image",
        "  left out, because they have no mask: abnormal/5.jpg",
        f"next: aupimo data check {folder}",
    ]
    assert main([*command, "--name", "again"]) == 0
    assert (folder.parent / "again" / "train" / "good").is_dir()


def test_import_ends_with_one_sentence_and_exit_code_1(pictures, tmp_path, capsys):
    assert main(["data", "import", str(pictures), "--data-root", str(tmp_path / "datasets")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "5.jpg shows a defect and has no mask" in captured.err
    assert not (tmp_path / "datasets").exists()


def test_a_depth_of_more_than_8_bits_is_said(pictures, tmp_path, capsys):
    (pictures / "abnormal" / "5.jpg").unlink()
    Image.fromarray(np.full((8, 8), 1000, dtype=np.uint16)).save(pictures / "normal" / "deep.png")
    assert main(["data", "import", str(pictures), "--data-root", str(tmp_path / "datasets")]) == 0
    assert "taken as 10 bits deep and reduced to 8" in capsys.readouterr().out


def test_unknown_layouts_are_refused_by_the_parser(pictures):
    with pytest.raises(SystemExit) as stop:
        main(["data", "import", str(pictures), "--layout", "tiff"])
    assert stop.value.code == 2


def test_what_is_skipped_is_said(pictures, tmp_path, capsys):
    for number in range(25):
        (pictures / "normal" / f"bad{number}.jpg").write_bytes(b"")
    command = ["data", "import", str(pictures), "--data-root", str(tmp_path / "datasets"), "--without-mask", "skip"]
    assert main([*command, "--name", "parts"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "aupimo: 25 problems"
    assert "  and 5 more" in err
    assert err[-1] == "All 25: parts.problems.csv"
    assert len(Path("parts.problems.csv").read_text().splitlines()) == 26
    for number in range(4):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)).resize(
            (400, 400)
        ).save(pictures / "normal" / f"more{number}.png")
    assert main([*command, "--skip-problems"]) == 0
    out = capsys.readouterr().out
    assert "  skipped 25 files, listed in " in out
    assert "    normal/bad0.jpg cannot be read as an image (it is not an image)" in out
