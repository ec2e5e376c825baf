"""Files and folders that are written whole or not at all."""

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aupimo_helpers.errors import WriteError

_WHY = {
    errno.ENOSPC: ("the disk is full", "free some space and try again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and try again"),
    errno.EFBIG: ("the file would be larger than is allowed there", "choose another disk or raise the limit"),
    errno.EROFS: ("the file system is read-only", "choose a folder that you can write to"),
    errno.EACCES: ("permission was denied", "choose a folder that you can write to"),
    errno.EPERM: ("permission was denied", "choose a folder that you can write to"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another path"),
    errno.EEXIST: ("a file is where a folder must be", "move it away or choose another path"),
}


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` raised while writing ``path`` into one clear sentence.

    Args:
        path: The file or folder that is being written, named in the message.

    Raises:
        WriteError: If the block raised an ``OSError`` for a reason a user can mend (full disk, no permission ...).

    Example:
        >>> with explain_write_errors(Path("out.json")):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        aupimo_helpers.errors.WriteError: Cannot write out.json: the disk is full. Free some space and try again.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if error.errno not in _WHY:
            raise
        why, remedy = _WHY[error.errno]
        msg = f"Cannot write {path}: {why}. {remedy[0].upper()}{remedy[1:]}."
        raise WriteError(msg) from error


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends without an error.

    Args:
        path: The file to write. Missing parent folders are made.

    Yields:
        A path in the same folder with the same suffix (so that libraries that look at the suffix write the right
        format); it does not exist yet.

    Raises:
        WriteError: If the folder or the file cannot be written. The old file, if there was one, is untouched.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_file(Path(folder, "a.txt")) as temporary:
        ...         _ = temporary.write_text("whole")
        ...     Path(folder, "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that takes its place when the block ends without an error.

    Args:
        path: The folder to make. It must not exist yet; missing parent folders are made.

    Yields:
        An empty folder on the same file system.

    Raises:
        WriteError: If the folder cannot be written.
        FileExistsError: If ``path`` exists already.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_folder(Path(folder, "set")) as temporary:
        ...         _ = (temporary / "a.txt").write_text("whole")
        ...     [p.name for p in Path(folder, "set").iterdir()]
        ['a.txt']
    """
    path = Path(path)
    if path.exists():
        msg = f"{path} exists already"
        raise FileExistsError(msg)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        temporary.chmod(0o755)
        try:
            yield temporary
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def build_once(path: Path, build: Callable[[Path], None], accept: Callable[[Path], None] | None = None) -> Path:
    """Make a folder whole or not at all, and once, however many processes ask for it at the same time.

    Args:
        path: The folder. If it is there, it is handed to ``accept`` and left as it is.
        build: Fills the empty folder that it is given, which then takes the place of ``path``.
        accept: Raises an error if a folder that is there already is not the one that is wanted.

    Returns:
        ``path``.

    Raises:
        WriteError: If the folder cannot be written.
    """
    from filelock import FileLock

    blocked = next((part for part in (path, *path.parents) if part.is_file()), None)
    if blocked is not None:
        raise WriteError(
            f"Cannot write {path}: {blocked} is a file, not a folder. Move it away or choose another path."
        )
    if not path.is_dir():
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Beside the folder, never in it: the folder appears by one rename.
            with FileLock(path.parent / f".{path.name}.lock"):
                if not path.is_dir():  # else another process made it while this one waited
                    for debris in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):  # of a killed run
                        shutil.rmtree(debris, ignore_errors=True)
                    with atomic_folder(path) as temporary:
                        build(temporary)
                    return path
    if accept is not None:
        accept(path)
    return path
