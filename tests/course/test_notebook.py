import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest

from aupimo_helpers.course import refresh as notebook_refresh
from aupimo_helpers.course.notebook import course, execute, notebooks_folder, read
from aupimo_helpers.course.pages import Row, index_page, notebook_page
from aupimo_helpers.course.refresh import heading, index_text, refresh, write_index
from aupimo_helpers.errors import InputError, MissingError

ROOT = Path(__file__).resolve().parents[2]
FIRST = """# 01 · A toy

**Does it run?**

**Measured:** not yet measured

**Next:** [02 · Another](02_other.ipynb), and [a figure](../figures/a.svg)"""


def write(path, *cells, first=FIRST, parameters="SEED = 1  # a seed\nBOUNDS = (1, 2)  # a pair"):
    """A notebook of code cells; text that begins with # is Markdown."""
    made = [nbformat.v4.new_markdown_cell(first)]
    made.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    for cell in cells:
        new = nbformat.v4.new_markdown_cell if cell.startswith("#") else nbformat.v4.new_code_cell
        made.append(new(cell))
    for number, cell in enumerate(made):
        cell.id = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"jupytext": {"formats": "py"}}), path)
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "notebooks"


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


class TestExecute:
    def test_parameters_variables_and_solutions(self, folder):
        path = write(
            folder / "01_toy.ipynb",
            "import numpy as np\nx = np.array([SEED, np.nan])",
            "# Now you\n<details><summary>Solution</summary>\n\n```python\nanswer = SEED + 1\n```\n\n</details>",
            "# not folded\n```python\nanswer = 0\n```",
        )
        before = path.read_bytes()
        seen = []
        execution = execute(
            path,
            {"SEED": 41, "BOUNDS": [3, 4]},
            with_solutions=True,
            variables=["x", "answer", "BOUNDS", "len(x)"],
            on_cell=lambda cell, cells: seen.append((cell, cells)),
        )
        assert execution.failure is None
        assert execution.values["x"][0] == 41
        assert execution.values["x"][1] != execution.values["x"][1]  # NaN
        assert (execution.values["answer"], execution.values["BOUNDS"], execution.values["len(x)"]) == (42, [3, 4], 2)
        assert seen == [(number, 7) for number in range(1, 8)]  # with injected parameters and solution
        assert len(execution.notebook.cells) == 7
        assert path.read_bytes() == before

    def test_without_solutions_they_do_not_run(self, folder):
        folded = "# Now you\n<details>\n\n```python\n1 / 0\n```\n\n</details>"
        assert execute(write(folder / "01_toy.ipynb", folded)).failure is None

    def test_time_and_memory_are_measured(self, folder):
        cell = (
            "import time\nmemory = bytearray(400_000_000)\nmemory[::4096] = b'x' * len(memory[::4096])\ntime.sleep(1)"
        )
        execution = execute(write(folder / "01_toy.ipynb", cell))
        assert 0.4 < execution.peak_memory_gb < 0.8
        assert 1 < execution.seconds < 60

    def test_a_childs_memory_counts(self, folder):
        child = "import time; x = bytearray(400_000_000); x[::4096] = b'x' * len(x[::4096]); time.sleep(1)"
        cell = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}], check=True)"
        assert execute(write(folder / "01_toy.ipynb", cell)).peak_memory_gb > 0.4

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            ("raise ValueError('first line\\nsecond')", "cell 3: ValueError: first line"),
            ("import os\nos._exit(1)", "cell 3: the kernel died, most often because memory ran out"),
            ("x = = 1", "cell 3: SyntaxError: invalid syntax"),
        ],
    )
    def test_a_failure_is_one_line_with_the_cells_number(self, folder, cell, message):
        execution = execute(write(folder / "01_toy.ipynb", cell, "print('not reached')"))
        assert str(execution.failure).startswith(message)
        assert "\n" not in str(execution.failure)
        assert not any(output.get("name") == "stdout" for output in outputs(execution.notebook))

    def test_a_cell_that_takes_too_long(self, folder):
        execution = execute(write(folder / "01_toy.ipynb", "import time\ntime.sleep(30)"), timeout=1)
        assert str(execution.failure) == "cell 3: the cell took longer than the time limit"

    def test_an_unknown_parameter_is_named(self, folder):
        with pytest.raises(InputError, match=r"01_toy\.ipynb has no parameter SED: it has SEED, BOUNDS"):
            execute(write(folder / "01_toy.ipynb"), {"SED": 1})

    def test_a_file_that_is_no_notebook_is_named(self, tmp_path):
        (tmp_path / "01_a.ipynb").write_text("no notebook")
        with pytest.raises(InputError, match=r"01_a\.ipynb is not a notebook"):
            read(tmp_path / "01_a.ipynb")


class TestCourse:
    def test_in_order_and_only_numbered_ones(self, folder):
        for name in ("02_b", "01_a", "10_c", "draft"):
            write(folder / f"{name}.ipynb")
        assert [path.stem for path in course(folder)] == ["01_a", "02_b", "10_c"]
        assert [path.stem for path in course(folder, ["10", "1", "01_a"])] == ["01_a", "10_c"]

    def test_an_unknown_number_is_named(self, folder):
        write(folder / "01_a.ipynb")
        with pytest.raises(MissingError, match=r"There is no notebook 07 in .*: there are 01_a"):
            course(folder, ["07"])

    def test_found_from_any_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert notebooks_folder() == ROOT / "notebooks"

    def test_not_found_is_one_sentence(self, tmp_path):
        with pytest.raises(MissingError, match="There are no course notebooks"):
            notebooks_folder(tmp_path)


class TestRefresh:
    def test_the_second_time_changes_nothing(self, folder):
        path = write(
            folder / "01_toy.ipynb", "print(SEED)", "import pandas as pd\npd.DataFrame({'a': [1]}).style.hide()"
        )
        assert refresh(path)
        first = path.read_bytes()
        assert not refresh(path)
        assert path.read_bytes() == first

    def test_what_is_recorded_and_what_is_not(self, folder):
        path = write(folder / "01_toy.ipynb", "print(SEED)", "SEED")
        refresh(path)
        notebook = read(path)
        assert set(notebook.metadata) == {"aupimo", "kernelspec", "language_info"}
        record = notebook.metadata.aupimo
        assert record.seconds >= 1
        assert 0 < record.peak_memory_gb < 1
        assert set(record.versions) >= {"python", "anomalib", "torch"}
        measured = re.search(r"^\*\*Measured:\*\* (.*)$", notebook.cells[0].source, re.MULTILINE)[1]
        assert re.fullmatch(
            rf"{record.seconds} s and {record.peak_memory_gb} GB on \d+ cores \(Python 3\.\d+, anomalib [\d.]+\)",
            measured,
        )
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == [1, 2, 3]
        assert code[2].outputs[0].execution_count == 3
        assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
        nbformat.validate(notebook)

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            ("1 / 0", "cell 3: ZeroDivisionError: division by zero"),
            ("import sys\nprint('noise', file=sys.stderr)", "cell 3 writes to stderr: noise"),
            ("import warnings\nwarnings.warn('old')", "cell 3 writes to stderr: .*old"),
            ("from pathlib import Path\nprint(Path.home() / 'x')", "cell 3 shows a path of this machine: .*x"),
            ("import os\nos.getcwd()", "cell 3 shows a path of this machine"),
            ("import tempfile\ntempfile.gettempdir() + '/x'", "cell 3 shows a path of this machine"),
            ("import anomalib\nanomalib.__file__", "cell 3 shows a path of this machine"),
            ("object()", "cell 3 shows a memory address"),
            ("print('x' * 1_100_000)", "it is 1.10 MB, more than 1 MB"),
        ],
    )
    def test_what_must_not_be_published_is_not_written(self, folder, monkeypatch, cell, message):
        monkeypatch.setattr(notebook_refresh, "machine_paths", lambda: [*REAL_PATHS, str(folder)])
        path = write(folder / "01_toy.ipynb", cell)
        before = path.read_bytes()
        with pytest.raises(InputError, match=rf"01_toy\.ipynb was not written: .*{message}"):
            refresh(path)
        assert path.read_bytes() == before
        assert [file.name for file in folder.iterdir()] == ["01_toy.ipynb"]

    def test_an_address_that_nobody_sees_is_taken_out(self, folder):
        cell = "class A:\n    def _repr_html_(self):\n        return '<b>seen</b>'\nA()"
        path = write(folder / "01_toy.ipynb", cell)
        refresh(path)
        assert outputs(read(path))[0].data["text/plain"] == "<__main__.A>"

    def test_machine_paths_are_those_of_this_machine(self):
        assert {str(Path.home()), tempfile.gettempdir(), sys.prefix, str(ROOT)} <= set(REAL_PATHS)

    @pytest.mark.parametrize("first", ["# Toy", "# 01 · Toy\n\nno question", "# 01 · Toy\n\n**Not a question**"])
    def test_a_first_cell_of_another_form(self, folder, first):
        path = write(folder / "01_toy.ipynb", first=first)
        with pytest.raises(InputError, match=r"01_toy\.ipynb needs a line"):
            heading(read(path), path.name)


REAL_PATHS = notebook_refresh.machine_paths()


class TestIndex:
    def test_a_row_per_notebook(self, folder):
        path = write(folder / "01_toy.ipynb")
        write(folder / "02_other.ipynb", first=FIRST.replace("01 · A toy", "02 · B | c"))
        notebook = read(path)
        notebook.metadata.aupimo = {
            "seconds": 24,
            "peak_memory_gb": 1.9,
            "cores": 2,
            "versions": {"python": "3.11.7", "anomalib": "2.7.0"},
        }
        nbformat.write(notebook, path)
        assert write_index(folder)
        rows = [line for line in (folder / "README.md").read_text().splitlines() if "ipynb" in line]
        assert rows[0] == (
            "| 01 | [A toy](01_toy.ipynb) | Does it run? | 24 s | 1.9 GB | Python 3.11.7, anomalib 2.7.0 |"
        )
        assert "not yet" in rows[1]
        assert not write_index(folder)

    def test_the_table_in_the_readme_of_the_project(self, folder):
        write(folder / "01_toy.ipynb")
        write_index(folder)
        readme = folder.parent / "README.md"
        assert not readme.exists(), "a project without a README is left without one"
        readme.write_text("above\n<!-- notebooks: by a command -->\nold\n<!-- /notebooks -->\nbelow\n")
        assert write_index(folder)
        lines = [line for line in readme.read_text().splitlines() if line]
        assert lines[:2] == ["above", "<!-- notebooks: by a command -->"]
        assert lines[4] == "| 01 | [A toy](notebooks/01_toy.ipynb) | Does it run? | not yet | not yet |"
        assert lines[5:] == ["<!-- /notebooks -->", "below"]
        assert not write_index(folder)

    def test_the_committed_index_is_that_of_the_committed_notebooks(self):
        text = index_text(course(ROOT / "notebooks"))
        assert (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8") == text
        readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        for path in course(ROOT / "notebooks"):
            record = read(path).metadata.aupimo
            (line,) = [line for line in readme if line.startswith(f"| {path.name[:2]} |")]
            assert f"(notebooks/{path.name})" in line
            assert line.endswith(f"| {record.seconds} s | {record.peak_memory_gb} GB |")


class TestPages:
    def test_links_images_and_scripts(self, folder):
        picture = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
        (folder.parent / "figures").mkdir()
        (folder.parent / "figures" / "a.svg").write_text(picture)
        path = write(folder / "01_toy.ipynb", "# see\n![a picture](../figures/a.svg)")
        page = notebook_page(read(path), "01_toy", folder, ["01_toy", "02_other"])
        assert 'href="02_other.html"' in page
        assert "data:image/svg+xml;base64" in page
        assert "<script src" not in page  # nothing is loaded from elsewhere
        assert "https://cdn" not in page

    def test_solutions_stay_folded(self, folder):
        folded = "# Now you\n<details><summary>Solution</summary>\n\nhidden\n\n</details>\n\nseen"
        page = notebook_page(read(write(folder / "01_toy.ipynb", folded)), "01_toy", folder, [])
        assert re.search(r"<details>.*hidden.*</details>.*seen", page, re.DOTALL)

    def test_formulas_bring_mathjax(self, folder):
        path = write(folder / "01_toy.ipynb", "# formula\n$a = b$")
        assert "mathjax" in notebook_page(read(path), "01_toy", folder, []).lower()

    def test_the_index_escapes_and_links_what_ran(self):
        rows = [
            Row("01_a", "A < B", "Why?", "passed", 12.4, 1.26),
            Row("02_b", "C", "How?", "FAILED", 3.0, 0.5, "cell 4: ValueError: <b>"),
            Row("03_c", "D", "When?", "not run"),
        ]
        page = index_page(rows, "own/<x>", "python 3.11")
        assert '<a href="01_a.html">A &lt; B</a>' in page
        assert "12 s" in page
        assert "1.3 GB" in page
        assert "cell 4: ValueError: &lt;b&gt;" in page
        assert "03_c.html" not in page
        assert "own/&lt;x&gt;" in page


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.ipynb")}


def aupimo(*arguments, cwd, **options):
    command = [sys.executable, "-m", "aupimo_helpers", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        # a test run in the background of a shell inherits that Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


def test_ctrl_c_keeps_what_has_been_run(folder, tmp_path, tiny_data):
    write(folder / "01_toy.ipynb", "print('done')")
    write(folder / "02_slow.ipynb", "open('started', 'w').close()\nimport time\ntime.sleep(100)")
    before = digest(folder)
    process = aupimo(
        "run",
        "--notebooks",
        folder,
        "--data-root",
        tiny_data,
        "--dataset",
        "own/tiny",
        "--results",
        "out",
        cwd=tmp_path,
    )
    begin = time.monotonic()
    while not (folder / "started").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < begin + 120
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stdout + stderr
    assert stderr.strip() == "aupimo: stopped"
    assert (tmp_path / "out" / "01_toy.html").exists()
    page = (tmp_path / "out" / "index.html").read_text()
    assert "stopped" in page
    assert '<a href="01_toy.html">' in page
    assert digest(folder) == before


@pytest.fixture
def tiny_data(tmp_path):
    """A folder that `aupimo run` takes for a data set; the toy notebooks do not read it."""
    root = tmp_path / "data"
    for part in ("train/good", "test/good", "test/cut", "ground_truth/cut"):
        (root / "own" / "tiny" / part).mkdir(parents=True)
    return root
