import os

import pytest
from notebook_runs import COURSE, OwnData, SecondPath


@pytest.fixture(scope="session")
def second_path():
    """Predictions and scores of a data set and a model, each computed once."""
    known = {}

    def get(dataset="synthetic/leather", settings=COURSE):
        if (dataset, settings) not in known:
            known[dataset, settings] = SecondPath(dataset, settings)
        return known[dataset, settings]

    return get


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """Somebody's own pictures, three per class: what is too few anywhere shows here."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one folder for all workers, so that they train the model once
        base = base.parent
    return OwnData(base / "own", train=3, normal=3, per_defect=3)
