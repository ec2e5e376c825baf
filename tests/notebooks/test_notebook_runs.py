"""What the number tests stand on: solutions are found, variables arrive whole, the own pictures are a real test."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from notebook_runs import SIZES, encode, solutions
from PIL import Image

from aupimo_helpers.data import check


def test_only_folded_python_is_a_solution():
    folded = "<details><summary>Solution</summary>\n\n```python\nanswer = 42\n```\n\n</details>"
    source = f"{folded}\n\n```python\nanswer = 0\n```"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])
    assert solutions(notebook) == ["answer = 42\n"]


def test_variables_as_json():
    values = {"x": np.array([1.0, np.nan]), "path": Path("a"), "table": pd.DataFrame({"b": [2]})}
    assert encode(values) == '{"x": [1.0, NaN], "path": "a", "table": {"b": [2]}}'
    assert np.isnan(json.loads(encode(values))["x"][1])
    with pytest.raises(TypeError, match="type object cannot be written"):
        encode({"x": object()})


@pytest.mark.notebook
def test_the_own_pictures_are_grey_of_mixed_sizes_and_in_order(own):
    images = [Image.open(path) for path in own.folder.glob("t*/*/*.png")]
    assert len(images) == 12
    assert {image.mode for image in images} == {"L"}
    assert {image.size[::-1] for image in images} == set(SIZES)
    assert check(own.folder) == []
    # Scores that are all 0 or all 1 would let a wrong number pass.
    assert np.nanmin(own.scores) < 0.2
    assert np.nanmax(own.scores) > 0.8
    assert np.nanstd(own.scores) > 0.3
