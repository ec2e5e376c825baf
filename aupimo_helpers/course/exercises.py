"""Exercises that the reader answers in the notebook, checked by running their folded solution on the reader's data.

An exercise is a heading ``### Exercise 05.2 · ...`` and, in a markdown cell below it, a ``<details>`` that holds a
block of Python. The block computes ``answer`` and may list ``mistakes``, pairs of a wrong answer and the hint that
fits it. That block is the only source: what the reader unfolds, what `check` compares with, and what the tests run.
"""

import contextlib
import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from nbformat import NotebookNode

from aupimo_helpers.course.notebook import course, notebooks_folder, read
from aupimo_helpers.errors import AupimoError, MissingError

_HEADING = re.compile(r"^### Exercise (\d\d\.\d)\b", re.MULTILINE)
_SOLUTION = re.compile(r"<details>.*?^```python\n(.*?)^```.*?</details>", re.DOTALL | re.MULTILINE)
_TOLERANCE = 1e-3


def check(number: str, answer: object) -> None:
    """Say whether an answer is right, or give a hint; prints one line.

    Numbers are right within a thousandth of their size, text in any case, collections in their order (sets in any).
    The solution is run on a copy of the notebook's names, so that it is computed from the reader's own data.

    Args:
        number: Of the exercise, such as ``"05.2"``.
        answer: ``...`` (the placeholder) means that there is none yet.

    Raises:
        MissingError: If there is no such exercise.
        AupimoError: If the solution cannot be run, most often because a cell above has not been.

    Example:
        >>> check("05.2", ...)
        Your turn: put your answer to exercise 05.2 in place of the three dots and run this cell.
    """
    if answer is ...:
        print(f"Your turn: put your answer to exercise {number} in place of the three dots and run this cell.")
        return
    from IPython import get_ipython

    names = getattr(get_ipython(), "user_ns", {})
    print(verdict(solution(number), names, answer, number))


def solution(number: str) -> str:
    """Find the Python block of an exercise's solution in the course's notebooks."""
    found = [solutions(read(path)).get(number) for path in course(notebooks_folder(), [number[:2]])]
    if not found or found[0] is None:
        raise MissingError(f"There is no exercise {number} with a solution in the course's notebooks.")
    return found[0]


def solutions(notebook: NotebookNode) -> dict[str, str]:
    """List the Python blocks of the solutions by the exercises' numbers."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    _, *parts = _HEADING.split(text)
    blocks = {number: _SOLUTION.search(body) for number, body in zip(parts[::2], parts[1::2], strict=True)}
    return {number: block[1] for number, block in blocks.items() if block is not None}


def verdict(code: str, names: Mapping[str, Any], answer: object, number: str) -> str:
    """Run a solution on a copy of the names and compare."""
    space = dict(names)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, space)
    except Exception as error:
        raise AupimoError(
            f"The solution of exercise {number} cannot be run here ({type(error).__name__}: {error}): run all cells "
            "above, and keep the names they define."
        ) from error
    hint = next((hint for wrong, hint in space.get("mistakes", ()) if same(answer, wrong)), "")
    if same(answer, space["answer"]):
        alike = f" On these images a common mistake gives the same answer; its hint is: {hint}" if hint else ""
        return f"Exercise {number}: right.{alike}"
    if not hint and any(_times(answer, factor, space["answer"]) for factor in (100, 0.01)):
        hint = "The digits are right: is it a share of 1, or a percentage?"
    return f"Exercise {number}: not yet. {hint or 'Try again, or unfold the solution below.'}"


def _times(answer: object, factor: float, expected: object) -> bool:
    """Whether a number that is not 0 is so many times what it should be."""
    number = isinstance(answer, (int, float, np.number)) and not isinstance(answer, bool) and answer != 0
    return number and same(answer * factor, expected)  # type: ignore[operator]


def same(answer: object, expected: object) -> bool:
    """Whether two answers are the same for a reader."""
    if isinstance(expected, str) or isinstance(answer, str):
        return str(answer).strip().lower() == str(expected).strip().lower()
    if isinstance(expected, (set, frozenset)):
        return isinstance(answer, (set, frozenset, list, tuple)) and set(answer) == set(expected)
    try:
        given, wanted = np.asarray(answer, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    except (TypeError, ValueError):
        if isinstance(expected, (list, tuple)) and isinstance(answer, (list, tuple)):
            return len(answer) == len(expected) and all(map(same, answer, expected))
        return False
    return given.shape == wanted.shape and bool(
        np.allclose(given, wanted, rtol=_TOLERANCE, atol=1e-9, equal_nan=True)
    )
