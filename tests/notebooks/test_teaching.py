"""The teacher's notes follow the notebooks: every section has its minutes, exercises and commands exist."""

import re
from pathlib import Path

import pytest

from aupimo_helpers.commands import build_parser
from aupimo_helpers.course.notebook import heading, read

FOLDER = Path(__file__).parents[2] / "notebooks"
TEXT = (FOLDER / "TEACHING.md").read_text(encoding="utf-8")
PARTS = {part[:2]: part for part in re.split(r"^### ", TEXT.split("## Graded assignment")[0], flags=re.MULTILINE)[1:]}
NOTEBOOKS = {path.name[:2]: read(path) for path in sorted(FOLDER.glob("*.ipynb"))}


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_every_section_has_its_minutes(number):
    part, notebook = PARTS[number], NOTEBOOKS[number]
    assert part.startswith(f"{number} · {heading(notebook, number).title}\n")
    minutes = re.findall(r"(.+?) (\d+)(?: · |$)", re.search(r"^\*\*Minutes:\*\* (.*)$", part, re.MULTILINE)[1])
    sections = re.findall(r"^## (.+)$", prose(notebook), re.MULTILINE)
    assert [name for name, _ in minutes] == [name for name in sections if name != "References"]
    assert 30 <= sum(int(each) for _, each in minutes) <= 150
    assert all(word in part for word in ("**Expect:**", "\n- *", "**Short of time:**"))


def test_exercises_exist():
    known = {
        each for notebook in NOTEBOOKS.values() for each in re.findall(r"### Exercise (\d\d\.\d)", prose(notebook))
    }
    texts = [TEXT, *(path.read_text(encoding="utf-8") for path in (FOLDER / "slides").glob("*.md"))]
    named = {each for text in texts for each in re.findall(r"[Ee]xercise (\d\d\.\d)", text)}
    assert named and named <= known


def test_points_are_a_hundred():
    assert sum(map(int, re.findall(r"\| (\d+) \|$", TEXT, re.MULTILINE))) == 100


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`aupimo ([a-z][^`]*[A-Za-z/.0-9])`", TEXT))))
def test_a_command_is_understood(command):
    words = command.split()
    if words not in (["threshold"], ["score"], ["data", "check"]):
        build_parser().parse_args(words)


def test_links_lead_to_files():
    for file in ("TEACHING.md", "GLOSSARY.md", "README.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", (FOLDER / file).read_text(encoding="utf-8"))
        assert links
        assert [link for link in links if not (FOLDER / link).exists()] == []
