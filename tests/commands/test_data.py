"""``aupimo data make`` and ``aupimo data check`` as a user sees them."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.commands import main
from aupimo_helpers.data import mvtec
from aupimo_helpers.synthesis import dataset as writer


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(writer, "COUNTS", dict.fromkeys(writer.COUNTS, (4, 16, 1)))


@pytest.mark.usefixtures("small")
def test_make_then_check(tmp_path, capsys):
    assert main(["data", "make", "photos/grass", "--data-root", str(tmp_path), "--seed", "5"]) == 0
    folder = tmp_path / "photos" / "grass"
    assert capsys.readouterr().out == f"photos/grass lies in {folder}\n"
    assert main(["data", "check", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: nothing wrong\n"


@pytest.mark.usefixtures("small")
def test_check_names_each_problem_and_exits_with_1(tmp_path, capsys):
    main(["data", "make", "photos/grass", "--data-root", str(tmp_path)])
    folder = tmp_path / "photos" / "grass"
    (folder / "ground_truth" / "cut" / "000_mask.png").unlink()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "ground_truth" / "fold" / "000_mask.png")
    (folder / "test" / "good" / "000.png").write_bytes(b"")
    capsys.readouterr()
    assert main(["data", "check", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 problems"
    for name in ("test/cut/000.png ", "ground_truth/fold/000_mask.png ", "test/good/000.png "):
        assert any(line.startswith(f"  {folder}/{name}") for line in lines)
    assert not list(tmp_path.rglob("*.problems.csv"))


@pytest.mark.usefixtures("small")
def test_many_problems_are_counted_and_all_written_to_a_table(tmp_path, capsys):
    folder = tmp_path / "photos" / "gravel"
    (folder / "test" / "good").mkdir(parents=True)
    for number in range(30):
        (folder / "test" / "good" / f"{number}.png").write_bytes(b"")
    assert main(["data", "check", str(folder)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "32 problems"
    assert "  and 12 more" in out
    assert len([line for line in out if line.startswith("  /")]) == 20
    table = tmp_path / "photos" / "gravel.problems.csv"
    assert out[-1] == f"All 32: {table}"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 32
    assert {row["file"] for row in rows} >= {str(folder / "test" / "good" / f"{number}.png") for number in range(30)}
    assert "cannot be read as an image" in rows[-1]["problem"]


@pytest.mark.usefixtures("small")
def test_check_measures_against_the_given_bounds_and_size(tmp_path, capsys):
    main(["data", "make", "photos/grass", "--data-root", str(tmp_path)])
    folder = str(tmp_path / "photos" / "grass")
    assert main(["data", "check", folder, "--fpr-bounds", "1e-7", "1e-4"]) == 1
    assert "the lower FPR bound 1e-07 needs at least 10,000,000" in capsys.readouterr().out
    assert main(["data", "check", folder, "--image-size", "32", "32"]) == 1
    assert "16,384 pixels at 32 x 32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["data", "check", "nowhere"], "aupimo: There is no folder nowhere. Give the category's folder"),
        (["data", "check", ".", "--fpr-bounds", "1e-4", "1e-5"], "aupimo: The FPR bounds must be in order"),
        (["data", "make", "synthetic/lether"], "aupimo: There is no data set synthetic/lether. Did you mean"),
        (["data", "make", "leather"], "aupimo: A data set is named SOURCE/CATEGORY"),
        (["data", "make", "mvtec/leather", "--from-folder", "nowhere"], "aupimo: nowhere is not MVTec AD's leather"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_1(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(sentence)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.slow
def test_a_failed_download_ends_in_one_sentence_without_a_stack_trace(tmp_path):
    patched = (
        "import sys; from anomalib.data.datamodules.image import mvtecad\n"
        "mvtecad.DOWNLOAD_INFO.url = 'http://127.0.0.1:9/mvtec.tar.xz'\n"
        "from aupimo_helpers.commands import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", patched, "data", "make", "mvtec/leather", "--data-root", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    last = finished.stderr.rstrip().splitlines()[-1]
    assert last.startswith("aupimo: MVTec AD could not be downloaded from http://127.0.0.1:9/")
    assert mvtec.HOME_PAGE in last


def test_help_names_the_sub_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["data", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("make", "check", "import"))


def test_building_the_parser_imports_nothing_heavy():
    code = (
        "import sys; from aupimo_helpers.commands import build_parser; build_parser()\n"
        "print(sorted({'torch', 'anomalib', 'lightning', 'pandas', 'scipy', 'skimage'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
