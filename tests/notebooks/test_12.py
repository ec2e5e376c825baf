"""Notebook 12: the 15 lines, the package and anomalib agree with a second path and with one another."""

import json
from pathlib import Path

import numpy as np
import pytest
from notebook_runs import run

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results.json"


@pytest.mark.notebook
def test_agrees(second_path):
    names = "short scores max_difference agreement deciding at_bounds kept seen"
    values = run("12", variables=names.split(), max_gb=3)
    second = second_path()
    expected = second.scores()
    np.testing.assert_allclose(values["scores"], expected, atol=1e-9)
    np.testing.assert_allclose(values["short"], expected, atol=1e-9)
    assert len(values["deciding"]) == np.ceil(1e-4 * second.normal.size)
    assert values["at_bounds"] == [second.threshold(1e-4), second.threshold(1e-5)]
    # anomalib's grid error; the coarsest grid must show one, or the comparison compares nothing
    assert 0 < values["max_difference"] < 5e-4
    assert values["agreement"]["largest difference"][0] > 10 * values["max_difference"]
    # half a million normal scores, the scores inside the masks, and a few numbers per image
    most = 4 * (2**19 + second.masks.sum()) + 1000 * len(second.maps)
    assert max(values["kept"]) * 2**20 < most < 0.1 * values["seen"][-1] * 2**20


@pytest.mark.notebook
def test_own_pictures(own):
    assert own.run("12", ("max_difference",))["max_difference"] < 0.05


@pytest.mark.parametrize("size", ["256", "1024"])
def test_the_committed_benchmark_holds_what_the_readme_says(size):
    figures = json.loads(RESULTS.read_text())["sizes"][size]
    (row,) = [
        line
        for line in (RESULTS.parents[2] / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {size} x {size} |")
    ]
    anomalib, ours, one_pass = (figures[name] for name in ("anomalib", "ours", "numpy.max"))
    assert f"{anomalib['seconds']:.1f} s, {anomalib['extra_bytes'] / 1e9:.1f} GB more" in row
    assert f"{ours['seconds'] * 1e3:.2g} ms, {ours['extra_bytes'] / 1e6:.1f} MB more" in row
    assert f"| {one_pass['seconds'] * 1e3:.{1 if one_pass['seconds'] < 0.01 else 0}f} ms |" in row
