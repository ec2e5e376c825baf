"""Notebook 07, the FPR bounds: what they mean, and how the scores depend on them."""

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.ndimage
import scipy.stats
from notebook_runs import EMBEDDED, assert_exercises, run, verdicts

pytestmark = pytest.mark.notebook
L, U = 1e-5, 1e-4
NUMBERS = ("07.1", "07.2", "07.3", "07.4")
NAMES = ("no_skill", "sizes", "per_image", "without.tolist()", "decisive", "scores", "agreement", "counts")
DRAWN = (
    "drawn",
    "means",
    "draws[0]",
    "exceeded",
    "float(np.quantile(fpr_of_others, 0.95))",
    "fpr_of_others[:5]",
    "swaps",
    "rises.sum()",
)
LUCK = ("luck", "tops", "one_in_10000", "blobs.sum()", "(blobs > 0).sum()", "marked.sum()")


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_bounds_thresholds_and_how_scores_depend_on_them(second_path, dataset):
    values = run("07", {"DATASET": dataset}, (*NAMES, *DRAWN, *LUCK, verdicts(*NUMBERS)), max_gb=3)
    second = second_path(dataset)
    integral, _ = scipy.integrate.quad(lambda log_fpr: np.exp(log_fpr), np.log(L), np.log(U))
    assert values["no_skill"] == pytest.approx(integral / np.log(U / L), rel=1e-9)
    pixels = values["sizes"]["pixels per image, on average"]
    assert pixels == pytest.approx([655.36, 65.536, 6.5536, 0.65536])
    assert np.pi / 4 * np.square(values["sizes"]["as one disc: diameter in pixels"]) == pytest.approx(pixels)

    per_image = pd.DataFrame(values["per_image"]).set_index("image_path")
    for name, fpr in (("1 %", 1e-2), ("0.01 %", U), ("0.001 %", L)):
        threshold = second.threshold(fpr)
        for path, rate in per_image[name].items():
            assert rate == (second.maps[second.paths.index(path)] >= threshold).mean()
        assert per_image[name].mean() == pytest.approx(second.fpr(threshold), abs=1e-12)
        assert per_image[name].mean() == pytest.approx(fpr, rel=0.05)
    blobs = [scipy.ndimage.label(each >= second.threshold(L))[1] for each in second.maps[~second.anomalous]]
    assert (values["blobs.sum()"], values["(blobs > 0).sum()"]) == (sum(blobs), np.count_nonzero(blobs))

    normal = np.flatnonzero(~second.anomalous)
    decisive = second.paths.index(values["decisive"])
    rest = np.sort(second.maps[normal[normal != decisive]].ravel())
    found = values["without.tolist()"][normal.tolist().index(decisive)]
    assert found == pytest.approx(np.nanmean(second.scores(normal=rest)), abs=1e-6)
    drawn = np.sort(second.maps[normal[values["draws[0]"]]].ravel())
    assert values["means"][0] == pytest.approx(np.nanmean(second.scores(normal=drawn)), abs=1e-6)
    assert values["means"][-1] == pytest.approx(np.nanmean(second.scores()), abs=1e-6)
    assert values["counts"] == [2, 4, 8, 16, 32]
    # The halves are alike, so that each is as likely to have the more false alarms.
    assert values["exceeded"] == pytest.approx(0.5, abs=0.15)
    rng, shares = np.random.default_rng(0), []
    normal = second.maps[~second.anomalous].reshape(32, -1)
    for _ in range(5):
        first = rng.permutation(32) < 16
        threshold = np.sort(normal[first], axis=None)[-int(np.ceil(U * normal[first].size))]
        shares.append((normal[~first] >= threshold).mean())
    assert values["fpr_of_others[:5]"] == pytest.approx(shares, abs=1e-12)

    scores = {
        f"{lower:.0e} to {upper:.0e}": second.scores(lower, upper)[second.anomalous]
        for lower, upper in ((1e-6, 1e-5), (1e-5, 1e-4), (1e-4, 1e-3), (1e-3, 1e-2))
    }
    assert list(values["scores"]) == list(scores)
    for i, (name, expected) in enumerate(scores.items()):
        np.testing.assert_allclose(values["scores"][name], expected, atol=1e-6)
        tau = scipy.stats.kendalltau(expected.round(3), scores["1e-05 to 1e-04"].round(3))
        assert values["agreement"]["Kendall's τ with the standard"][i] == pytest.approx(tau.statistic, abs=1e-6)

    simulated = values["luck"]["mean"]
    assert simulated[:3] == pytest.approx([values["no_skill"]] * 3, rel=0.2)
    assert simulated[3:] == pytest.approx([values["no_skill"]] * 3, rel=0.9)
    assert max(values["tops"]) < 0.001
    assert values["one_in_10000"] > 100 * max(values["tops"])
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
    if dataset == "synthetic/leather":
        assert_as_the_text_says(values, per_image)


def assert_as_the_text_says(values, per_image):
    """What stands folded in the notebook."""
    assert (values["blobs.sum()"], values["(blobs > 0).sum()"]) == (1, 1)
    assert (per_image["0.01 %"] == 0).sum() == pytest.approx(29, abs=1)
    assert per_image["0.01 %"].max() / per_image["0.01 %"].sum() == pytest.approx(0.57, abs=0.03)
    assert per_image["0.001 %"].max() == pytest.approx(per_image["0.001 %"].sum())
    assert values["decisive"] == "synthetic/leather/test/good/016.png"
    assert max(values["without.tolist()"]) == pytest.approx(0.754, abs=0.003)
    assert values["float(np.quantile(fpr_of_others, 0.95))"] == pytest.approx(6 * U, rel=0.1)
    means = values["agreement"]["mean score"]
    assert means == pytest.approx([0.707, 0.743, 0.786, 0.846], abs=0.005)
    assert values["agreement"]["images above 99.9 %"][-1] == pytest.approx(0.49, abs=0.03)
    assert values["agreement"]["Kendall's τ with the standard"][-1] == pytest.approx(0.86, abs=0.02)
    drawn, means = np.array(values["drawn"]), np.array(values["means"])
    two, sixteen = ([each.min(), np.median(each), each.max()] for each in (means[drawn == 2], means[drawn == 16]))
    assert two == pytest.approx([0.70, 0.79, 0.83], abs=0.02)
    assert sixteen == pytest.approx([0.73, 0.74, 0.79], abs=0.01)
    assert max(values["tops"]) == pytest.approx(0.0009, abs=5e-5)
    assert values["one_in_10000"] == pytest.approx(0.16, abs=0.03)
    assert values["luck"]["highest"][3] > 0.5


def test_own_pictures(own):
    assert own.run("07", ("no_skill",)) == {"no_skill": pytest.approx((U - L) / np.log(U / L), rel=1e-9)}
