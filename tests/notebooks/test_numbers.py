"""Notebooks 01 to 05 with other parameters than their own: the numbers they compute, against a second path."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from aupimo_helpers.course.notebook import course, execute
from aupimo_helpers.scores import load_scores

ROOT = Path(__file__).resolve().parents[2]

DATASETS = ["synthetic/leather", "photos/brick"]


@pytest.fixture(params=DATASETS)
def dataset(request):
    return request.param


def pixel_auroc(maps, masks):
    """The chance that a defective pixel outscores a normal one, ties counted half."""
    labels = masks.ravel()
    ranks = scipy.stats.rankdata(maps.ravel())
    positive = int(labels.sum())
    return (ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (labels.size - positive))


def test_the_data_sets_spread(second_path, dataset):
    """A score that is 0 or 1 for all images would let wrong numbers pass below."""
    scores = second_path(dataset).scores()
    assert np.nanstd(scores) > 0.1


def test_01_counts_the_images(run_notebook, second_path, dataset):
    names = ("num_train", "num_normal", "num_anomalous")
    values = run_notebook("01", {"DATASET": dataset}, names)
    anomalous = second_path(dataset).anomalous
    assert values["num_normal"] == (~anomalous).sum()
    assert values["num_anomalous"] == anomalous.sum()
    assert values["num_train"] >= 20


def test_02_trains_the_model_that_predict_gives(run_notebook, second_path, dataset):
    total = "predictions.anomaly_maps.double().sum().item()"
    names = ("identical", "len(predictions)", total, "clamp", "num_tied_images", "share")
    values = run_notebook("02", {"DATASET": dataset}, names, max_gb=3)
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


def test_03_averages(run_notebook, second_path, dataset):
    names = ("average_anomalib", "average_exact", "pixel_auroc", "pixel_aupro")
    values = run_notebook("03", {"DATASET": dataset}, names)
    second = second_path(dataset)
    mean = np.nanmean(second.scores())
    assert values["average_exact"] == pytest.approx(mean, abs=1e-6)
    assert values["average_anomalib"] == pytest.approx(mean, abs=1e-3)  # its grid of thresholds
    assert values["pixel_auroc"] == pytest.approx(pixel_auroc(second.maps, second.masks), abs=1e-4)
    assert mean < values["pixel_aupro"] <= 1


def test_03_uses_the_bounds_it_is_given(run_notebook, second_path):
    values = run_notebook("03", {"FPR_BOUNDS": [1e-4, 1e-3]}, ("average_exact",))
    mean = np.nanmean(second_path("synthetic/leather").scores(1e-4, 1e-3))
    assert values["average_exact"] == pytest.approx(mean, abs=1e-6)


def test_04_scores_every_image(run_notebook, second_path, dataset):
    second = second_path(dataset)
    values = run_notebook("04", {"DATASET": dataset}, ("table", "str(scores_path.resolve())"))
    table = values["table"]
    assert table["image_path"] == second.paths
    np.testing.assert_allclose(table["aupimo"], second.scores(), atol=1e-9)
    assert table["mask_area"] == second.masks.sum(axis=(1, 2)).tolist()
    saved = load_scores(values["str(scores_path.resolve())"])
    np.testing.assert_allclose(saved["aupimo"], second.scores(), atol=1e-9)
    assert saved["image_path"].tolist() == second.paths


def test_05_describes_the_scores(run_notebook, second_path, dataset):
    values = run_notebook("05", {"DATASET": dataset}, ("mean_aupimo", "ci_low", "ci_high"))
    scores = second_path(dataset).scores()
    scores = scores[~np.isnan(scores)]
    assert values["mean_aupimo"] == pytest.approx(scores.mean(), abs=1e-9)
    # With this many images the bootstrap and the normal approximation must nearly agree.
    half = 1.96 * scores.std(ddof=1) / np.sqrt(scores.size)
    assert values["ci_low"] == pytest.approx(scores.mean() - half, abs=0.3 * half)
    assert values["ci_high"] == pytest.approx(scores.mean() + half, abs=0.3 * half)


def test_02_without_the_hub_is_one_sentence(monkeypatch, tmp_path):
    # Nobody listens at port 9 (discard) of this machine.
    for name, value in {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path), "NO_PROXY": "*"}.items():
        monkeypatch.setenv(name, value)
    execution = execute(course(ROOT / "notebooks", ["02"])[0], {"PRE_TRAINED": True})
    message = str(execution.failure)
    assert "DownloadError: The ImageNet weights of resnet18 could not be downloaded" in message
    # The text of the notebook quotes this very sentence.
    text = " ".join("".join(cell.source for cell in execution.notebook.cells).replace("\n> ", " ").split())
    assert "set PRE_TRAINED = False, which needs no network, or run `hf download timm/resnet18.a1_in1k`" in message
    assert "set PRE_TRAINED = False, which needs no network, or run `hf download timm/resnet18.a1_in1k`" in text
