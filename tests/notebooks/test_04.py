"""Notebook 04, one score per image: the table that is kept, and the images that are picked from it."""

import numpy as np
import pytest
from notebook_runs import EMBEDDED, run

from aupimo_helpers.scores import load_scores

pytestmark = pytest.mark.notebook
SAVED = "str(scores_path.resolve())"
PICKED = "picked['aupimo'].tolist()"


@pytest.fixture(scope="module", params=EMBEDDED)
def dataset(request):
    return request.param


@pytest.fixture(scope="module")
def values(dataset):
    return run("04", {"DATASET": dataset}, ("table", SAVED, "float(difference)", PICKED, "len(few)"))


def test_scores_every_image(values, second_path, dataset):
    second = second_path(dataset)
    table = values["table"]
    assert table["image_path"] == second.paths
    np.testing.assert_allclose(table["aupimo"], second.scores(), atol=1e-9)
    assert table["mask_area"] == second.masks.sum(axis=(1, 2)).tolist()
    saved = load_scores(values[SAVED])
    np.testing.assert_allclose(saved["aupimo"], second.scores(), atol=1e-9)
    assert saved["image_path"].tolist() == second.paths


def test_agrees_with_anomalib_and_picks_the_extremes(values, second_path, dataset):
    scores = second_path(dataset).scores()
    assert values["len(few)"] >= 5
    assert values["float(difference)"] < 1e-3
    best, middle, worst = values[PICKED]
    assert best == pytest.approx(np.nanmax(scores), abs=1e-6)
    assert worst == pytest.approx(np.nanmin(scores), abs=1e-6)
    from_median = abs(scores - np.nanmedian(scores))  # of an even number of images, none has the median itself
    assert abs(middle - np.nanmedian(scores)) == pytest.approx(np.nanmin(from_median), abs=1e-6)


def test_scores_of_own_pictures(own):
    own.assert_scores(own.run("04", ("table",))["table"])
