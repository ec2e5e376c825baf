import gc
import warnings
from pathlib import Path

import nbformat
import pytest

from aupimo_helpers.course.notebook import course, execute, notebooks_folder, read, read_with_parameters
from aupimo_helpers.errors import InputError, MissingError

ROOT = Path(__file__).resolve().parents[2]


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def run(path, parameters=None, **options):
    return execute(read_with_parameters(path, parameters or {}), path.parent, **options)


class TestExecute:
    def test_parameters_are_put_in_and_the_file_stays(self, write, folder):
        path = write(folder / "01_toy.ipynb", "print(SEED, BOUNDS)", "# the end")
        before = path.read_bytes()
        seen = []
        execution = run(path, {"SEED": 41, "BOUNDS": [3, 4]}, on_cell=lambda *numbers: seen.append(numbers))
        assert execution.failure is None
        assert [output.text for output in outputs(execution.notebook)] == ["41 [3, 4]\n"]
        assert seen == [(number, 5) for number in range(1, 6)]  # with the injected parameters
        assert path.read_bytes() == before

    def test_what_is_folded_away_does_not_run(self, write, folder):
        folded = "# Now you\n<details>\n\n```python\n1 / 0\n```\n\n</details>"
        assert run(write(folder / "01_toy.ipynb", folded)).failure is None

    def test_time_and_memory_are_measured(self, write, folder):
        cell = (
            "import time\nmemory = bytearray(400_000_000)\nmemory[::4096] = b'x' * len(memory[::4096])\ntime.sleep(1)"
        )
        execution = run(write(folder / "01_toy.ipynb", cell))
        assert 0.4 < execution.peak_memory_gb < 0.8
        assert 1 < execution.seconds < 60

    def test_its_event_loop_is_closed(self, write, folder):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert run(write(folder / "01_toy.ipynb", "1 + 1")).failure is None
            gc.collect()
        assert [warning for warning in warned if "event loop" in str(warning.message)] == []

    def test_a_childs_memory_counts(self, write, folder):
        child = "import time; x = bytearray(400_000_000); x[::4096] = b'x' * len(x[::4096]); time.sleep(1)"
        cell = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}], check=True)"
        assert run(write(folder / "01_toy.ipynb", cell)).peak_memory_gb > 0.4

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            ("raise ValueError('first line\\nsecond')", "cell 3: ValueError: first line"),
            ("import os\nos._exit(1)", "cell 3: the kernel died, most often because memory ran out"),
            ("x = = 1", "cell 3: SyntaxError: invalid syntax"),
        ],
    )
    def test_a_failure_is_one_line_with_the_cells_number(self, write, folder, cell, message):
        path = write(folder / "01_toy.ipynb", cell, "print('not reached')")
        committed = read(path)
        committed.cells[-1].outputs = [nbformat.v4.new_output("stream", text="of an earlier run")]
        nbformat.write(committed, path)
        execution = run(path)
        assert str(execution.failure).startswith(message)
        assert "\n" not in str(execution.failure)
        assert not any(output.get("name") == "stdout" for output in outputs(execution.notebook))

    def test_a_cell_that_takes_too_long(self, write, folder):
        execution = run(write(folder / "01_toy.ipynb", "import time\ntime.sleep(30)"), timeout=1)
        assert str(execution.failure) == "cell 3: the cell took longer than the time limit"

    def test_an_unknown_parameter_is_named(self, write, folder):
        with pytest.raises(InputError, match=r"01_toy\.ipynb has no parameter SED: it has SEED, BOUNDS"):
            run(write(folder / "01_toy.ipynb"), {"SED": 1})

    def test_a_file_that_is_no_notebook_is_named(self, tmp_path):
        (tmp_path / "01_a.ipynb").write_text("no notebook")
        with pytest.raises(InputError, match=r"01_a\.ipynb is not a notebook"):
            read(tmp_path / "01_a.ipynb")
        with pytest.raises(MissingError, match=r"There is no notebook at .*02_b\.ipynb: choose"):
            read(tmp_path / "02_b.ipynb")


class TestCourse:
    def test_in_order_and_only_numbered_ones(self, write, folder):
        for name in ("02_b", "01_a", "10_c", "draft"):
            write(folder / f"{name}.ipynb")
        assert [path.stem for path in course(folder)] == ["01_a", "02_b", "10_c"]
        assert [path.stem for path in course(folder, ["10", "1", "01_a"])] == ["01_a", "10_c"]

    def test_an_unknown_number_is_named(self, write, folder):
        write(folder / "01_a.ipynb")
        with pytest.raises(MissingError, match=r"There is no notebook 07 in .*: there are 01_a"):
            course(folder, ["07"])

    def test_found_from_any_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert notebooks_folder() == ROOT / "notebooks"

    def test_not_found_is_one_sentence(self, tmp_path):
        with pytest.raises(MissingError, match="There are no course notebooks"):
            notebooks_folder(tmp_path)


def test_every_figure_that_a_kernel_shows_says_what_it_shows(write, folder):
    """Whatever draws it, and as JPEG too."""
    plain = "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1))\nplt.gca().set(title='Scores', xlabel='x');"
    jpeg = "from aupimo_helpers.plots import as_jpeg\nplt.figure(figsize=(1, 1)).suptitle('Maps')\nas_jpeg(plt.gcf())"
    notebook = read(write(folder / "01_toy.ipynb", plain, jpeg))
    assert execute(notebook, folder).failure is None
    (png,), (photograph,) = (cell.outputs for cell in notebook.cells[-2:])
    assert png.metadata["image/png"]["alt"] == "Scores; x"
    assert photograph.metadata["image/jpeg"]["alt"] == "Maps"
