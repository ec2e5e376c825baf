"""Notebook 02, training PaDiM: it trains the model whose predictions all the others use, and whose scores spread."""

from dataclasses import replace

import numpy as np
import pytest
from notebook_runs import COURSE, EMBEDDED, NOWHERE, assert_exercises, attempt, run, verdicts

from aupimo_helpers.data import DEFECT_TYPES

pytestmark = pytest.mark.notebook
NUMBERS = ("02.1", "02.2", "02.3", "02.4", "02.5")
TOTAL = "predictions.anomaly_maps.double().sum().item()"
OF_MODEL = ("apart", "len(predictions)", TOTAL, "highest_normal.item()", "usual.item()", "above")
OF_SCORES = ("mean", "untrained", "gain", "without", "added", "num_positions", "num_features")
OF_CLAMP = ("clamp", "num_tied_images", "tied.sum().item()", "num_normal_tied")


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_trains_the_model_that_predict_gives(second_path, dataset):
    names = (*OF_MODEL, *OF_SCORES, *OF_CLAMP, verdicts(*NUMBERS))
    values = run("02", {"DATASET": dataset}, names, max_gb=3)
    second = second_path(dataset)
    # `aupimo run` may have filled the cache, with another number of threads
    assert values["apart"] <= 2e-6 * second.maps.max()
    assert values["len(predictions)"] == len(second.paths)
    assert values[TOTAL] == pytest.approx(second.maps.sum(dtype=np.float64), rel=1e-7)
    inside = second.maps[second.masks]
    assert values["usual.item()"] == pytest.approx((inside < np.median(second.normal)).mean(), abs=1e-4)
    above = [(inside > second.threshold(fpr)).mean() for fpr in (1e-4, 1e-5)]
    assert values["above"] == pytest.approx(above, abs=1e-3)
    contrast = second_path(dataset, replace(COURSE, pre_trained=False))
    assert values["mean"] == pytest.approx(np.nanmean(second.scores()), abs=1e-6)
    assert values["untrained"] == pytest.approx(np.nanmean(contrast.scores()), abs=1e-6)
    highest = second.maps.max(axis=(1, 2))
    # Scores within a rounding error of the clamp may fall on either side.
    assert (highest > values["clamp"] * 1.001).sum() <= values["num_tied_images"]
    assert values["num_tied_images"] <= (highest > values["clamp"] * 0.999).sum()
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
    if dataset == "synthetic/leather":
        assert_as_the_text_says(values, second)


def assert_as_the_text_says(values, second):
    """What stands folded in the notebook."""
    assert (values["num_positions"], values["num_features"]) == (1024, 40)
    raw = second.maps.min(), second.maps.max(), second.normal.max()
    assert raw == pytest.approx((4.9, 42.1, 11.2), abs=0.06)
    assert values["usual.item()"] < 0.01
    assert values["above"] == pytest.approx([0.72, 0.67], abs=0.006)
    scores = [values[name] for name in ("mean", "untrained", "without")]
    assert scores == pytest.approx([0.743, 0.242, 0.328], abs=0.003)
    gain = np.array(values["gain"])
    assert [(gain > 0).sum(), (gain < 0).sum(), (gain == 0).sum()] == pytest.approx([80, 4, 6], abs=1)
    assert values["clamp"] == pytest.approx(29.1, abs=0.2)
    assert values["tied.sum().item()"] == pytest.approx(1334, rel=0.05)
    assert values["num_tied_images"] == 6
    assert values["num_normal_tied"] == 0


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_the_data_sets_spread(second_path, dataset):
    """A score that is 0 or 1 for all images would let wrong numbers pass."""
    assert np.nanstd(second_path(dataset).scores()) > 0.1


def test_leather_spreads_over_the_whole_range(second_path):
    second = second_path()
    scores = second.scores()
    assert set(second.defects[second.anomalous]) == set(DEFECT_TYPES)
    for defect in DEFECT_TYPES:
        assert scores[second.defects == defect].min() < 0.2
        assert scores[second.defects == defect].max() > 0.8
    assert 0.5 < np.nanmean(scores) < 0.8


def test_a_photograph_is_within_reach_of_the_model(second_path):
    assert np.nanmean(second_path("photos/brick").scores()) > 0.3


def test_own_pictures(own):
    assert own.run("02", ("apart",)) == {"apart": 0}


def test_without_the_hub_is_one_sentence(monkeypatch, tmp_path):
    for name, value in {"HF_ENDPOINT": NOWHERE, "HF_HUB_CACHE": str(tmp_path), "NO_PROXY": "*"}.items():
        monkeypatch.setenv(name, value)
    resnet = {"BACKBONE": "resnet18", "LAYERS": ["layer1"], "N_FEATURES": 64}
    execution = attempt("02", resnet)
    message = str(execution.failure)
    assert "DownloadError: The ImageNet weights of resnet18 could not be downloaded" in message
    # The text of the notebook quotes this very sentence.
    text = " ".join("".join(cell.source for cell in execution.notebook.cells).replace("\n> ", " ").split())
    quoted = (
        "set BACKBONE = 'tf_efficientnet_lite0', whose weights need no network, or PRE_TRAINED = False, or run "
        "`hf download timm/resnet18.a1_in1k` where there is a network and copy what it put into"
    )
    assert quoted in message
    assert quoted in text
