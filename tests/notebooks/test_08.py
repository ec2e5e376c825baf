"""Notebook 08, representative images: which are picked, what is found in them, and the normal images behind it."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from notebook_runs import EMBEDDED, NOTEBOOKS, assert_exercises, run, verdicts
from PIL import Image

pytestmark = pytest.mark.notebook
L, U = 1e-5, 1e-4
NUMBERS = ("08.1", "08.2", "08.3", "08.4")
VARIABLES = ("representatives", "by_defect", "table", "counts", "thresholds", "saved", "lax", "marked", "without")
LAST = ("of_score", "(hottest > typical).sum()", "worst", verdicts(*NUMBERS))


@pytest.fixture(scope="module", params=EMBEDDED)
def dataset(request):
    return request.param


@pytest.fixture(scope="module")
def values(dataset):
    return run("08", {"DATASET": dataset}, (*VARIABLES, *LAST), max_gb=4)


def test_which_images_are_picked(values, second_path, dataset):
    second = second_path(dataset)
    scores = pd.Series(second.scores(), index=second.paths).dropna()
    picked = pd.DataFrame(values["representatives"]).set_index("statistic")
    for name, share in zip(picked.index, (0, 0.25, 0.5, 0.75, 1), strict=True):
        value = scores.quantile(share)
        assert picked.loc[name, "value"] == pytest.approx(value, abs=1e-6)
        assert abs(picked.loc[name, "aupimo"] - value) == pytest.approx((scores - value).abs().min(), abs=1e-6)
    np.testing.assert_allclose(picked["aupimo"], scores[picked["image_path"]], atol=1e-6)
    threshold = second.threshold(values["lax"])
    recalls = {second.paths[i]: second.recall(i, threshold) for i in np.flatnonzero(second.anomalous)}
    lowest = scores.index[(scores - scores.min()).abs() < 1e-9]
    assert picked.loc["lowest", "recall_lax"] == pytest.approx(min(recalls[path] for path in lowest))
    kinds = {*second.defects[second.anomalous]}
    by_defect = pd.DataFrame(values["by_defect"])
    assert by_defect.groupby("defect").size().to_dict() == dict.fromkeys(kinds, 5)
    assert all(f"/test/{row.defect}/" in row.image_path for row in by_defect.itertuples())


def test_what_is_found_in_them(values, second_path, dataset):
    second = second_path(dataset)
    table = pd.DataFrame(values["table"])
    for i in np.flatnonzero(second.anomalous)[::15]:
        for fpr in (L, U):
            recall = second.recall(i, second.threshold(fpr))
            assert table[f"recall at {fpr:g}"][i] == pytest.approx(recall, abs=1e-12)
    between = table.dropna(subset="aupimo")
    assert (between[f"recall at {L:g}"] <= between["aupimo"] + 1e-12).all()
    assert (between["aupimo"] <= between[f"recall at {U:g}"] + 1e-12).all()
    assert list(values["thresholds"].values()) == [second.threshold(fpr) for fpr in (values["lax"], U, L)]
    scored = second.scores()[second.anomalous]
    thirds = [(scored <= 1 / 3).sum(), ((scored > 1 / 3) & (scored <= 2 / 3)).sum(), (scored > 2 / 3).sum()]
    assert [sum(values["counts"][name]) for name in ("missed", "half found", "found")] == thirds
    with Image.open(NOTEBOOKS / values["saved"]) as gallery:
        assert gallery.format == "PNG"
        assert min(gallery.size) > 500


def test_the_normal_images(values, second_path, dataset):
    second = second_path(dataset)
    normal = second.maps[~second.anomalous]
    assert values["marked"] == (normal >= second.threshold(U)).sum(axis=(1, 2)).tolist()
    for k in (0, len(normal) - 1):
        without = np.sort(np.delete(normal, k, axis=0).ravel())
        assert values["without"][k] == pytest.approx(np.nanmean(second.scores(normal=without)), abs=1e-6)


def test_exercises(values):
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_what_the_text_says_of_the_leather(values, dataset):
    if dataset != "synthetic/leather":
        pytest.skip("the text speaks of the leather")
    picked = values["representatives"]
    assert (values["lax"], values["of_score"]) == (1e-2, {"lowest": 7, "highest": 26})
    assert picked["image_path"][0].endswith("poke/016.png")
    assert (picked["alike"][0], picked["alike"][-1], picked["recall_lax"][0]) == (1, 26, 0)
    table = pd.DataFrame(values["table"]).set_index("image_path")
    assert table.loc[picked["image_path"][2], ["recall at 1e-05", "recall at 0.0001"]].tolist() == pytest.approx(
        [0.96, 0.99], abs=5e-3
    )
    assert values["(hottest > typical).sum()"] == 2
    assert [sum(values["counts"][name]) for name in ("missed", "half found", "found")] == [18, 6, 66]
    # The kinds come in alphabetical order: color, cut, fold, glue, poke.
    assert max(values["counts"]["missed"]) == values["counts"]["missed"][0] == 6
    scored = table.dropna(subset="aupimo")
    for column, correlation in (("severity", 0.84), ("mask_area", -0.22)):
        found = scipy.stats.spearmanr(scored[column], scored["aupimo"]).statistic
        assert found == pytest.approx(correlation, abs=5e-3)
    marked = np.array(values["marked"])
    assert (marked.sum(), marked.max(), np.sort(marked)[-3:].sum(), (marked == 0).sum()) == (210, 120, 210, 29)
    assert [min(values["without"]), max(values["without"])] == pytest.approx([0.743, 0.754], abs=5e-4)
    assert values["worst"]["recall_lax"][-1] == pytest.approx(0.46, abs=5e-3)


def test_scores_of_own_pictures(own):
    picked = own.run("08", ("representatives",))["representatives"]
    scores = own.score_of
    np.testing.assert_allclose(picked["aupimo"], [scores[path] for path in picked["image_path"]], atol=1e-6)
