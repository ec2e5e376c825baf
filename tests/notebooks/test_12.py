"""Notebook 12: the toy, the 15 lines, the package and anomalib agree with a second path and with one another."""

import importlib.util
import json
from fractions import Fraction
from math import log
from pathlib import Path

import numpy as np
import pytest
from notebook_runs import assert_exercises, run, verdicts

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results.json"
NUMBERS = ("12.1", "12.2", "12.3", "12.4")
NAMES = [
    "short",
    "scores",
    "agreement",
    "deciding",
    "at_bounds",
    "safe",
    "of_image",
    "toy_score",
    "of_grids",
    "history",
    "budget",
    "floor",
    "int((grid >= deciding[-1]).sum())",
    "predictions.image_paths[steepest]",
    "[recall[first - 1], recall[-1]]",
    "first",
]


@pytest.fixture(scope="module")
def leather():
    return run("12", variables=(*NAMES, verdicts(*NUMBERS)), max_gb=4)


@pytest.mark.notebook
def test_agrees(leather, second_path):
    second = second_path()
    expected = second.scores()
    np.testing.assert_allclose(leather["scores"], expected, atol=1e-9)
    np.testing.assert_allclose(leather["short"], expected, atol=1e-9)
    assert len(leather["deciding"]) == np.ceil(1e-4 * second.normal.size)
    assert leather["at_bounds"] == [second.threshold(1e-4), second.threshold(1e-5)]
    normal = second.maps[~second.anomalous]
    assert leather["of_image"] == (normal >= second.threshold(1e-4)).sum(axis=(1, 2)).tolist()


@pytest.mark.notebook
def test_grids_come_closer_and_stay_off(leather):
    errors = leather["agreement"]["largest error of a score"]
    assert 0 < errors[-1] < 5e-4
    assert errors[0] > 10 * errors[-1], "the coarsest grid must be off, or the comparison compares nothing"


@pytest.mark.notebook
def test_the_toy(leather):
    # By hand, with fractions: found from the first threshold below a pixel on; the widths are those of the figure.
    lower, upper = Fraction(15, 100), Fraction(6, 10)
    area = 0.0
    for pixel in (9.5, 8.7, 7.2, 3.5):
        above = sum(score > pixel for score in range(1, 11))
        area += log(upper / min(upper, max(lower, Fraction(above, 10)))) / 4
    assert leather["toy_score"] == pytest.approx(area / log(upper / lower), abs=1e-12)
    errors = [abs(score - leather["toy_score"]) for score in leather["of_grids"].values()]
    assert errors[0] > errors[2] > 1e-4


@pytest.mark.notebook
def test_the_floor_drops_nothing_that_decides(leather, second_path):
    assert leather["safe"]
    sizes = [size for size, _ in leather["history"]]
    assert max(sizes) <= leather["budget"]
    assert leather["floor"] < leather["at_bounds"][0]
    assert sum(second_path().normal >= leather["floor"]) >= leather["budget"] / 2


@pytest.mark.notebook
def test_what_the_text_says_of_the_leather(leather):
    of_image = np.array(leather["of_image"])
    assert (len(leather["deciding"]), of_image.max(), (of_image == 0).sum()) == (210, 120, 29)
    assert leather["predictions.image_paths[steepest]"].endswith("glue/009.png")
    assert leather["[recall[first - 1], recall[-1]]"] == pytest.approx([0.50, 0.70], abs=5e-3)
    assert leather["first"] == 20
    errors = dict(
        zip(*(leather["agreement"][name] for name in ("thresholds", "largest error of a score")), strict=True)
    )
    assert [errors[100], errors[1_000]] == pytest.approx([0.07, 0.004], rel=0.1)
    assert max(errors[10_000], errors[100_000], errors[300_000]) < 1e-4


@pytest.mark.notebook
def test_exercises(leather):
    assert_exercises(leather[verdicts(*NUMBERS)], *NUMBERS)


@pytest.mark.notebook
def test_own_pictures(own):
    values = own.run("12", ("agreement", "safe", "scores", verdicts(*NUMBERS)))
    np.testing.assert_allclose(values["scores"], own.scores, atol=1e-6)
    assert values["safe"]
    assert values["agreement"]["largest error of a score"][-1] < 0.05
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_the_readme_shows_the_committed_benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", RESULTS.with_name("benchmark_aupimo.py"))
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    readme = (RESULTS.parents[2] / "README.md").read_text(encoding="utf-8")
    assert benchmark.markdown(json.loads(RESULTS.read_text())["sizes"]) in readme
