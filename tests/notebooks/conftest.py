"""What the number tests share: running a notebook, and the scores it should find from a path of their own."""

from pathlib import Path

import numpy as np
import pytest

from aupimo_helpers.course.notebook import course, execute
from aupimo_helpers.model import PadimSettings, predict

ROOT = Path(__file__).resolve().parents[2]
COURSE = PadimSettings()


class SecondPath:
    """AUPIMO without the package's metric, on the predictions that the notebooks use.

    A mask pixel with r of the N normal pixels above it is found wherever the shared FPR is larger than r / N.
    Averaged over ln FPR from L to U it adds ln(U / max(L, r / N)) / ln(U / L) to its image's score. Where normal
    pixels have the very same score, the curve rises in a straight line: half of it counts with them, half without.
    """

    def __init__(self, dataset, settings):
        predictions = predict(dataset, ROOT / "datasets", ROOT / "results", settings)
        self.maps, self.masks = predictions.anomaly_maps.numpy(), predictions.masks.numpy()
        self.paths = list(predictions.image_paths)
        self.anomalous = self.masks.any(axis=(1, 2))
        self.normal = np.sort(self.maps[~self.anomalous].ravel())

    def scores(self, lower=1e-5, upper=1e-4, normal=None):
        normal = self.normal if normal is None else normal
        scores = np.where(self.anomalous, 0.0, np.nan)
        for i in np.flatnonzero(self.anomalous):
            found = self.maps[i][self.masks[i]]
            for side in ("left", "right"):
                above = normal.size - np.searchsorted(normal, found, side=side)
                reached = np.clip(above / normal.size, lower, upper)
                scores[i] += np.log(upper / reached).mean() / np.log(upper / lower) / 2
        return scores

    def fpr(self, threshold):
        return (self.normal >= threshold).mean()

    def recall(self, image, threshold):
        return (self.maps[image][self.masks[image]] >= threshold).mean()

    def threshold(self, fpr):
        """The highest normal score with a shared FPR of at least ``fpr``."""
        return self.normal[::-1][int(np.ceil(fpr * self.normal.size)) - 1]


@pytest.fixture(scope="session")
def second_path():
    """Predictions and scores of a data set and a model, each computed once."""
    known = {}

    def get(dataset, settings=COURSE):
        if (dataset, settings) not in known:
            known[dataset, settings] = SecondPath(dataset, settings)
        return known[dataset, settings]

    return get


@pytest.fixture(scope="session")
def run_notebook():
    """Run a notebook by its number, with the solutions of its exercises; give the variables that were asked for."""

    def run(number, parameters=None, variables=(), max_gb=None):
        (path,) = course(ROOT / "notebooks", [number])
        execution = execute(path, parameters, with_solutions=True, variables=variables)
        assert execution.failure is None, f"{path.stem}, {execution.failure}"
        assert max_gb is None or execution.peak_memory_gb < max_gb
        return execution.values

    return run
