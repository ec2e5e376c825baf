"""Notebooks 06, 07 and 08 on the embedded leather: their numbers against a second path."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.stats
from PIL import Image

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
L, U = 1e-5, 1e-4


@pytest.fixture(scope="module")
def second(second_path):
    return second_path("synthetic/leather")


def test_06_pimo_curves(run_notebook, second):
    names = "table curves by_hand mean_by_area mean_aupimo shared_fpr recall middle threshold thresholds fprs"
    values = run_notebook("06", variables=names.split(), max_gb=3)
    expected = second.scores()
    np.testing.assert_allclose(values["table"]["aupimo"], expected, atol=1e-6)
    assert values["mean_aupimo"] == pytest.approx(np.nanmean(expected), abs=1e-6)

    by_hand = {name: np.abs(np.array(column) - expected) for name, column in values["by_hand"].items()}
    gaps = [np.nanmax(by_hand[f"mean at {number} levels"]) for number in (3, 10, 30, 100, 300)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.005
    assert values["mean_by_area"] == pytest.approx(np.nanmean(expected), abs=0.001)

    curves = values["curves"]
    for k in range(0, len(curves["thresholds"]), 20):
        assert curves["shared_fpr"][k] == pytest.approx(second.fpr(curves["thresholds"][k]), abs=1e-12)
        for i in np.flatnonzero(second.anomalous)[::30]:
            assert curves["per_image_tprs"][i][k] == pytest.approx(
                second.recall(i, curves["thresholds"][k]), abs=1e-12
            )
    assert values["shared_fpr"] == pytest.approx(second.fpr(values["threshold"]), abs=1e-12)
    assert values["recall"] == pytest.approx(second.recall(values["middle"], values["threshold"]), abs=1e-12)
    assert values["thresholds"] == [second.threshold(fpr) for fpr in values["fprs"]]


def test_07_fpr_bounds(run_notebook, second):
    names = "no_skill sizes per_image without_worst scores agreement draws counts simulated_mean"
    values = run_notebook("07", variables=names.split(), max_gb=3)
    integral, _ = scipy.integrate.quad(lambda log_fpr: np.exp(log_fpr), np.log(L), np.log(U))
    assert values["no_skill"] == pytest.approx(integral / np.log(U / L), rel=1e-9)
    assert values["sizes"]["pixels per image"] == pytest.approx([655.36, 65.536, 6.5536, 0.65536])
    assert np.pi / 4 * np.square(values["sizes"]["as one disc: diameter in pixels"]) == pytest.approx(
        values["sizes"]["pixels per image"]
    )

    per_image = pd.DataFrame(values["per_image"]).set_index("image_path")
    for name, fpr in (("1.000%", 1e-2), ("0.010%", U), ("0.001%", L)):
        threshold = second.threshold(fpr)
        for path, rate in per_image[name].items():
            assert rate == (second.maps[second.paths.index(path)] >= threshold).mean()
        assert per_image[name].mean() == pytest.approx(second.fpr(threshold), abs=1e-12)
        assert per_image[name].mean() == pytest.approx(fpr, rel=0.05)

    worst = second.paths.index(per_image["0.010%"].idxmax())
    others = [i for i in np.flatnonzero(~second.anomalous) if i != worst]
    expected = np.nanmean(second.scores(normal=np.sort(second.maps[others].ravel())))
    assert values["without_worst"] == pytest.approx(expected, abs=1e-6)

    scores = {
        f"{lower:.0e} to {upper:.0e}": second.scores(lower, upper)[second.anomalous]
        for lower, upper in ((1e-6, 1e-5), (1e-5, 1e-4), (1e-4, 1e-3), (1e-3, 1e-2))
    }
    assert list(values["scores"]) == list(scores)
    for i, (name, expected) in enumerate(scores.items()):
        np.testing.assert_allclose(values["scores"][name], expected, atol=1e-6)
        pair = expected.round(3), scores["1e-05 to 1e-04"].round(3)
        tau, rho = scipy.stats.kendalltau(*pair), scipy.stats.spearmanr(*pair)
        assert values["agreement"]["Kendall's τ with the standard"][i] == pytest.approx(tau.statistic, abs=1e-6)
        assert values["agreement"]["Spearman's ρ with the standard"][i] == pytest.approx(rho.statistic, abs=1e-6)

    assert values["counts"] == [2, 4, 8, 16, 32]
    assert values["draws"]["mean AUPIMO"][-1] == pytest.approx(np.nanmean(second.scores()), abs=1e-6)
    pixel_noise, blobs = values["simulated_mean"][:4], values["simulated_mean"][4:]
    assert pixel_noise == pytest.approx([values["no_skill"]] * 4, rel=0.2)
    assert blobs == pytest.approx([values["no_skill"]] * 4, rel=0.9)


def test_08_representative_images(run_notebook, second):
    names = "representatives by_defect table counts thresholds saved"
    values = run_notebook("08", variables=names.split(), max_gb=3)
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
