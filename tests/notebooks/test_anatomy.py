"""Every notebook is built the same way, was executed in order, and shows no noise. Reads files only."""

import ast
import json
import re
from pathlib import Path

import pytest

from aupimo_helpers.course.notebook import heading, read
from aupimo_helpers.course.refresh import problems

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KNOWN = {path.name for path in NOTEBOOKS}
COURSE = [
    "00_quick_start",
    "01_data_setup",
    "02_padim_training",
    "03_average_aupimo",
    "04_per_image_aupimo",
    "05_statistics_and_plots",
    "06_pimo_curves",
    "07_fpr_bounds",
    "08_representative_images",
    "09_comparing_models",
    "10_published_benchmark",
    "11_your_own_data",
    "12_exact_and_fast",
    "13_operating_threshold",
    "14_when_metrics_disagree",
]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def cells(path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.fixture
def code(cells) -> list[dict]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_course_is_complete():
    assert [path.stem for path in NOTEBOOKS] == COURSE


def test_title_cell(path, cells):
    text = source(cells[0])
    assert heading(read(path), path.name).number == path.stem[:2]
    assert "By the end you can" in text
    assert len(re.findall(r"^- ", text, re.MULTILINE)) == 3, "three bullets say what the reader can do by the end"
    assert "**Prerequisites:**" in text
    assert re.search(r"\*\*Measured:\*\* \d+ s and [\d.]+ GB", text), "time and memory have not been measured"
    index = COURSE.index(path.stem)
    if index:
        assert re.search(rf"\*\*Previous:\*\* \[.+?\]\({COURSE[index - 1]}\.ipynb\)", text)
    if index + 1 < len(COURSE):
        assert re.search(rf"\*\*Next:\*\* \[.+?\]\({COURSE[index + 1]}\.ipynb\)", text)


def test_parameters_are_commented_literals(code):
    tagged = [i for i, cell in enumerate(code) if "parameters" in tags(cell)]
    assert tagged == [1], "the second code cell, after the imports, holds the parameters"
    text = source(code[1])
    lines = text.splitlines()
    for node in ast.parse(text).body:
        assert isinstance(node, ast.Assign)
        assert [t.id.isupper() for t in node.targets] == [True]
        ast.literal_eval(node.value)
        before = lines[node.lineno - 2] if node.lineno > 1 else ""
        assert "#" in lines[node.end_lineno - 1] or before.startswith("#"), f"no comment at {lines[node.lineno - 1]}"


def test_sections(cells):
    headings = [
        line
        for cell in cells
        if cell["cell_type"] == "markdown"
        for line in source(cell).splitlines()
        if re.match(r"#{1,3} ", line)
    ]
    sections = [line for line in headings if line.startswith("## ")]
    assert sections[-2:] == ["## Recap", "## References"]
    assert len(sections) >= 4, "at least two sections of content"


def test_exercises_have_a_cell_to_answer_in_and_one_folded_solution(path, cells):
    text = "\n\n".join(
        source(cell) if cell["cell_type"] == "markdown" else f"(code)\n{source(cell)}" for cell in cells
    )
    _, *parts = re.split(r"^### Exercise (\S+)", text, flags=re.MULTILINE)
    numbers = parts[::2]
    assert numbers == [f"{path.stem[:2]}.{k}" for k in range(1, len(numbers) + 1)]
    assert len(numbers) >= 2
    for number, body in zip(numbers, parts[1::2], strict=True):
        assert re.match(r" · \S", body), f"the heading of {number} has a title"
        answer, solution = body.find("answer = ...  # your turn"), body.find("<summary>Solution</summary>")
        assert 0 <= answer < body.find(f'check("{number}", answer)') < solution, number
        assert body.count("<summary>Solution</summary>") == 1


def test_recap_answers_each_objective(cells):
    (recap,) = [source(cell) for cell in cells if source(cell).startswith("## Recap")]
    assert len(re.findall(r"^- ", recap.split("## References")[0], re.MULTILINE)) == 3


def test_small_cells(cells, code):
    assert len(cells) <= 40
    for cell in code[1:]:
        lines = [line for line in source(cell).splitlines() if line.strip()]
        assert len(lines) <= 15, f"{len(lines)} lines:\n{source(cell)}"


def test_last_cell_prints_the_versions(cells):
    assert source(cells[-1]).strip().endswith("print_versions()")
    assert "anomalib" in json.dumps(cells[-1]["outputs"])


def test_executed_in_order_and_fit_to_be_published(path, code):
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert list(problems(read(path))) == []


def test_figures_are_at_most_100_dpi(code):
    import base64
    import io

    from PIL import Image

    for cell in code:
        for output in cell["outputs"]:
            png = output.get("data", {}).get("image/png")
            if png:
                size = Image.open(io.BytesIO(base64.b64decode(png))).size
                assert max(size) <= 1600, f"{size} is more than 16 inches at 100 dpi"


def test_every_link_between_notebooks_leads_somewhere(path, cells):
    text = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#\s]+\.ipynb)", text):
        assert target in KNOWN, f"{path.name} links to {target}"
    for target in re.findall(r"(?:\]\(|src=\")(\.\./[^)\"#\s]+)", text):
        assert (path.parent / target).exists(), f"{path.name} refers to {target}"


def test_no_two_notebooks_define_the_same_function():
    defined: dict[str, str] = {}
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] != "code":
                continue
            for node in ast.parse(source(cell)).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    assert defined.setdefault(node.name, path.name) == path.name, f"{node.name} is defined twice"


def test_kernel_metadata(path):
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert "jupytext" not in metadata
    assert "widgets" not in metadata
