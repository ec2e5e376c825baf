"""Notebook 11, your own data: pictures that it imports, or that lie there as a data set."""

import numpy as np
import pytest
from notebook_runs import assert_exercises, aupimo_by_steps, run, verdicts

pytestmark = pytest.mark.notebook
NUMBERS = ("11.1", "11.2", "11.3", "11.4", "11.5")


def means_without(maps, masks):
    """The mean score without each of the normal images, from a second path."""
    normal = np.flatnonzero(~masks.any(axis=(1, 2)))
    kept = [np.delete(np.arange(len(maps)), i) for i in normal]
    return [np.nanmean(aupimo_by_steps(maps[rest], masks[rest])) for rest in kept]


def test_the_demo_folder():
    names = ("dataset", "mean_aupimo", "remaining", "without", "marked", "most", "image_auroc", "caught")
    values = run("11", {}, (*names, verdicts(*NUMBERS)), max_gb=3)
    assert values["dataset"].startswith("own/leather_pictures")
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
    # What stands folded in the notebook.
    remaining = {int(size): np.array(left) for size, left in values["remaining"].items()}
    assert remaining[256].min() == 131
    assert remaining[64].min() == 8
    assert (remaining[16] == 0).sum() == 2
    assert values["mean_aupimo"] == pytest.approx(0.435, abs=0.003)
    marked = np.array(values["marked"])
    assert [(marked > 0).sum(), marked.max(), marked.sum()] == pytest.approx([3, 84, 118], abs=1)
    assert values["without"][values["most"]] == pytest.approx(0.540, abs=0.003)
    assert values["caught"] == 10
    assert values["image_auroc"] == pytest.approx(0.970, abs=0.003)


def test_own_pictures(own):
    names = ("mean_aupimo", "table", "image_auroc", "without", verdicts(*NUMBERS))
    values = own.run("11", names)
    own.assert_scores(values["table"])
    assert values["mean_aupimo"] == pytest.approx(own.mean, abs=1e-6)
    maps, masks = own.predictions.anomaly_maps.numpy(), own.predictions.masks.numpy()
    assert values["without"] == pytest.approx(means_without(maps, masks), abs=1e-6)
    highest = maps.max(axis=(1, 2))
    anomalous = ~np.isnan(own.scores)
    pairs = highest[anomalous][:, None] - highest[~anomalous]
    assert values["image_auroc"] == pytest.approx((pairs > 0).mean(), abs=1e-6)
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_it_imports_the_folder_it_is_given(own, tmp_path):
    values = own.run("11", ("dataset", "mean_aupimo"), OWN_FOLDER=str(own.pictures), DATA_ROOT=str(tmp_path))
    assert values["dataset"] == own.dataset
    assert (tmp_path / own.dataset / "test" / "scratch").is_dir()
    assert values["mean_aupimo"] == pytest.approx(own.mean, abs=1e-6)
