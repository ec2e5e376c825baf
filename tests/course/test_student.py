"""Students' copies: no solution, all exercises, nothing overwritten."""

import re
from pathlib import Path

import pytest

from aupimo_helpers.commands import main
from aupimo_helpers.course.exercises import solutions
from aupimo_helpers.course.notebook import read

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "copies"
    assert main(["student", str(folder), "--notebooks", str(NOTEBOOKS)]) == 0
    return folder


def test_every_exercise_is_there_and_no_solution(copies):
    sources = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert [path.name for path in sources] == sorted(path.name for path in (copies / "notebooks").iterdir())
    for path in sources:
        teacher, student = read(path), read(copies / "notebooks" / path.name)
        text = "\n".join(cell.source for cell in student.cells)
        assert re.findall(r"^### Exercise.*$", text, re.MULTILINE) == re.findall(
            r"^### Exercise.*$", "\n".join(cell.source for cell in teacher.cells), re.MULTILINE
        )
        assert solutions(teacher)
        assert not solutions(student)
        assert "Solution" not in text
        for code in solutions(teacher).values():
            assert code not in text
        assert [c.source for c in student.cells if c.cell_type == "code"] == [
            c.source for c in teacher.cells if c.cell_type == "code"
        ]
        assert not any(cell.get("outputs") for cell in student.cells)
        for picture in re.findall(r"\.\./figures/[\w.-]+", text):
            assert (copies / "notebooks" / picture).is_file()


def test_outputs_stay_if_asked_for_and_answers_are_never_overwritten(copies, tmp_path, capsys):
    command = ["student", "--notebooks", str(NOTEBOOKS), "--only", "04", "--outputs"]
    assert main([*command, str(tmp_path / "shown")]) == 0
    (notebook,) = (tmp_path / "shown" / "notebooks").iterdir()
    assert any(cell.get("outputs") for cell in read(notebook).cells)
    before = sorted((copies / "notebooks").iterdir())
    assert main([*command, str(copies)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert sorted((copies / "notebooks").iterdir()) == before
