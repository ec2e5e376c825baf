"""The last resort, and what holds for all sub-commands."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from aupimo_helpers import scores
from aupimo_helpers.commands import main


@pytest.fixture
def breaks(monkeypatch, tmp_path):
    """Let the reading of scores raise an error."""

    def let(error):
        def broken(path):
            file = Path(path)  # noqa: F841
            raise error

        monkeypatch.setattr(scores, "load_scores", broken)
        monkeypatch.chdir(tmp_path)
        return ["compare", "a.json", "b.json"]

    return let


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("so\nmany"), "ZeroDivisionError, so. Mend that, or report it"),
        (AssertionError(), "AssertionError, AssertionError. Mend"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "OSError, [Errno 5] Input/output error."),
        (PermissionError(errno.EACCES, "no", "b.json"), "Cannot use b.json: permission was denied. Change its"),
        (MemoryError(), "cannot be used: the memory is used up. Close"),
        (ValueError("\x1b[2J" + "n" * 10_000), "ValueError, \\x1b[2Jnnn"),
    ],
)
def test_what_nobody_foresaw_is_a_sentence(breaks, capsys, error, words):
    assert main(breaks(error)) == 1
    sentence = capsys.readouterr().err
    assert words in sentence
    assert ".json" in sentence
    assert sentence.startswith("aupimo: ")
    assert sentence.count("\n") == 1
    assert len(sentence) < 1000


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_shows_the_traceback_before_or_after_the_command(breaks, capsys, place):
    arguments = breaks(ZeroDivisionError("why"))
    arguments.insert(place, "--debug")
    assert main(arguments) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "in broken" in text
    assert text.splitlines()[-1].startswith("aupimo: ")


def test_debug_is_known_to_nested_commands(capsys):
    assert main(["data", "check", "nowhere", "--debug"]) == 1
    assert "MissingError: There is no folder nowhere" in capsys.readouterr().err


def test_a_terminal_that_lacks_letters_gets_them_escaped(tmp_path, monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["data", "check", str(tmp_path)]) == 1
    (tmp_path / "jos\u00e9").mkdir()
    assert main(["data", "check", str(tmp_path / "jos\u00e9")]) == 1
    stdout.flush()
    assert b"jos\\xe9" in stdout.buffer.getvalue()
