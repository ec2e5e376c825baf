"""The new data set's files: images and masks as PNG, and a record of what it was made from and with."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from aupimo_helpers.data.images import bit_depth, deepest_value, read_mask, read_picture
from aupimo_helpers.data.pictures import Picture
from aupimo_helpers.data.problems import check
from aupimo_helpers.data.shapes import Annotation, draw_mask
from aupimo_helpers.errors import InputError, MissingError, Problem, ProblemError, collecting
from aupimo_helpers.files import is_plain, png_sizes, reading, require_whole

RECORD = "own.json"
FORMAT = 1


@dataclass(frozen=True)
class Options:
    """What, besides the files themselves, decides what is written."""

    test_share: float
    seed: int = 0
    mask_threshold: float | None = None
    line_width: float | None = None
    without_mask: str = "error"
    skip_problems: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise InputError(f"test_share is {self.test_share}: give a number between 0 and 1, such as 0.3.")
        if self.without_mask not in ("error", "skip"):
            raise InputError(f"without_mask is {self.without_mask!r}: choose 'skip' or 'error'.")
        if self.line_width is not None and not 0 < self.line_width < np.inf:
            raise InputError(f"line_width is {self.line_width}: give a width in pixels above 0.")
        if self.mask_threshold is not None and not 0 < self.mask_threshold < np.inf:
            raise InputError(f"mask_threshold is {self.mask_threshold}: give a grey value above 0, such as 128.")


@dataclass
class Import:
    """The pictures of a source that become a data set, and all that is wrong with its files so far."""

    source: Path
    layout: str
    options: Options
    pictures: Sequence[Picture]
    problems: list[Problem]
    left_out: Sequence[Picture] = ()
    record: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Note where every picture comes from, without paths of this machine."""
        base = (self.source if self.source.is_dir() else self.source.parent).resolve()
        sha256 = cache(_sha256)  # one file may annotate many images

        def relative(path: Path) -> str:
            resolved = path.resolve()
            return resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else path.name

        images = []
        for picture in tqdm(self.pictures, "Reading", unit="image", disable=None):
            with collecting(self.problems):
                entry = {"path": picture.target, "source": relative(picture.image), "sha256": sha256(picture.image)}
                if picture.mask_file is not None:
                    entry |= {"mask_source": relative(picture.mask_file), "mask_sha256": sha256(picture.mask_file)}
                images.append(entry)
        self.record = {
            "format": FORMAT,
            "source": self.source.resolve().name,
            "layout": self.layout,
            "options": asdict(self.options),
            "left_out": [relative(picture.image) for picture in self.left_out],
            "images": sorted(images, key=lambda entry: entry["path"]),
        }

    def require_same(self, target: Path) -> None:
        """Refuse to touch a folder that holds something else than what would be written now."""
        if not (target / RECORD).is_file():
            raise InputError(
                f"{target} exists already and was not made by aupimo data import: choose another name with --name."
            )
        old = read_record(target)
        require_whole(target, old["files"], f"Delete the folder {target} and import again")
        if _decisive(old) != _decisive(self.record):
            raise InputError(
                f"{target} exists already, made from other pictures or with other options: choose another name with "
                f"--name (of `aupimo run`: --category), or delete that folder first."
            )

    def write(self, folder: Path) -> list[Picture]:
        """Write images, masks and the record, or nothing and raise all problems; the pictures that were written."""
        unusable = {problem.file for problem in self.problems}
        usable, largest = [], 0
        for picture in self.pictures:
            with collecting(self.problems):
                if picture.image not in unusable:
                    largest = max(largest, deepest_value(picture.image))
                    usable.append(picture)
        bits = bit_depth(largest)
        written: dict[str, Picture] = {}
        for picture in tqdm(usable, "Writing", unit="image", disable=None):
            with collecting(self.problems):
                image = read_picture(picture.image, bits)
                mask = _mask(picture, image.shape[:2], self.options)
                if self.problems and not self.options.skip_problems:
                    continue
                _save(image, folder / picture.target)
                if picture.defect != "good":
                    _save(mask.astype(np.uint8) * 255, folder / picture.mask_target)
                written[picture.target] = picture
        if self.problems and not self.options.skip_problems:
            raise ProblemError(self.problems)
        record = self.record
        if self.options.skip_problems:
            self.problems += _drop_what_spoils(folder, written)
            images, below = record["images"], f"{self.source}/"
            record = {
                **record,
                "images": [entry for entry in images if entry["path"] in written],
                "dropped": [entry for entry in images if entry["path"] not in written],
                "skipped": [
                    {"file": str(problem.file).replace(below, ""), "what": problem.what.replace(below, "")}
                    for problem in self.problems
                ],
            }
        record = {**record, "bits": bits if largest else None, "files": png_sizes(folder)}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
        return list(written.values())


def _sha256(path: Path) -> str:
    remedy = "Copy it again from its source, or remove it"
    try:
        if not is_plain(path):
            raise ProblemError.of(path, "is not there, or no plain file of at most 4 GiB", remedy)
        from pooch import file_hash  # which imports what warns of a missing widget in a notebook

        return file_hash(str(path))
    except OSError as error:
        raise ProblemError.of(path, f"cannot be read ({error.strerror})", remedy) from error


def read_record(folder: str | Path) -> dict[str, Any]:
    """What an import noted: ``source``, ``layout``, ``options``, ``bits``, ``left_out`` and ``images``."""
    path = Path(folder) / RECORD
    if not path.is_file():
        raise MissingError(f"{folder} has no {RECORD}: it was not made by aupimo data import.")
    with reading(path, "record of an import", f"Delete the folder {folder} and import again"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT or not all(isinstance(entry["path"], str) for entry in record["images"]):
            raise InputError("it has another format")
        record["files"] = dict(record.get("files") or png_sizes(Path(folder)))  # older ones did not list them
    return record


def _decisive(record: dict[str, Any]) -> tuple[Any, ...]:
    """What two imports of the same have in common; older records lack an option, and what was skipped counts."""
    images = sorted(sorted(entry.items()) for entry in record["images"] + record.get("dropped", []))
    return record.get("layout"), record.get("left_out"), {"skip_problems": False, **record["options"]}, images


def _drop_what_spoils(folder: Path, written: dict[str, Picture]) -> list[Problem]:
    """Remove the images that a check of the new folder names, and say why."""
    dropped = []
    by_file = {folder / name: p for p in written.values() for name in (p.target, p.mask_target)}
    for problem in check(folder):
        picture = by_file.get(problem.file)
        if picture and written.pop(picture.target, None):
            dropped.append(Problem(picture.image, problem.what.replace(f"{folder}/", ""), problem.remedy))
            for path in {folder / picture.target, folder / picture.mask_target}:
                path.unlink(missing_ok=True)
                if path.parent.is_dir() and not any(path.parent.iterdir()):
                    path.parent.rmdir()
    return dropped


def _mask(picture: Picture, size: tuple[int, ...], options: Options) -> NDArray[np.bool_]:
    """Read or draw the mask of a picture; the mask of a normal one must be empty."""
    if picture.mask is None:
        return np.zeros(size, dtype=bool)
    if isinstance(picture.mask, Annotation):
        where = picture.mask.where
        mask_size: tuple[int, ...] = picture.mask.size
        mask = draw_mask(picture.mask, options.line_width) if mask_size == size else np.zeros(size, dtype=bool)
    else:
        mask = read_mask(picture.mask, options.mask_threshold, classes=picture.classes)
        where, mask_size = picture.mask, mask.shape
    if mask_size != size:
        what = f"is {mask_size[1]} x {mask_size[0]} pixels and its image {picture.image.name} {size[1]} x {size[0]}"
        remedy = "Draw the mask on the image in its own size"
    elif picture.defect == "good" and mask.any():
        what = f"marks a defect in {picture.image}, which is a normal image"
        remedy = "Move or correct one of them"
    elif picture.defect != "good" and not mask.any():
        what = f"marks no pixel, but {picture.image} is an image with a defect"
        remedy = "Draw it, or move the image to the normal ones"
    else:
        return mask
    raise ProblemError.of(where, what, remedy)


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=3)
