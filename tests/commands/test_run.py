import hashlib
import io
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from aupimo_helpers.commands import main
from aupimo_helpers.course.notebook import read
from aupimo_helpers.course.report import Report
from aupimo_helpers.course.run import run_course
from aupimo_helpers.errors import AupimoWarning, InputError, WriteError

pytestmark = pytest.mark.slow

PARAMETERS = """DATASET = "synthetic/leather"  # name
DATA_ROOT = "../datasets"  # folder
RESULTS_DIR = "../results"  # folder
SEED = 0  # of the weights
PRE_TRAINED = False  # weights"""


def write(folder, name, code, parameters=PARAMETERS):
    number = name[:2]
    first = f"# {number} · Toy {number}\n\n**Does {number} run?**\n\n**Measured:** not yet measured"
    cells = [nbformat.v4.new_markdown_cell(first)]
    if parameters:
        cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells.append(nbformat.v4.new_code_cell(code))
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


@pytest.fixture
def folder(tmp_path):
    """Three notebooks: one shows its parameters, one fails, one has none."""
    folder = tmp_path / "repository" / "notebooks"
    write(folder, "01_shows", "print(DATASET, DATA_ROOT, RESULTS_DIR, SEED, PRE_TRAINED)")
    write(folder, "02_fails", "raise ValueError('no luck')")
    write(folder, "03_plain", "print('fine')", parameters="")
    return folder


@pytest.fixture
def images(tmp_path):
    """A small category in MVTec AD's layout that passes `aupimo data check`."""
    random = np.random.default_rng(0)
    category = tmp_path / "mine" / "parts" / "screws"

    def save(name, pixels):
        (category / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(category / name)

    for i in range(3):
        save(f"train/good/{i}.png", random.integers(0, 255, (256, 256, 3)))
        save(f"test/good/{i}.png", random.integers(0, 255, (256, 256, 3)))
        save(f"test/cut/{i}.png", random.integers(0, 255, (256, 256, 3)))
        mask = np.zeros((256, 256))
        mask[50:90, 60 : 80 + i] = 255
        save(f"ground_truth/cut/{i}_mask.png", mask)
    return category


def shown(results):
    (output,) = read(results / "01_shows.ipynb").cells[-1].outputs
    return output.text.strip()


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_run_reports_every_notebook_and_leaves_the_sources(folder, images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = hashes(folder)
    root = images.parents[1]
    arguments = ["--notebooks", str(folder), "--data-root", str(root), "--dataset", "parts/screws", "--seed", "3"]
    assert main(["run", *arguments, "--results", "out", "--pre-trained"]) == 1
    out = capsys.readouterr().out
    results = tmp_path / "out"
    assert hashes(folder) == before
    assert shown(results) == f"parts/screws {root.as_posix()} {results.as_posix()} 3 True"
    assert {path.name for path in results.iterdir()} == {
        "book",
        *(f"{name}.ipynb" for name in ("01_shows", "02_fails", "03_plain")),
    }
    assert "[1/3] 01_shows" in out
    assert "02_fails: cell 4: ValueError: no luck" in out
    for name, status in (("01_shows", "passed"), ("02_fails", "FAILED"), ("03_plain", "passed"), ("all", "FAILED")):
        assert any(name in line and status in line for line in out.splitlines()), out
    assert str(results / "book" / "index.html") in out
    page = (results / "book" / "index.html").read_text()
    assert "no luck" in page
    assert set(re.findall(r'<td><a href="(\w+)', page)) == {"01_shows", "02_fails", "03_plain"}


def test_only_some_and_the_results_beside_the_notebooks(folder, images, capsys):
    arguments = ["--notebooks", str(folder), "--data-root", str(images)]
    assert main(["run", *arguments, "--only", "1", "03"]) == 0
    results = folder.parent / "results"
    # The results are where the notebooks have them by default, so that is left as it stands there.
    assert shown(results) == f"parts/screws {images.parents[1].as_posix()} ../results 0 False"
    assert not (results / "book" / "02_fails.html").exists()
    assert "all" in capsys.readouterr().out


def test_the_index_keeps_what_ran_before_on_the_same_data_with_the_same_settings(folder, images, capsys):
    def rows(*arguments):
        main(["run", "--notebooks", str(folder), "--data-root", str(images), *arguments])
        page = (folder.parent / "results" / "book" / "index.html").read_text()
        return re.findall(r'<td><a href="(\w+)\.html">', page), page

    assert rows("--only", "1", "2")[0] == ["01_shows", "02_fails"]
    assert "all       | passed" not in capsys.readouterr().out
    kept, page = rows("--only", "3")
    assert kept == ["01_shows", "02_fails", "03_plain"]
    assert "cell 4: ValueError: no luck" in page
    assert page.count('class="passed"') == 2
    out = capsys.readouterr().out
    assert "01_shows" not in out  # what is told in the terminal is this run
    assert rows("--only", "3", "--seed", "1")[0] == ["03_plain"]
    (folder.parent / "results" / "02_fails.ipynb").unlink()
    assert rows("--only", "1")[0] == ["01_shows"]


def test_own_data_is_checked_whatever_names_it(folder, images, capsys):
    (images / "ground_truth" / "cut" / "0_mask.png").unlink()
    arguments = ["--notebooks", str(folder), "--data-root", str(images.parents[1]), "--dataset", "parts/screws"]
    assert main(["run", *arguments]) == 1
    error = capsys.readouterr().err
    assert "0_mask.png is missing" in error
    assert "--skip-problems" not in error  # which makes a data set, and this is one
    assert not (folder.parent / "results").exists()


def test_what_cannot_be_used_is_left_out_if_one_says_so_and_the_report_lists_it(folder, images, capsys):
    random = np.random.default_rng(1)
    for i in range(25):
        pixels = random.integers(0, 255, (256, 256, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(images / f"test/cut/x{i:02}.png")
    arguments = ["run", "--notebooks", str(folder), "--data-root", str(images), "--only", "1"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "25 problems" in error
    assert "--skip-problems" in error
    table = images.with_name("screws.problems.csv")
    assert str(table) in error
    assert len(table.read_text().splitlines()) == 26
    assert not (folder.parent / "results").exists()
    assert main([*arguments, "--skip-problems"]) == 0
    assert shown(folder.parent / "results").startswith("own/screws ")
    page = (folder.parent / "results" / "book" / "index.html").read_text()
    assert page.count("x00.png") == 1
    assert page.count("has no mask") + page.count("have no mask") >= 1
    assert main([*arguments, "--skip-problems", "--dataset", "parts/screws"]) == 1
    assert "with --data-root alone" in capsys.readouterr().err


def test_the_advice_for_what_an_import_kept_can_be_followed(folder, tmp_path, capsys):
    pictures, random = tmp_path / "pictures", np.random.default_rng(0)
    for i in range(16):
        kind = "good" if i < 13 else "defect"
        (pictures / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (512, 512, 3)).astype(np.uint8)).save(pictures / kind / f"{i:02}.png")
        if i >= 13:
            mask = np.zeros((512, 512), dtype=np.uint8)
            mask[1 : 2 if i == 13 else 100, 1 : 2 if i == 13 else 100] = 255  # one that vanishes at 256 x 256
            (pictures / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(pictures / "masks" / f"{i:02}.png")
    arguments = ["run", "--notebooks", str(folder), "--data-root", str(pictures), "--only", "1"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    imported = re.search(r"To leave these out: delete (.*), and add --skip-problems", error)[1]
    assert "13.png vanishes" in error
    assert main([*arguments, "--skip-problems"]) == 1
    assert "--category), or delete that folder first" in capsys.readouterr().err
    shutil.rmtree(imported)
    assert main([*arguments, "--skip-problems"]) == 0
    assert shown(folder.parent / "results").startswith("own/pictures ")


def test_what_the_check_warns_of_is_in_the_report(folder, images):
    mask = np.full((256, 256), 255, dtype=np.uint8)
    mask[50:60, 60:80] = 0
    Image.fromarray(mask).save(images / "ground_truth" / "cut" / "0_mask.png")
    with pytest.warns(AupimoWarning, match="more than half"):
        assert main(["run", "--notebooks", str(folder), "--data-root", str(images), "--only", "1"]) == 0
    page = (folder.parent / "results" / "book" / "index.html").read_text()
    assert "more than half" in page
    assert "0_mask.png" in page


def test_a_category_is_chosen_by_name(folder, images):
    arguments = ["--notebooks", str(folder), "--data-root", str(images.parent), "--category", "screws", "--only", "1"]
    assert main(["run", *arguments]) == 0
    assert shown(folder.parent / "results").startswith("parts/screws ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "synthetic/lether"], "synthetic/leather"),
        (["--dataset", "leather"], "SOURCE/CATEGORY"),
        (["--data-root", "{tmp}/nowhere"], "nowhere"),
        (["--only", "77"], "There is no notebook 77"),
        (["--notebooks", "{tmp}"], "There are no course notebooks"),
        (["--dataset", "photos/brick", "--category", "a"], "with --data-root alone"),
        (["--jobs", "0"], "--jobs must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(folder, tmp_path, capsys, arguments, message):
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    if "--notebooks" not in given:
        given += ["--notebooks", str(folder)]
    assert main(["run", *given]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not (folder.parent / "results").exists()


def test_results_that_cannot_be_written_are_known_before_anything_runs(folder, tmp_path):
    (tmp_path / "file").write_text("")
    console = Console(file=io.StringIO())
    with pytest.raises(WriteError, match=r"Cannot write .*file.*book"):
        run_course(sorted(folder.iterdir()), tmp_path / "file", {}, report=Report("a/b"), console=console)
    assert console.file.getvalue() == ""


def test_no_notebook_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no notebook to run"):
        run_course([], tmp_path, {}, report=Report("a/b"), console=Console())


def test_a_terminal_shows_notebook_cell_and_time(folder, tmp_path):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    run = run_course(sorted(folder.iterdir()), tmp_path / "out", {"SEED": 1}, report=Report("a/b"), console=console)
    assert [row.status for row in run.rows] == ["passed", "FAILED", "passed"]
    shown_text = text.getvalue()
    assert re.search(r"2/3 02_fails: .* [1-9]/\d+ \[00:0\d<.*cell", shown_text)  # the cell, and the time so far


def test_refresh_writes_the_good_ones_and_names_the_bad(folder, capsys):
    before = hashes(folder)
    assert main(["refresh", "--notebooks", str(folder)]) == 1
    captured = capsys.readouterr()
    assert "02_fails.ipynb was not written: cell 3: ValueError: no luck" in captured.err
    after = hashes(folder)
    assert after["02_fails.ipynb"] == before["02_fails.ipynb"]
    assert after["01_shows.ipynb"] != before["01_shows.ipynb"]
    assert "Does 02 run?" in (folder / "README.md").read_text()
    assert main(["refresh", "--notebooks", str(folder), "01"]) == 0
    assert hashes(folder) == after


def test_the_index_alone(folder):
    before = hashes(folder)
    assert main(["refresh", "--notebooks", str(folder), "--index-only"]) == 0
    assert {name: value for name, value in hashes(folder).items() if name != "README.md"} == before
    assert Path(folder, "README.md").read_text().count("ipynb") == 3
