"""Notebook 03, average AUPIMO: three metrics of the same maps, and the curves whose areas they are."""

import re

import numpy as np
import pytest
import scipy.stats
from notebook_runs import NOTEBOOKS, OwnData, assert_exercises, run, verdicts

from aupimo_helpers.course.notebook import read

pytestmark = pytest.mark.notebook
NUMBERS = ("03.1", "03.2", "03.3", "03.4")
AVERAGES = ("average", "averages", "float(pixel_auroc)", "float(pixel_aupro)", "num_normal", verdicts(*NUMBERS))
DETAILS = ("at_bounds", "marked", "table", "left_out", "len(regions)", "len(rows)", "(recalls < 0.5).sum()", "paths")


@pytest.fixture(scope="module")
def leather():
    return run("03", {}, (*AVERAGES, *DETAILS), max_gb=4)


@pytest.fixture(scope="module")
def brick():
    """With other bounds than the notebook's own."""
    return run("03", {"DATASET": "photos/brick", "FPR_BOUNDS": [1e-4, 1e-3]}, AVERAGES)


def pixel_auroc(maps, masks):
    """The chance that a defect pixel outscores another one, ties counted half."""
    labels = masks.ravel()
    ranks = scipy.stats.rankdata(maps.ravel())
    positive = int(labels.sum())
    return (ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (labels.size - positive))


def pixel_aupro(maps, masks):
    """As anomalib has it."""
    import torch
    from anomalib.metrics.aupro import _AUPRO

    metric = _AUPRO()
    metric.update(torch.from_numpy(maps), torch.from_numpy(masks))
    return float(metric.compute())


@pytest.mark.parametrize(
    ("name", "dataset", "bounds"),
    [("leather", "synthetic/leather", (1e-5, 1e-4)), ("brick", "photos/brick", (1e-4, 1e-3))],
)
def test_averages_and_exercises(request, second_path, name, dataset, bounds):
    values = request.getfixturevalue(name)
    second = second_path(dataset)
    assert values["average"] == pytest.approx(np.nanmean(second.scores(*bounds)), abs=1e-6)
    of_anomalib, exact = values["averages"]
    assert of_anomalib != exact
    assert of_anomalib == pytest.approx(exact, abs=5e-3)  # its grid, on few normal images
    assert values["float(pixel_auroc)"] == pytest.approx(pixel_auroc(second.maps, second.masks), abs=1e-3)
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_aupro_is_that_of_anomalib(leather, second_path):
    second = second_path()
    assert leather["float(pixel_aupro)"] == pytest.approx(pixel_aupro(second.maps, second.masks), abs=1e-3)


def test_averages_of_own_pictures(own):
    values = own.run("03", ("average", "averages", "len(rows)"))
    assert values["average"] == pytest.approx(own.mean, abs=1e-6)
    assert values["len(rows)"] == own.normal + own.anomalous, "so few images are measured all"
    # anomalib's grid of thresholds: few normal pixels make its error larger than on the course's data.
    assert values["averages"] == pytest.approx([own.mean, own.mean], abs=0.02)


def test_what_the_normal_images_do(leather, second_path):
    second = second_path()
    normal = second.maps[~second.anomalous]
    threshold = second.threshold(1e-4)
    assert leather["marked"] == (normal >= threshold).sum(axis=(1, 2)).tolist()
    for end, bound in zip(leather["at_bounds"], (1e-5, 1e-4), strict=True):
        assert end == pytest.approx((second.maps[~second.masks] >= second.threshold(bound)).mean())
    for k in (0, len(normal) - 1):
        without = np.sort(np.delete(normal, k, axis=0).ravel())
        assert leather["left_out"][k] == pytest.approx(np.nanmean(second.scores(normal=without)), abs=1e-6)
    for level, recall in zip(leather["table"]["shared FPR"], leather["table"]["mean recall"], strict=True):
        threshold = second.threshold(level)
        expected = np.mean([second.recall(i, threshold) for i in np.flatnonzero(second.anomalous)])
        assert recall == pytest.approx(expected, abs=1e-9)


def test_what_the_text_says_of_the_leather(leather, second_path):
    marked, left_out = np.array(leather["marked"]), np.array(leather["left_out"])
    assert (marked.sum(), marked.max(), (marked == 0).sum(), len(marked)) == (210, 120, 29, 32)
    assert leather["float(pixel_auroc)"] == pytest.approx(0.981, abs=5e-4)
    assert leather["float(pixel_aupro)"] == pytest.approx(0.937, abs=5e-4)
    assert np.ptp(leather["at_bounds"]) == pytest.approx(0.0014, abs=5e-5)
    assert np.ptp(leather["at_bounds"]) / 0.3 == pytest.approx(0.0048, abs=5e-5)
    assert leather["average"] == pytest.approx(0.743, abs=5e-4)
    assert (leather["len(rows)"], leather["num_normal"]) == (39, 16)
    assert leather["averages"] == pytest.approx([0.812, 0.807], abs=5e-4)
    recall = dict(zip(leather["table"]["shared FPR"], leather["table"]["mean recall"], strict=True))
    assert [recall[0.1], recall[1e-4]] == pytest.approx([0.96, 0.76], abs=5e-3)
    assert leather["(recalls < 0.5).sum()"] == 19
    normal = [
        path for path, anomalous in zip(leather["paths"], second_path().anomalous, strict=True) if not anomalous
    ]
    assert normal[left_out.argmax()].endswith("good/016.png")
    assert np.sort(left_out)[-2:] == pytest.approx([0.750, 0.754], abs=5e-4)
    assert abs(np.sort(left_out)[:-2] - leather["average"]).max() < 0.001


def test_any_other_model_goes_in_as_the_text_shows(tmp_path_factory):
    text = "\n".join(cell.source for cell in read(next(NOTEBOOKS.glob("03_*"))).cells if cell.cell_type == "markdown")
    (code,) = re.findall(r"^```python\n(from anomalib.*?)^```", text, re.DOTALL | re.MULTILINE)
    base = tmp_path_factory.mktemp("other")
    few = OwnData(base / "own", train=3, normal=3, per_defect=3)
    # Without a network there are no weights to download; and in place of the leather's 322 images, 12.
    for old, new in (
        ("pre_trained=True", "pre_trained=False"),
        ("synthetic/leather", few.dataset),
        ("../datasets", str(few.root)),
        ("../results/anomalib", str(base)),
    ):
        assert old in code
        code = code.replace(old, new)
    *before, last = code.strip().splitlines()
    space = {}
    exec("\n".join([*before, f"result = {last}"]), space)
    assert 0 <= space["result"][0]["AUPIMO"] <= 1
