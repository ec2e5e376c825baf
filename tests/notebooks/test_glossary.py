"""One glossary: its terms are those of the notebooks, and the notebooks use no other words for them."""

import re
from pathlib import Path

import pytest

from aupimo_helpers.course.notebook import read

FOLDER = Path(__file__).parents[2] / "notebooks"
GLOSSARY = (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^- \*\*(.+?)\*\*(.*?)\[(\d\d)\]\((\S+)\)$", GLOSSARY, re.MULTILINE | re.DOTALL)
OTHER_WORDS = (
    "heat map",
    "anomalous pixel",
    "false-positive",
    "defective image",
    "abnormal image",
    "good image",
    "score map",
)
# Abbreviations that are no terms of the metric: formats, names of things outside of the course, and units.
NO_TERMS = "AD BMVC BACKBONE BMP BY CC CPU CSV DDP GB JPEG JSON LOCO MB ML NC ONNX PNG SA SHA TIFF"


def prose(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown").split("## References")[
        0
    ]
    return " ".join(re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$|\]\([^)]*\)", " ", text, flags=re.DOTALL).split())


@pytest.fixture(scope="module")
def texts():
    return {path.name: prose(path) for path in sorted(FOLDER.glob("*.ipynb"))}


def test_entries_are_in_order_and_all_are_read():
    terms = [entry[0] for entry in ENTRIES]
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) == GLOSSARY.count("\n- ") > 30


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[0])
def test_a_term_is_used_where_the_glossary_says(texts, entry):
    term, _, number, file = entry
    assert file.startswith(number)
    assert re.search(rf"\b{re.escape(term)}", texts[file], re.IGNORECASE), f"{file} does not say {term!r}"


def test_no_other_word_for_a_term(texts):
    found = [(name, word) for name, text in texts.items() for word in OTHER_WORDS if word in text.lower()]
    assert found == []


def test_every_abbreviation_is_in_the_glossary(texts):
    used = {(word, name) for name, text in texts.items() for word in re.findall(r"\b[A-Z]{2,}\b(?![\w_])", text)}
    assert sorted(each for each in used if each[0] not in NO_TERMS.split() and each[0] not in GLOSSARY) == []
