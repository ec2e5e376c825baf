import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import settings

# Read when PyTorch is imported, here and in the kernels. Threads that wait in a loop for their next task take the
# cores from the other worker: without this, two trainings at a time take 2.5 times as long, for the same numbers.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

settings.register_profile("fuzz", max_examples=4_000)  # for tests/test_damaged_files.py, by hand


def pytest_collection_modifyitems(items):
    """Put the notebooks first: they take longest, and the short tests then fill what time is left of two workers."""
    items.sort(key=lambda item: item.get_closest_marker("notebook") is None)


@pytest.fixture(scope="session")
def run_python():
    """A function that runs code in a new process of this checkout, with further environment variables."""

    def run(code, **environment):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment,
            check=False,
        )

    return run
