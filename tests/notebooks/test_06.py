"""Notebook 06, PIMO curves: where a score comes from."""

import numpy as np
import pytest
from notebook_runs import EMBEDDED, assert_exercises, run, verdicts

pytestmark = pytest.mark.notebook
NUMBERS = ("06.1", "06.2", "06.3", "06.4", "06.5")
CURVES = ("table", "curves", "by_hand", "mean_by_area", "mean_aupimo")
THRESHOLDS = ("shared_fpr", "recall", "middle", "threshold", "thresholds", "fprs", "strict", "lax", "above_typical")
# What aupimo_scores gives is right in exercise 06.2, too.
BY_PACKAGE = (
    'check.__globals__["verdict"](check.__globals__["solution"]("06.2"), globals(), aupimos[is_anomalous], "06.2")'
)
SAID = (
    "(fpr_per_image == 0).sum()",
    "fpr_per_image.max()",
    "zeros.max() if len(zeros) else None",
    "near.sum()",
    "at_upper",
    "names[middle]",
    "recall_at_fpr(maps, masks, 1e-5)[middle].item()",
)


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_scores_curves_and_the_integral_by_hand(second_path, dataset):
    names = (*CURVES, *THRESHOLDS, *SAID, BY_PACKAGE, verdicts(*NUMBERS))
    values = run("06", {"DATASET": dataset}, names, max_gb=3)
    second = second_path(dataset)
    expected = second.scores()
    np.testing.assert_allclose(values["table"]["aupimo"], expected, atol=1e-6)
    assert values["mean_aupimo"] == pytest.approx(np.nanmean(expected), abs=1e-6)

    by_hand = {name: np.abs(np.array(column) - expected) for name, column in values["by_hand"].items()}
    gaps = [np.nanmax(by_hand[f"mean of {number} readings"]) for number in (3, 10, 30, 100, 300)]
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

    assert values[BY_PACKAGE] == "Exercise 06.2: right."
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
    if dataset == "synthetic/leather":
        assert_as_the_text_says(values, expected[second.anomalous], gaps)


def assert_as_the_text_says(values, scores, gaps):
    """What stands folded in the notebook."""
    without_any, highest, best_zero, near, at_upper, middle, at_lower = (values[name] for name in SAID)
    assert middle == "poke/015.png"
    assert (at_lower, values["recall"]) == pytest.approx((0.959, 0.986), abs=0.002)
    assert (without_any, highest) == (pytest.approx(29, abs=1), pytest.approx(0.0018, abs=0.0001))
    assert gaps[:2] + gaps[-1:] == pytest.approx([0.011, 0.0025, 0.0001], abs=0.001)
    assert ((scores == 0).sum(), (scores > 1 - 1e-9).sum()) == (pytest.approx(7, abs=1), pytest.approx(26, abs=2))
    assert best_zero == pytest.approx(0.46, abs=0.02)
    at_upper = np.array(at_upper)
    assert at_upper.mean() == pytest.approx(0.76, abs=0.01)
    assert [(at_upper > 0.9).sum(), (at_upper < 0.1).sum(), near] == pytest.approx([54, 10, 8], abs=2)
    assert (values["lax"], values["strict"]) == pytest.approx((10.35, 10.83), abs=0.02)
    assert values["above_typical"] == pytest.approx(0.14, abs=0.01)


def test_scores_of_own_pictures(own):
    own.assert_scores(own.run("06", ("table",))["table"])
