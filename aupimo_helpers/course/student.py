"""Copies of the course for students: every exercise with its answer cell, no solution."""

import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from aupimo_helpers.course.notebook import read
from aupimo_helpers.errors import InputError
from aupimo_helpers.files import atomic_folder

_SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?</details>\n*", re.DOTALL)


def without_solutions(notebook: NotebookNode, *, outputs: bool) -> NotebookNode:
    """Take out the solutions, outputs too unless they shall stay, and the cells that held nothing else."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _SOLUTION.sub("", cell.source).strip()
        elif not outputs:
            cell.outputs, cell.execution_count = [], None
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def write_student_copies(notebooks: Sequence[Path], folder: Path, *, outputs: bool) -> None:
    """Write the copies, with the pictures that they show, into a new folder: all of them, or none."""
    if folder.exists():
        raise InputError(f"{folder} exists already: name a new folder, so that nobody's answers are lost.")
    with atomic_folder(folder) as new:
        (new / "notebooks").mkdir()
        for path in notebooks:
            notebook = without_solutions(read(path), outputs=outputs)
            text = nbformat.writes(notebook) + "\n"
            (new / "notebooks" / path.name).write_text(text, encoding="utf-8")
            for picture in re.findall(r"\.\./figures/[\w.-]+", text):
                (new / "figures").mkdir(exist_ok=True)
                (new / "figures" / Path(picture).name).write_bytes((path.parent / picture).read_bytes())
