import logging
import platform
import warnings
from importlib.metadata import PackageNotFoundError, version

import matplotlib.pyplot as plt
import pytest

from aupimo_helpers.session import alt_text, print_versions, quiet, versions


def test_versions_are_those_that_are_installed():
    assert versions(("numpy", "torch")) == {
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
    }
    with pytest.raises(PackageNotFoundError):
        versions(("no-such-package",))


def test_all_versions_are_printed_and_no_line_is_so_long_that_a_page_would_break_it(capsys):
    print_versions()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 80
    assert all(line.endswith(",") for line in lines[:-1])
    assert [part.split() for part in " ".join(lines).split(", ")] == [list(pair) for pair in versions().items()]


def test_a_figure_is_described_by_its_titles_axes_and_legend():
    figure, (left, right) = plt.subplots(1, 2)
    left.plot([0, 1], label="cut")
    left.legend()
    left.set(title="Recall", xlabel="FPR", ylabel="TPR")
    right.set_title("An image", loc="left")
    figure.colorbar(right.imshow([[0, 1]]))
    assert alt_text(figure) == "Recall; TPR against FPR; cut. An image"
    figure.suptitle("Two\nviews")
    assert alt_text(figure).startswith("Two views. Recall")
    assert alt_text(plt.figure()) == "Figure of 0 panels without a title"
    plt.close("all")


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
