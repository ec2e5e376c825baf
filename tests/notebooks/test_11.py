"""Notebook 11, your own data: pictures that it imports, or that lie there as a data set."""

import numpy as np
import pytest
from notebook_runs import run

pytestmark = pytest.mark.notebook


def test_the_demo_folder():
    values = run("11", {}, ("dataset", "mean_aupimo"))
    assert values["dataset"].startswith("own/leather_pictures")
    assert 0 < values["mean_aupimo"] < 1


def test_own_pictures(own):
    values = own.run("11", ("mean_aupimo", "table", "image_auroc"))
    own.assert_scores(values["table"])
    assert values["mean_aupimo"] == pytest.approx(own.mean, abs=1e-6)
    highest = own.predictions.anomaly_maps.numpy().max(axis=(1, 2))
    anomalous = ~np.isnan(own.scores)
    pairs = highest[anomalous][:, None] - highest[~anomalous]
    assert values["image_auroc"] == pytest.approx((pairs > 0).mean(), abs=1e-6)


def test_it_imports_the_folder_it_is_given(own, tmp_path):
    values = own.run("11", ("dataset", "mean_aupimo"), OWN_FOLDER=str(own.pictures), DATA_ROOT=str(tmp_path))
    assert values["dataset"] == own.dataset
    assert (tmp_path / own.dataset / "test" / "scratch").is_dir()
    assert values["mean_aupimo"] == pytest.approx(own.mean, abs=1e-6)
