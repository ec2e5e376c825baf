"""Tensors kept on disk under a key, built once by whichever process comes first.

An entry is two files: ``NAME.safetensors`` with the tensors and ``NAME.json`` with the key they were built from, a
checksum of the first file, and whatever else describes them. An entry is used only if its key equals the wanted one
and the checksum fits; anything else (another version, changed data, a truncated file) is rebuilt.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from aupimo_helpers.errors import MissingError
from aupimo_helpers.files import atomic_file, explain_write_errors

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

Entry = tuple[dict[str, "Tensor"], dict[str, Any]]


def fingerprint(folder: str | Path, subfolders: tuple[str, ...] = ("train", "test", "ground_truth")) -> str:
    """Hash a data set: the names and the bytes of all its files.

    Args:
        folder: A category folder in MVTec AD's layout.
        subfolders: The parts of it that count; those that are missing are skipped.

    Returns:
        32 hexadecimal digits (BLAKE2b). Hashing takes about 1 s per GB.

    Raises:
        MissingError: If there is no file at all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "train").mkdir()
        ...     _ = Path(folder, "train", "a.png").write_bytes(b"pixels")
        ...     fingerprint(folder)
        '27f44cde3e291c620ad2f1da43644e33'
    """
    folder = Path(folder)
    files = sorted(
        (path.relative_to(folder).as_posix(), path)
        for subfolder in subfolders
        for path in (folder / subfolder).rglob("*")
        if path.is_file()
    )
    if not files:
        msg = f"No images in {folder}: expected the folders {', '.join(subfolders)} of MVTec AD's layout in it."
        raise MissingError(msg)
    digest = hashlib.blake2b(digest_size=16)
    for name, path in files:
        content = path.read_bytes()
        # The length separates the name from the content and this file from the next.
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _read(name: Path, key: Mapping[str, Any]) -> Entry | str:
    """Give the entry, or why it cannot be used."""
    from safetensors.torch import load

    try:
        description = json.loads(name.with_name(name.name + ".json").read_text(encoding="utf-8"))
        content = name.with_name(name.name + ".safetensors").read_bytes()
        found, checksum, extra = description["key"], description["checksum"], description["extra"]
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (ValueError, KeyError, TypeError) as error:
        return f"damaged (its description cannot be read: {error!r})"
    if checksum != _checksum(content):
        return "damaged (the checksum does not fit)"
    if found != key:
        different = sorted(k for k in {*found, *key} if found.get(k) != key.get(k))
        return f"stale (other {', '.join(different)})"
    return load(content), extra


def load_or_build(name: str | Path, key: Mapping[str, Any], build: Callable[[], Entry]) -> Entry:
    """Load an entry, or build and keep it.

    Several processes may ask at once: one builds, the others wait and load. The files are replaced as a whole, so
    that a crash leaves the old entry or none.

    Args:
        name: Path of the entry without suffix, such as ``results/cache/brick``.
        key: What the tensors depend on; JSON types only.
        build: Called without arguments where no entry with this key is usable. Returns the tensors by name and a
            dictionary of JSON types that is kept beside them.

    Returns:
        The tensors by name and the dictionary, from the file or from ``build``.

    Raises:
        WriteError: If the entry cannot be written.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = load_or_build(Path(folder, "a"), {"seed": 0}, lambda: ({"x": torch.ones(2)}, {"n": 2}))
        ...     load_or_build(Path(folder, "a"), {"seed": 0}, lambda: 1 / 0)
        ({'x': tensor([1., 1.])}, {'n': 2})
    """
    from safetensors.torch import save

    name = Path(name)
    key = json.loads(json.dumps(key))  # tuples become lists, as they are in the file
    entry = _read(name, key)
    if not isinstance(entry, str):
        return entry
    with explain_write_errors(name):
        name.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(name.with_name(name.name + ".lock"))
        lock.acquire()
    try:
        entry = _read(name, key)  # another process may have built it while this one waited
        if not isinstance(entry, str):
            return entry
        logger.info("The cached %s is %s: building it", name, entry)
        tensors, extra = build()
        content = save({k: v.contiguous() for k, v in tensors.items()})
        description = {"key": key, "checksum": _checksum(content), "extra": extra}
        with atomic_file(name.with_name(name.name + ".safetensors")) as temporary:
            temporary.write_bytes(content)
        with atomic_file(name.with_name(name.name + ".json")) as temporary:
            temporary.write_text(json.dumps(description, indent=1), encoding="utf-8")
    finally:
        lock.release()
    return tensors, extra
