"""Notebook 06, PIMO curves: where a score comes from."""

import numpy as np
import pytest
from notebook_runs import run

pytestmark = pytest.mark.notebook


def test_scores_curves_and_the_integral_by_hand(second_path):
    names = "table curves by_hand mean_by_area mean_aupimo shared_fpr recall middle threshold thresholds fprs"
    values = run("06", variables=names.split(), max_gb=3)
    second = second_path()
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


def test_scores_of_own_pictures(own):
    own.assert_scores(own.run("06", ("table",))["table"])
