import errno
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from aupimo_helpers.errors import InputError, MissingError, WriteError
from aupimo_helpers.files import (
    atomic_file,
    atomic_folder,
    build_once,
    explain_write_errors,
    reading,
    require_writable,
)


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


def fill(folder):
    (folder / "half.png").write_bytes(b"half")
    time.sleep(0.5)
    with (folder.parent / "log").open("a") as log:
        log.write("built\n")
    (folder / "half.png").rename(folder / "whole.png")


def test_processes_that_ask_at_once_build_a_folder_once(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=build_once, args=(tmp_path / "new" / "set", fill)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "new" / "log").read_text() == "built\n"
    assert [path.name for path in (tmp_path / "new" / "set").iterdir()] == ["whole.png"]


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(tmp_path):
    def fail(folder):
        (folder / "half.png").write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        build_once(tmp_path / "set", fail)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    assert build_once(tmp_path / "set", fill) == tmp_path / "set"


def test_the_debris_of_a_killed_run_goes_and_that_of_others_stays(tmp_path):
    names = (".a[1].abcdefgh.tmp", ".a[1].b.abcdefgh.tmp", ".a1.abcdefgh.tmp")
    for name in names:
        (tmp_path / name).mkdir()
    build_once(tmp_path / "a[1]", fill)
    assert [(tmp_path / name).exists() for name in names] == [False, True, True]


def test_a_folder_that_is_there_is_accepted_or_refused_and_never_built(tmp_path):
    def refuse(path):
        raise ValueError(f"{path} is another one")

    (tmp_path / "set").mkdir()
    assert build_once(tmp_path / "set", refuse) == tmp_path / "set"
    with pytest.raises(ValueError, match="set is another one"):
        build_once(tmp_path / "set", fill, accept=refuse)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("name", ["set", "sets/own/set"])
def test_a_file_where_the_folder_must_be_is_named(tmp_path, name):
    blocked = tmp_path / name.split("/")[0]
    blocked.write_text("")
    with pytest.raises(WriteError, match=rf"{blocked} is a file, not a folder"):
        build_once(tmp_path / name, fill)


def test_the_temporary_file_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path):
    killed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    names = [f".a[1].{number}.tmp.json" for number in (killed.stdout.strip(), os.getppid())]
    for name in (*names, ".a[1].b.tmp.json"):
        (tmp_path / name).touch()
    with atomic_file(tmp_path / "a[1].json") as temporary:
        temporary.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([names[1], ".a[1].b.tmp.json", "a[1].json"])


def test_a_name_as_long_as_names_may_be(tmp_path):
    path = tmp_path / ("n" * 250 + ".json")
    with atomic_file(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


@pytest.mark.parametrize(
    ("name", "words"),
    [("there", "a folder is where"), ("file/a", "a file is where"), ("n" * 300, "name is too long"), ("no/a", None)],
)
def test_what_cannot_be_written_is_known_before(tmp_path, name, words):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    if words is None:
        require_writable(tmp_path / name)
    else:
        with pytest.raises(WriteError, match=words):
            require_writable(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (FileNotFoundError(), MissingError, r"There is no list at a\.txt: choose another path\."),
        (PermissionError(errno.EACCES, "no"), InputError, r"Cannot read a\.txt: permission was denied\. Change"),
        (KeyError("x"), InputError, r"a\.txt is not a list: it cannot be read \('x'\)\. Write it again\."),
        (RecursionError("deep"), InputError, r"a\.txt is not a list: .*nested too deeply"),
        (InputError("it has no end"), InputError, r"a\.txt is not a list: it has no end\. Write it again\."),
        (WriteError("as it is"), WriteError, "^as it is$"),
        (MemoryError(), MemoryError, "^$"),
    ],
)
def test_reading_says_which_file_is_what(error, kind, words):
    with pytest.raises(kind, match=words), reading("a.txt", "list", "Write it again"):
        raise error
