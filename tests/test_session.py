import logging
import platform
import warnings
from importlib.metadata import PackageNotFoundError, version

import pytest

from aupimo_helpers.session import PACKAGES, print_versions, quiet, versions


def test_versions_are_those_that_are_installed():
    assert versions(("numpy", "torch")) == {
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
    }
    with pytest.raises(PackageNotFoundError):
        versions(("no-such-package",))


def test_all_versions_are_printed_on_lines_that_fit_a_page(capsys):
    print_versions()
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) < 110
    assert [part.split()[0] for part in text.split(",")] == ["python", *PACKAGES]


def test_known_lines_are_silenced_and_new_ones_are_not(caplog):
    quiet()
    logger = logging.getLogger("anomalib.engine.engine")
    for text in ("ckpt_path is not provided. Model weights will not be loaded.", "the disk is on fire"):
        logger.warning(text)
    assert [record.getMessage() for record in caplog.records] == ["the disk is on fire"]


def test_known_warnings_are_silenced_and_new_ones_are_not():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet()
        for text in ("TypedStorage is deprecated. It will go.", "TypedStorage is gone"):
            warnings.warn(text, UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["TypedStorage is gone"]


def test_quiet_twice_is_quiet_once():
    for _ in range(2):
        quiet()
    assert len(logging.getLogger("anomalib.engine.engine").filters) == 1
