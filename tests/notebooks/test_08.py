"""Notebook 08, representative images: which are picked, and what is found in them."""

import numpy as np
import pandas as pd
import pytest
from notebook_runs import NOTEBOOKS, run
from PIL import Image

pytestmark = pytest.mark.notebook
L, U = 1e-5, 1e-4


def test_which_images_are_picked_and_what_is_found_in_them(second_path):
    names = "representatives by_defect table counts thresholds saved"
    values = run("08", variables=names.split(), max_gb=3)
    second = second_path()
    expected = pd.Series(second.scores(), index=second.paths)
    scored = expected.dropna()

    picked = pd.DataFrame(values["representatives"]).set_index("statistic")
    for name, quantile in (("lower quartile", 0.25), ("median", 0.5), ("upper quartile", 0.75)):
        value = scored.quantile(quantile)
        assert picked.loc[name, "value"] == pytest.approx(value, abs=1e-6)
        assert abs(picked.loc[name, "aupimo"] - value) == pytest.approx((scored - value).abs().min(), abs=1e-6)
    np.testing.assert_allclose(picked["aupimo"], expected[picked["image_path"]], atol=1e-6)
    assert picked["aupimo"].is_monotonic_increasing

    by_defect = pd.DataFrame(values["by_defect"])
    assert by_defect.groupby("defect").size().to_dict() == dict.fromkeys(("color", "cut", "fold", "glue", "poke"), 5)
    assert all(f"/test/{row.defect}/" in row.image_path for row in by_defect.itertuples())

    table = pd.DataFrame(values["table"])
    for i in np.flatnonzero(second.anomalous)[::15]:
        assert table["recall, strict bound"][i] == pytest.approx(second.recall(i, second.threshold(L)), abs=1e-12)
        assert table["recall, lax bound"][i] == pytest.approx(second.recall(i, second.threshold(U)), abs=1e-12)
    between = table.dropna(subset="aupimo")
    assert (between["recall, strict bound"] <= between["aupimo"] + 1e-12).all()
    assert (between["aupimo"] <= between["recall, lax bound"] + 1e-12).all()
    assert list(values["thresholds"].values()) == [second.threshold(U), second.threshold(L)]

    verdicts = [(scored <= 1 / 3).sum(), ((scored > 1 / 3) & (scored <= 2 / 3)).sum(), (scored > 2 / 3).sum()]
    assert [sum(values["counts"][name]) for name in ("missed", "half found", "found")] == verdicts
    assert sum(verdicts) == len(scored)
    with Image.open(NOTEBOOKS / values["saved"]) as gallery:
        assert gallery.format == "PNG"
        assert min(gallery.size) > 500


def test_scores_of_own_pictures(own):
    picked = own.run("08", ("representatives",))["representatives"]
    scores = own.score_of
    np.testing.assert_allclose(picked["aupimo"], [scores[path] for path in picked["image_path"]], atol=1e-6)
