"""Notebook 01, the data: it counts the images, and the embedded ones are fit for a lesson."""

import numpy as np
import pytest
from notebook_runs import EMBEDDED, run

from aupimo_helpers.data import DEFECT_TYPES

pytestmark = pytest.mark.notebook
VARIABLES = ("num_train", "num_normal", "num_anomalous")


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_counts(second_path, dataset):
    values = run("01", {"DATASET": dataset}, VARIABLES)
    anomalous = second_path(dataset).anomalous
    assert values["num_normal"] == (~anomalous).sum()
    assert values["num_anomalous"] == anomalous.sum()
    assert values["num_train"] >= 20


def test_counts_of_own_pictures(own):
    values = own.run("01", VARIABLES)
    assert values == {"num_train": own.train, "num_normal": own.normal, "num_anomalous": own.anomalous}


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
