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
def shared_folder(tmp_path_factory):
    """One folder for all workers of a test run, so that they train a model once."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def own(shared_folder):
    """Somebody's own pictures, three per class: what is too few anywhere shows here."""
    return OwnData(shared_folder / "own", train=3, normal=3, per_defect=3)


@pytest.fixture(scope="session")
def many(shared_folder):
    """More than a hundred normal test images, four of them odd: one of these sets all thresholds."""
    return OwnData(shared_folder / "many", train=12, normal=120, per_defect=6, odd=4)
