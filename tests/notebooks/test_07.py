"""Notebook 07, the FPR bounds: what they mean, and how the scores depend on them."""

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.stats
from notebook_runs import run

pytestmark = pytest.mark.notebook
L, U = 1e-5, 1e-4


def test_bounds_thresholds_and_how_scores_depend_on_them(second_path):
    names = "no_skill sizes per_image without_worst scores agreement draws counts simulated_mean"
    values = run("07", variables=names.split(), max_gb=3)
    second = second_path()
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


def test_own_pictures(own):
    assert own.run("07", ("no_skill",)) == {"no_skill": pytest.approx((U - L) / np.log(U / L), rel=1e-9)}
