"""Files and folders that are written whole or not at all."""

import errno
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from aupimo_helpers.errors import AupimoError, InputError, MissingError, Problem, ProblemError, WriteError, brief

# A server that sends fewer bytes per second than this, or none, is given up after so many seconds.
SLOWEST, PATIENCE = 10_000, 30.0

_WHY = {
    errno.ENOSPC: ("the disk is full", "free some space and try again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and try again"),
    errno.EFBIG: ("the file would be larger than is allowed there", "choose another disk or raise the limit"),
    errno.EROFS: ("the file system is read-only", "choose a folder that you can write to"),
    errno.EACCES: ("permission was denied", "change its permissions or choose another path"),
    errno.EPERM: ("permission was denied", "change its permissions or choose another path"),
    errno.ENOTDIR: ("a file is where a folder must be", "move it away or choose another path"),
    errno.EISDIR: ("a folder is where a file must be", "move it away or choose another path"),
    errno.EEXIST: ("a file is where a folder must be", "move it away or choose another path"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ELOOP: ("it is a link that leads to itself", "choose another path"),
}


def why(error: OSError) -> str | None:
    """Say in words what an error of the system is, and what to do; None if there are no words for it."""
    if error.errno not in _WHY:
        return None
    reason, remedy = _WHY[error.errno]
    return f"{reason}. {remedy[0].upper()}{remedy[1:]}."


@contextmanager
def reading(path: str | Path, kind: str, remedy: str = "Choose another file") -> Iterator[None]:
    """Turn whatever fails in the block, which reads a file of a ``kind`` and takes it apart, into one sentence."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} is not a {kind}: {error}. {remedy}.") from error
    except (AupimoError, MemoryError):
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise MissingError(f"There is no {kind} at {path}: choose another path.") from error
    except OSError as error:
        raise InputError(f"Cannot read {path}: {why(error) or error}") from error
    except Exception as error:  # parsers raise all kinds of errors on damaged files
        reason = "nested too deeply" if isinstance(error, RecursionError) else brief(error)
        raise InputError(f"{path} is not a {kind}: it cannot be read ({reason}). {remedy}.") from error


def walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file below a folder, and every empty folder, in order; links are followed, and loops refused."""
    above = (*above, folder.resolve())
    entries = sorted(folder.iterdir())
    if not entries:
        yield folder
    for path in entries:
        if not path.is_dir():
            yield path
        elif path.resolve() in above:
            raise InputError(f"{path} is a link to a folder that it lies in: remove it.")
        else:
            yield from walk(path, above)


def is_plain(path: Path) -> bool:
    """Tell whether a path is a file, of a size that makes sense for a picture, and no pipe and no device."""
    return path.is_file() and path.stat().st_size <= 2**32


def png_sizes(folder: Path) -> dict[str, int]:
    """The bytes of every PNG of a data set, by its path."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*.png"))}


def require_whole(folder: Path, recorded: Mapping[str, int], remedy: str) -> None:
    """Refuse a data set of which files are missing, were added or have another size than was recorded."""
    there = png_sizes(folder)
    faults = {
        "is missing": recorded.keys() - there.keys(),
        "was added": there.keys() - recorded.keys(),
        "has another size than when it was made": {
            n for n in recorded.keys() & there.keys() if recorded[n] != there[n]
        },
    }
    if problems := [Problem(folder / name, what, remedy) for what in faults for name in sorted(faults[what])]:
        raise ProblemError(problems)


def watched(download: Callable[[], object], file: Path) -> None:
    """Download a file, but give up on a server that sends nothing, or next to nothing byte by byte."""
    failure: list[Exception] = []

    def work() -> None:
        try:
            download()
        except Exception as error:  # raised again below, in the thread that waits
            failure.append(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    started, size = time.monotonic(), 0
    while thread.is_alive():
        thread.join(min(1, PATIENCE))
        seconds = time.monotonic() - started
        with suppress(FileNotFoundError):  # an archive is removed when it is unpacked
            size = max(size, file.stat().st_size)
        if thread.is_alive() and seconds > PATIENCE and size < SLOWEST * seconds:
            raise TimeoutError(f"only {size} bytes came in {seconds:.0f} seconds")
    if failure:
        raise failure[0]


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block that a user can mend (full disk, no permission) into a ``WriteError``."""
    try:
        yield
    except OSError as error:
        if (reason := why(error)) is None:
            raise
        raise WriteError(f"Cannot write {path}: {reason}") from error


def require_writable(path: Path) -> None:
    """Refuse a file that could not be written, before anything is computed for it; nothing is made."""
    with explain_write_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, with its suffix, that takes its place when the block succeeds."""
    import psutil

    path = Path(path)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.stem[:40]  # the temporary name must not be too long where the file's own is not
        # Killed processes leave theirs behind.
        for debris in path.parent.glob(f".{glob.escape(name)}.*.tmp{glob.escape(path.suffix)}"):
            number = debris.name.removesuffix(f".tmp{path.suffix}").rpartition(".")[2]
            if number.isdecimal() and len(number) < 9 and not psutil.pid_exists(int(number)):
                debris.unlink(missing_ok=True)
        temporary = path.with_name(f".{name}.{os.getpid()}.tmp{path.suffix}")
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``."""
    with tempfile.TemporaryDirectory(".tmp", f".{path.name}.", path.parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path``, which must not exist, when the block succeeds."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with folder_beside(path) as temporary:
            temporary.chmod(0o755)
            yield temporary
            temporary.rename(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of ``path``, a file beside it, so that one process at a time builds what is there."""
    from filelock import FileLock

    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock")).acquire()
    with lock:
        for debris in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):  # of a process that was killed
            shutil.rmtree(debris, ignore_errors=True)
        yield


def build_once(path: Path, build: Callable[[Path], None], accept: Callable[[Path], None] = lambda _: None) -> Path:
    """Let ``build`` fill a folder, whole and once, however many ask; one that is there only has to be accepted."""
    if (blocked := next((part for part in (path, *path.parents) if part.is_file()), None)) is not None:
        raise WriteError(
            f"Cannot write {path}: {blocked} is a file, not a folder. Move it away or choose another path."
        )
    if not path.is_dir():
        with locked(path):
            if not path.is_dir():  # else another process made it while this one waited
                with atomic_folder(path) as temporary:
                    build(temporary)
                return path
    accept(path)
    return path
