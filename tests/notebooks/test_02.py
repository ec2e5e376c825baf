"""Notebook 02, training PaDiM: it trains the model whose predictions all the others use, and whose scores spread."""

import numpy as np
import pytest
from notebook_runs import EMBEDDED, NOWHERE, attempt, run

from aupimo_helpers.data import DEFECT_TYPES

pytestmark = pytest.mark.notebook


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_trains_the_model_that_predict_gives(second_path, dataset):
    total = "predictions.anomaly_maps.double().sum().item()"
    names = ("identical", "len(predictions)", total, "clamp", "num_tied_images", "share")
    values = run("02", {"DATASET": dataset}, names, max_gb=3)
    second = second_path(dataset)
    assert values["identical"] is True
    assert values["len(predictions)"] == len(second.paths)
    assert values[total] == pytest.approx(second.maps.sum(dtype=np.float64), rel=1e-9)
    highest = second.maps.max(axis=(1, 2))
    # Scores within a rounding error of the clamp may fall on either side.
    assert (highest > values["clamp"] * 1.001).sum() <= values["num_tied_images"]
    assert values["num_tied_images"] <= (highest > values["clamp"] * 0.999).sum()
    inside, outside = second.maps[second.masks], second.maps[~second.anomalous]
    assert values["share"] == pytest.approx((inside > outside.max()).mean(), abs=1e-6)


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
    assert own.run("02", ("identical",)) == {"identical": True}


def test_without_the_hub_is_one_sentence(monkeypatch, tmp_path):
    for name, value in {"HF_ENDPOINT": NOWHERE, "HF_HUB_CACHE": str(tmp_path), "NO_PROXY": "*"}.items():
        monkeypatch.setenv(name, value)
    execution = attempt("02", {"PRE_TRAINED": True})
    message = str(execution.failure)
    assert "DownloadError: The ImageNet weights of resnet18 could not be downloaded" in message
    # The text of the notebook quotes this very sentence.
    text = " ".join("".join(cell.source for cell in execution.notebook.cells).replace("\n> ", " ").split())
    assert "set PRE_TRAINED = False, which needs no network, or run `hf download timm/resnet18.a1_in1k`" in message
    assert "set PRE_TRAINED = False, which needs no network, or run `hf download timm/resnet18.a1_in1k`" in text
