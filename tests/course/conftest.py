import nbformat
import pytest

FIRST = """# 01 · A toy

**Does it run?**

**Measured:** not yet measured

**Next:** [02 · Another](02_other.ipynb), and [a figure](../figures/a.svg)"""


def _write(path, *cells, first=FIRST, parameters="SEED = 1  # a seed\nBOUNDS = (1, 2)  # a pair"):
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
def write():
    """Write a notebook of a first cell, a parameters cell, and cells; text that begins with # is Markdown."""
    return _write


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "notebooks"
