import errno
import os

import pytest

from aupimo_helpers.errors import WriteError
from aupimo_helpers.files import atomic_file, atomic_folder, build_once, explain_write_errors


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "deep" / "scores.json"
    for text in ("one", "two"):
        with atomic_file(path) as temporary:
            assert temporary.suffix == ".json"
            temporary.write_text(text)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "set") as temporary:
        (temporary / "half.png").write_bytes(b"")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_replaced(tmp_path):
    with pytest.raises(FileExistsError), atomic_folder(tmp_path):
        pass


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission was denied")],
)
def test_write_errors_say_what_where_and_what_to_do(tmp_path, number, words):
    with (
        pytest.raises(WriteError, match=rf"Cannot write .*a\.txt: .*{words}.*\. [A-Z].+\.$"),
        explain_write_errors(tmp_path / "a.txt"),
    ):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("name", ["a.txt", "scores/a.txt"])
def test_a_file_where_a_folder_must_be(tmp_path, name):
    (tmp_path / "datasets").write_text("")
    words = "is a file, not a folder|a file is where a folder must be"
    with pytest.raises(WriteError, match=words), atomic_file(tmp_path / "datasets" / name):
        pass


def test_other_os_errors_keep_their_traceback(tmp_path):
    with pytest.raises(OSError, match="weird"), explain_write_errors(tmp_path):
        raise OSError(errno.EIO, "weird")


def test_a_folder_is_built_once_and_then_accepted(tmp_path):
    seen = []

    def build(folder):
        seen.append("built")
        (folder / "a.txt").write_text("whole")

    for _ in range(2):
        path = build_once(tmp_path / "deep" / "set", build, accept=lambda folder: seen.append(folder.name))
    assert seen == ["built", "set"]
    assert (path / "a.txt").read_text() == "whole"
    assert {entry.name for entry in path.parent.iterdir()} == {"set", ".set.lock"}


def test_a_build_that_fails_leaves_nothing_and_can_be_repeated(tmp_path):
    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        build_once(tmp_path / "set", fail)
    assert [entry.name for entry in tmp_path.iterdir()] == [".set.lock"]
    assert build_once(tmp_path / "set", lambda _: None).is_dir()


def test_a_folder_that_is_not_accepted_stays_as_it_is(tmp_path):
    def refuse(_):
        raise ValueError("other content")

    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match="other content"):
        build_once(tmp_path / "set", lambda _: pytest.fail("built"), accept=refuse)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


def test_what_a_killed_build_left_is_cleared_away(tmp_path):
    for name in (".set[1].a1b2c3d4.tmp", ".set1.a1b2c3d4.tmp"):  # the second is another folder's
        (tmp_path / name).mkdir()
    build_once(tmp_path / "set[1]", lambda _: None)
    assert {entry.name for entry in tmp_path.iterdir()} == {"set[1]", ".set[1].lock", ".set1.a1b2c3d4.tmp"}


@pytest.mark.parametrize("blocked", ["a", "a/b"])
def test_a_file_in_the_way_of_a_folder_is_named(tmp_path, blocked):
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_text("a file")
    with pytest.raises(WriteError, match=rf"Cannot write .*a/b: .*{blocked} is a file, not a folder"):
        build_once(tmp_path / "a" / "b", lambda _: None)
