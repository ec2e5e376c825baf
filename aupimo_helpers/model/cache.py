"""Tensors kept on disk under a key, built once by whichever process comes first.

An entry is two files: ``NAME.safetensors`` with the tensors, and ``NAME.json`` with the key they were built from,
whatever else describes them, and one checksum of all three. An entry is used only if its key equals the wanted one
and the checksum fits; anything else (another version, changed data, a truncated file) is rebuilt. What is checked is
what is returned: tensors are mapped from the file, not read, so that a large entry takes no more memory than once.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aupimo_helpers.errors import MissingError
from aupimo_helpers.files import atomic_file, locked

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

Entry = tuple[dict[str, "Tensor"], dict[str, Any]]


def fingerprint(folder: str | Path, subfolders: tuple[str, ...] = ("train", "test", "ground_truth")) -> str:
    """Hash the names and the bytes of all files of a data set; folders that are missing are skipped."""
    folder = Path(folder)
    files = sorted(
        (path.relative_to(folder).as_posix(), path)
        for subfolder in subfolders
        for path in (folder / subfolder).rglob("*")
        if path.is_file()
    )
    if not files:
        raise MissingError(
            f"No images in {folder}: expected the folders {', '.join(subfolders)} of MVTec AD's layout in it."
        )
    digest = hashlib.blake2b(digest_size=16)
    for name, path in files:
        content = path.read_bytes()
        # The length separates the name from the content and this file from the next.
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _checksum(key: Mapping[str, Any], extra: Mapping[str, Any], tensors: Mapping[str, "Tensor"]) -> str:
    import torch

    shapes = [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in sorted(tensors.items())]
    digest = hashlib.blake2b(json.dumps([key, extra, shapes], sort_keys=True).encode(), digest_size=16)
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(name: Path, key: Mapping[str, Any]) -> Entry | str:
    """Give the entry, or why it cannot be used."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        description = json.loads(name.with_name(name.name + ".json").read_text(encoding="utf-8"))
        found, checksum, extra = description["key"], description["checksum"], description["extra"]
        if found != key:
            different = sorted(k for k in {*found, *key} if found.get(k) != key.get(k))
            return f"stale (other {', '.join(different)})"
        tensors = load_file(name.with_name(name.name + ".safetensors"))
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, SafetensorError) as error:
        return f"damaged (it cannot be read: {error!r})"
    if checksum != _checksum(found, extra, tensors):
        return "damaged (the checksum does not fit)"
    return tensors, extra


def load(name: str | Path, key: Mapping[str, Any]) -> Entry | None:
    """Load the entry ``NAME`` with this key; None where it would have to be built."""
    entry = _read(Path(name), json.loads(json.dumps(key)))
    return None if isinstance(entry, str) else entry


def load_or_build(name: str | Path, key: Mapping[str, Any], build: Callable[[], Entry]) -> Entry:
    """Load the entry ``NAME`` with this key (JSON types only), or build and keep it, in one process at a time."""
    from safetensors.torch import save_file

    name = Path(name)
    key = json.loads(json.dumps(key))  # tuples become lists, as they are in the file
    entry = _read(name, key)
    if not isinstance(entry, str):
        return entry
    with locked(name):
        entry = _read(name, key)  # another process may have built it while this one waited
        if not isinstance(entry, str):
            return entry
        logger.info("The cached %s is %s: building it", name, entry)
        tensors, extra = build()
        description = {"key": key, "checksum": _checksum(key, extra, tensors), "extra": extra}
        with atomic_file(name.with_name(name.name + ".safetensors")) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
            temporary.chmod(0o644)  # safetensors lets nobody else read it, but a class shares its cache
        with atomic_file(name.with_name(name.name + ".json")) as temporary:
            temporary.write_text(json.dumps(description, indent=1), encoding="utf-8")
    return tensors, extra
