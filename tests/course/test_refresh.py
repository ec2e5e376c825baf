import re
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from aupimo_helpers.course import refresh as module
from aupimo_helpers.course.notebook import course, execute, heading, read
from aupimo_helpers.course.refresh import index_text, problems, refresh, write_index
from aupimo_helpers.errors import InputError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
REAL_PATHS = module.machine_paths()


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


class TestRefresh:
    def test_the_second_time_changes_nothing(self, write, folder):
        path = write(
            folder / "01_toy.ipynb", "print(SEED)", "import pandas as pd\npd.DataFrame({'a': [1]}).style.hide()"
        )
        assert refresh(path)
        first = path.read_bytes()
        assert not refresh(path)
        assert path.read_bytes() == first

    def test_what_is_recorded_and_what_is_not(self, write, folder):
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
            rf"{record.seconds} s and {record.peak_memory_gb:.1f} GB on \d+ cores \(Python 3\.\d+, anomalib [\d.]+\)",
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
            ("print('x' * 1_100_000)", "it is 1.10 MB, more than 1 MB"),
        ],
    )
    def test_what_must_not_be_published_is_not_written(self, write, folder, cell, message):
        path = write(folder / "01_toy.ipynb", cell)
        before = path.read_bytes()
        with pytest.raises(InputError, match=rf"01_toy\.ipynb was not written: .*{message}"):
            refresh(path)
        assert path.read_bytes() == before
        assert [file.name for file in folder.iterdir()] == ["01_toy.ipynb"]

    def test_problems(self, write, folder, monkeypatch):
        monkeypatch.setattr(module, "machine_paths", lambda: [*REAL_PATHS, str(folder)])
        cells = {
            "import warnings\nwarnings.warn('old')": "writes to stderr: .*old",
            "from pathlib import Path\nprint(Path.home() / 'x')": "shows a path of this machine: .*x",
            "import os\nos.getcwd()": "shows a path of this machine: .*notebooks",
            "import tempfile\ntempfile.gettempdir() + '/x'": "shows a path of this machine: .*x",
            "import anomalib\nanomalib.__file__": "shows a path of this machine: .*anomalib",
            "print('see /home/somebody/x')": "shows a path of this machine: see /home/somebody/x",
            "object()": "shows a memory address: at 0x.*",
            "print('UserWarning: old')": "shows a warning",
            "print('fine: https://example.org/home/x')": None,
        }
        notebook = execute(read(write(folder / "01_toy.ipynb", *cells)), folder).notebook
        found = list(problems(notebook))
        expected = [f"cell {number} {text}" for number, text in enumerate(cells.values(), start=3) if text]
        assert len(found) == len(expected)
        for problem, pattern in zip(found, expected, strict=True):
            assert re.match(pattern, problem)

    @pytest.mark.parametrize("output", ["error", "widget"])
    def test_other_problems(self, write, folder, output):
        notebook = read(write(folder / "01_toy.ipynb"))
        widget = {"application/vnd.jupyter.widget-view+json": {}}
        notebook.cells[1].outputs = [
            nbformat.v4.new_output("error", ename="KeyError")
            if output == "error"
            else nbformat.v4.new_output("display_data", data=widget)
        ]
        expected = {"error": "cell 2 fails: KeyError", "widget": "cell 2 shows a widget"}
        assert list(problems(notebook)) == [expected[output]]

    def test_an_address_that_nobody_sees_is_taken_out(self, write, folder):
        cell = "class A:\n    def _repr_html_(self):\n        return '<b>seen</b>'\nA()"
        path = write(folder / "01_toy.ipynb", cell)
        refresh(path)
        assert outputs(read(path))[0].data["text/plain"] == "<__main__.A>"

    def test_of_a_widget_its_picture_stays(self, write, folder):
        bundle = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "image/png": "aa", "text/plain": "a"}
        path = write(folder / "01_toy.ipynb", f"from IPython.display import display\ndisplay({bundle}, raw=True)")
        assert refresh(path)
        assert set(outputs(read(path))[0].data) == {"image/png", "text/plain"}

    def test_machine_paths_are_those_of_this_machine(self):
        assert {str(Path.home()), tempfile.gettempdir(), sys.prefix, str(ROOT)} <= set(REAL_PATHS)

    @pytest.mark.parametrize("first", ["# Toy", "# 01 · Toy\n\nno question", "# 01 · Toy\n\n**Not a question**"])
    def test_a_first_cell_of_another_form(self, write, folder, first):
        path = write(folder / "01_toy.ipynb", first=first)
        with pytest.raises(InputError, match=r"01_toy\.ipynb needs a line"):
            heading(read(path), path.name)


class TestIndex:
    def test_a_row_per_notebook(self, write, folder):
        path = write(folder / "01_toy.ipynb")
        write(folder / "02_other.ipynb", first="# 02 · B | c\n\n**Does it run?**")
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

    def test_the_table_in_the_readme_of_the_project(self, write, folder):
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
            assert line.endswith(f"| {record.seconds} s | {record.peak_memory_gb:.1f} GB |")
