"""What an import was made from and with: the options, and the record that lies beside the new data set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from aupimo_helpers.data.pictures import Picture
from aupimo_helpers.errors import InputError, MissingError

RECORD = "own.json"
FORMAT = 1


@dataclass(frozen=True)
class Options:
    """What, besides the files themselves, decides what is written."""

    test_share: float
    seed: int
    mask_threshold: float | None
    line_width: float | None
    without_mask: str

    def validate(self) -> None:
        """Check the ranges.

        Raises:
            InputError: If an option has a value that means nothing.
        """
        if not 0 < self.test_share < 1:
            msg = f"test_share is {self.test_share}: give a number between 0 and 1, such as 0.3."
            raise InputError(msg)
        if self.without_mask not in ("error", "skip"):
            msg = f"without_mask is {self.without_mask!r}: choose 'skip' or 'error'."
            raise InputError(msg)
        if self.line_width is not None and self.line_width <= 0:
            msg = f"line_width is {self.line_width}: give a width in pixels above 0."
            raise InputError(msg)


def read_record(folder: str | Path) -> dict[str, Any]:
    """Read what `import_folder` noted about a data set.

    Args:
        folder: A data set's folder, such as ``datasets/own/screws``.

    Returns:
        The record: ``source`` (name of the folder or CSV file), ``layout``, ``options``, ``bits`` (depth of 16-bit
        pictures, else None), ``left_out`` (images without a mask that were skipped) and ``images``, a list with
        ``path``, ``source``, ``sha256`` and the same of the mask.

    Raises:
        MissingError: If the folder was not made by `import_folder`.
        InputError: If the record is damaged.

    Example:
        >>> read_record("datasets/nothing")
        Traceback (most recent call last):
        aupimo_helpers.errors.MissingError: ...nothing has no own.json: it was not made by aupimo data import.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        msg = f"{folder} has no {RECORD}: it was not made by aupimo data import."
        raise MissingError(msg)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT or not record["images"]:
            raise KeyError("format")
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        msg = f"{path} is damaged: delete the folder {folder} and import again."
        raise InputError(msg) from error
    return record


def _relative(path: Path, source: Path) -> str:
    base = (source if source.is_dir() else source.parent).resolve()
    resolved = path.resolve()
    return resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else path.name


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): copy it again from its source, or remove it."
        raise InputError(msg) from error
    return digest.hexdigest()


def make_record(
    source: Path,
    layout: str,
    options: Options,
    pictures: Sequence[Picture],
    targets: Sequence[str],
    left_out: Sequence[Picture] = (),
) -> dict[str, Any]:
    """Note where every picture comes from, without paths of this machine.

    Args:
        source: The folder or CSV file.
        layout: Its layout.
        options: What the import was asked to do.
        pictures: The pictures used.
        targets: Their names in the new folder.
        left_out: Pictures of the source that are not used, because they have no mask.

    Returns:
        The record as `read_record` gives it, but for ``bits``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     image = Path(folder, "1.jpg")
        ...     image.touch()
        ...     options = Options(0.3, 0, None, None, "error")
        ...     pictures = [Picture(image, "good", "train")]
        ...     record = make_record(Path(folder), "csv", options, pictures, ["train/good/1.png"])
        >>> record["images"][0]["source"]
        '1.jpg'
    """
    images = []
    progress = tqdm(zip(pictures, targets, strict=True), "Reading", len(targets), unit="image", disable=None)
    for picture, target in progress:
        entry = {
            "path": target,
            "source": _relative(picture.image, source),
            "sha256": _sha256(picture.image),
        }
        if picture.mask is not None:
            entry |= {"mask_source": _relative(picture.mask, source), "mask_sha256": _sha256(picture.mask)}
        images.append(entry)
    return {
        "format": FORMAT,
        "source": source.resolve().name,
        "layout": layout,
        "options": asdict(options),
        "left_out": [_relative(picture.image, source) for picture in left_out],
        "images": sorted(images, key=lambda entry: entry["path"]),
    }


def require_same(target: Path, record: dict[str, Any]) -> None:
    """Refuse to touch a folder that holds something else than what the record says.

    Args:
        target: A data set's folder that exists.
        record: What an import would write now.

    Raises:
        InputError: If the folder was not made by an import, is not whole, or was made from something else.

    Example:
        >>> require_same(Path(__file__).parent, {})
        Traceback (most recent call last):
        aupimo_helpers.errors.InputError: ... exists already and was not made by aupimo data import: choose ...
    """
    if not (target / RECORD).is_file():
        msg = f"{target} exists already and was not made by aupimo data import: choose another name with --name."
        raise InputError(msg)
    old = read_record(target)
    missing = [entry["path"] for entry in old["images"] if not (target / entry["path"]).is_file()]
    if missing:
        msg = f"{target / missing[0]} is missing from an earlier import: delete the folder {target} and import again."
        raise InputError(msg)
    if {key: old.get(key) for key in record if key != "source"} != {k: v for k, v in record.items() if k != "source"}:
        msg = (
            f"{target} exists already, made from other pictures or with other options: choose another name with "
            f"--name, or delete that folder first."
        )
        raise InputError(msg)
