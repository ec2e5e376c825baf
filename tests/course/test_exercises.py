"""Exercises: the reader's answer against the folded solution."""

import nbformat
import numpy as np
import pytest
import torch

from aupimo_helpers.course import exercises
from aupimo_helpers.course.exercises import check, same, solutions, verdict
from aupimo_helpers.errors import AupimoError, MissingError

CODE = (
    'answer = sum(values) / len(values)\nmistakes = [(sum(values), "That is the sum: divide it.")]\nprint("noise")\n'
)


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source) for source in sources])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (2, "Exercise 05.1: right."),
        (2.0001, "Exercise 05.1: right."),
        (np.float32(2), "Exercise 05.1: right."),
        (torch.tensor(2.0), "Exercise 05.1: right."),
        (6, "Exercise 05.1: not yet. That is the sum: divide it."),
        (2.1, "Exercise 05.1: not yet. Try again, or unfold the solution below."),
        (200, "Exercise 05.1: not yet. The digits are right: is it a share of 1, or a percentage?"),
        (np.float64(0.02), "Exercise 05.1: not yet. The digits are right: is it a share of 1, or a percentage?"),
        (True, "Exercise 05.1: not yet. Try again, or unfold the solution below."),
        ("two", "Exercise 05.1: not yet. Try again, or unfold the solution below."),
        ([2, 2], "Exercise 05.1: not yet. Try again, or unfold the solution below."),
    ],
)
def test_answers(answer, expected, capsys):
    names = {"values": [1, 2, 3]}
    assert verdict(CODE, names, answer, "05.1") == expected
    assert names == {"values": [1, 2, 3]}, "the reader's names stay as they are"
    assert capsys.readouterr().out == ""


def test_the_solution_is_computed_on_the_readers_data():
    assert verdict(CODE, {"values": [10, 20]}, 15, "05.1").endswith("right.")


def test_where_a_mistake_leads_to_the_right_answer_it_is_named():
    said = verdict(CODE, {"values": [0, 0]}, 0, "05.1")
    assert said == (
        "Exercise 05.1: right. On these images a common mistake gives the same answer; its hint is: That is the sum: "
        "divide it."
    )


def test_a_solution_that_cannot_be_run_says_what_to_do():
    with pytest.raises(AupimoError, match=r"05\.1 cannot be run here \(NameError: .*values.*\): run all cells above"):
        verdict(CODE, {}, 2, "05.1")


def test_the_placeholder_is_the_readers_turn(capsys):
    check("05.2", ...)
    assert "Your turn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [
        ("B", "b", True),
        (" b ", "b", True),
        ("a", "b", False),
        ({"cut", "poke"}, {"poke", "cut"}, True),
        (["cut", "poke"], {"poke", "cut"}, True),
        (["cut", "poke"], ["poke", "cut"], False),
        ([True, False], [True, False], True),
        ([np.nan, 1.0], [np.nan, 1.0], True),
        (None, 1.0, False),
        (True, True, True),
        (0.0, 1e-12, True),
    ],
)
def test_same(answer, expected, equal):
    assert same(answer, expected) is equal


def test_solutions_are_found_by_number():
    text = "<details><summary>Solution</summary>\n\nWords.\n\n```python\nanswer = {}\n```\n\n</details>"
    found = solutions(
        notebook(
            "### Exercise 05.1 · One\n\nHow many?", text.format(1), "### Exercise 05.2 · Two\n\n" + text.format(2)
        )
    )
    assert found == {"05.1": "answer = 1\n", "05.2": "answer = 2\n"}


def test_an_exercise_that_is_not_there(monkeypatch):
    monkeypatch.setattr(exercises, "read", lambda _: notebook("### Exercise 05.1 · One"))
    with pytest.raises(MissingError, match=r"no exercise 05\.1 with a solution"):
        check("05.1", 1)
