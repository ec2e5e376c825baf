"""Notebook 04, one score per image: the table that is kept, and the images that are picked from it."""

import numpy as np
import pytest
from notebook_runs import EMBEDDED, assert_exercises, run, verdicts

from aupimo_helpers.scores import load_scores

pytestmark = pytest.mark.notebook
NUMBERS = ("04.1", "04.2", "04.3", "04.4")
SAVED = "str(scores_path.resolve())"
VARIABLES = ("table", SAVED, "chosen", "ranked", "left_out", "int(near.sum())", verdicts(*NUMBERS))


@pytest.fixture(scope="module", params=EMBEDDED)
def dataset(request):
    return request.param


@pytest.fixture(scope="module")
def values(dataset):
    return run("04", {"DATASET": dataset}, VARIABLES, max_gb=4)


def test_scores_every_image(values, second_path, dataset):
    second = second_path(dataset)
    table = values["table"]
    assert table["image_path"] == second.paths
    np.testing.assert_allclose(table["aupimo"], second.scores(), atol=1e-9)
    assert table["mask_area"] == second.masks.sum(axis=(1, 2)).tolist()
    saved = load_scores(values[SAVED])
    np.testing.assert_allclose(saved["aupimo"], second.scores(), atol=1e-9)
    assert saved["image_path"].tolist() == second.paths


def test_picks_the_extremes_and_ranks_ties_by_recall(values, second_path, dataset):
    second = second_path(dataset)
    scores = second.scores()
    best, middle, worst = values["chosen"]["aupimo"]
    assert best == pytest.approx(np.nanmax(scores), abs=1e-6)
    assert worst == pytest.approx(np.nanmin(scores), abs=1e-6)
    from_median = abs(scores - np.nanmedian(scores))  # of an even number of images, none has the median itself
    assert abs(middle - np.nanmedian(scores)) == pytest.approx(np.nanmin(from_median), abs=1e-6)
    threshold = second.threshold(1e-2)
    row_of = {path: i for i, path in enumerate(second.paths)}
    recalls = [second.recall(row_of[path], threshold) for path in values["ranked"]["image_path"]]
    np.testing.assert_allclose(values["ranked"]["recall_lax"], recalls, atol=1e-9)
    order = list(zip(values["ranked"]["aupimo"], values["ranked"]["recall_lax"], strict=True))
    assert order == sorted(order)


def test_exercises(values):
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_what_the_text_says_of_the_leather(values, second_path, dataset):
    if dataset != "synthetic/leather":
        pytest.skip("the text speaks of the leather")
    second = second_path()
    scores = second.scores()[second.anomalous]
    assert ((scores == 0).sum(), (scores >= 1 - 1e-12).sum()) == (7, 26)
    assert np.mean(scores) == pytest.approx(0.743, abs=5e-4)
    means = {kind: np.mean(second.scores()[second.defects == kind]) for kind in {*second.defects} - {"good"}}
    assert (min(means, key=means.get), max(means, key=means.get)) == ("color", "cut")
    assert [means["color"], means["cut"]] == pytest.approx([0.63, 0.82], abs=5e-3)
    assert np.quantile(scores, [0.25, 0.75]) == pytest.approx([0.59, 1], abs=5e-3)
    assert (abs(scores - scores.mean()) <= 0.1).sum() == values["int(near.sum())"] == 10
    assert values["chosen"]["image_path"][2] == "synthetic/leather/test/poke/016.png"
    assert values["chosen"]["recall_lax"][2] == 0
    assert values["chosen"]["aupimo"][1] == pytest.approx(0.97, abs=5e-3)
    assert np.ptp(values["left_out"], axis=0).max() < 0.01 + 5e-3


def test_scores_of_own_pictures(own):
    own.assert_scores(own.run("04", ("table",))["table"])
