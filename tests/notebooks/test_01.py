"""Notebook 01, the data: it counts the images."""

import pytest
from notebook_runs import EMBEDDED, ROOT, run

pytestmark = pytest.mark.notebook
VARIABLES = ("num_train", "num_normal", "num_anomalous")


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_counts(dataset):
    values = run("01", {"DATASET": dataset}, VARIABLES)
    folder = ROOT / "datasets" / dataset
    assert values["num_normal"] == len(list(folder.glob("test/good/*.png")))
    assert values["num_anomalous"] == len(list(folder.glob("ground_truth/*/*.png")))
    assert values["num_train"] == len(list(folder.glob("train/good/*.png"))) >= 20


def test_counts_of_own_pictures(own):
    values = own.run("01", VARIABLES)
    assert values == {"num_train": own.train, "num_normal": own.normal, "num_anomalous": own.anomalous}
