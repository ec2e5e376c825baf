"""Say what is wrong with a data set before a model is trained on it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from aupimo_helpers.errors import InputError, MissingError

_OTHER_FORMATS = {".bmp", ".gif", ".jpeg", ".jpg", ".tif", ".tiff", ".webp"}
_LAYOUT = "The layout is train/good, test/good, test/DEFECT and ground_truth/DEFECT with NAME_mask.png"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: The file or folder it is about.
        what: What is wrong with it.
        remedy: What to do.

    Example:
        >>> print(Problem(Path("test/cut/000.png"), "has no mask", "Add ground_truth/cut/000_mask.png"))
        test/cut/000.png: has no mask. Add ground_truth/cut/000_mask.png.
    """

    file: Path
    what: str
    remedy: str

    def __str__(self) -> str:
        """The problem as a sentence or two."""
        return f"{self.file}: {self.what}. {self.remedy}."


def check(
    folder: str | Path,
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
    image_size: tuple[int, int] = (256, 256),
) -> list[Problem]:
    """Look for everything that would stop, or silently falsify, a run on a folder in MVTec AD's layout.

    Args:
        folder: The category's folder, the one that holds ``train`` and ``test``.
        fpr_bounds: Bounds of AUPIMO's integral; the lower one sets how many normal pixels are needed.
        image_size: Height and width in pixels at which images are evaluated.

    Returns:
        The problems in the order in which they are best mended; empty if there are none.

    Raises:
        MissingError: If there is no such folder.
        InputError: If the bounds are out of order or out of (0, 1], or the size is not positive.

    Example:
        >>> check("nowhere")
        Traceback (most recent call last):
        aupimo_helpers.errors.MissingError: There is no folder nowhere. Give the category's folder, ...
    """
    folder = Path(folder)
    lower, upper = fpr_bounds
    if not 0 < lower < upper <= 1:
        msg = f"The FPR bounds must be in order and in (0, 1], such as 1e-5 and 1e-4, not {lower:g} and {upper:g}."
        raise InputError(msg)
    if min(image_size) < 1:
        msg = f"The image size must be positive, not {image_size[0]} x {image_size[1]}."
        raise InputError(msg)
    if not folder.is_dir():
        msg = f"There is no folder {folder}. Give the category's folder, the one that holds train and test."
        raise MissingError(msg)

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    images = [path for path in files if path.suffix in {".png", ".PNG"}]
    train = _of(images, folder, "train")
    test = _of(images, folder, "test")
    problems = list(_check_layout(folder, files, images))
    problems += _check_presence(folder, train, test)
    normal = [path for path in test if path.parent.name == "good"]
    anomalous = [path for path in test if path.parent.name != "good"]
    problems += _check_normal_pixels(folder, len(normal), lower, image_size)
    masks = {path: _mask_of(folder, path) for path in anomalous}
    used = {mask for mask in masks.values() if mask is not None}
    for path in _of(images, folder, "ground_truth"):
        if path not in used:
            problems.append(
                Problem(path, "is a mask without an image in test", "Remove it, or add the image that it belongs to")
            )
    problems += _check_images(folder, train, normal, masks, image_size)
    return problems


def _of(images: list[Path], folder: Path, split: str) -> list[Path]:
    """Images that lie exactly at ``split/LABEL/FILE``; training images only in ``train/good``."""
    chosen = [path for path in images if len(parts := path.relative_to(folder).parts) == 3 and parts[0] == split]
    return [path for path in chosen if path.parent.name == "good"] if split == "train" else chosen


def _check_layout(folder: Path, files: list[Path], images: list[Path]) -> Iterator[Problem]:
    """Files that anomalib would read as something else, or not at all."""
    if not (folder / "train").is_dir() and (inner := sorted(folder.glob("*/train"))):
        yield Problem(folder, "holds categories, not images", f"Check one of them, such as {inner[0].parent}")
    others: dict[Path, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in _OTHER_FORMATS:
            others.setdefault(path.parent, []).append(path)
    for parent, paths in others.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        what = f"{paths[0].name}{more} will be ignored: only .png is read"
        yield Problem(parent, what, "Convert to PNG, for instance with: aupimo data import")
    root = folder.resolve()
    for path in images:
        parts = path.relative_to(folder).parts
        if len(parts) != 3 or parts[0] not in {"train", "test", "ground_truth"}:
            yield Problem(path, "is an image outside the layout and would be misread", f"Move it away. {_LAYOUT}")
        elif parts[0] == "train" and parts[1] != "good":
            yield Problem(path, "is a training image that is not in train/good", "Move it to test, or away")
        elif not path.resolve().is_relative_to(root):
            yield Problem(path, "is a link to a file outside the folder and will be ignored", "Copy the file instead")


def _check_presence(folder: Path, train: list[Path], test: list[Path]) -> Iterator[Problem]:
    """The three kinds of images that must be there."""
    if not train:
        yield Problem(folder / "train" / "good", "holds no normal training image (.png)", f"Add some. {_LAYOUT}")
    if not any(path.parent.name == "good" for path in test):
        what = "holds no normal test image (.png), and the false positive rate is measured on these alone"
        yield Problem(
            folder / "test" / "good", what, "Move some normal images there that the model was not trained on"
        )
    if all(path.parent.name == "good" for path in test):
        what = "holds no image with a defect (.png), so there is nothing to score"
        yield Problem(folder / "test", what, f"Add test/DEFECT and ground_truth/DEFECT. {_LAYOUT}")


def _check_normal_pixels(folder: Path, count: int, lower: float, size: tuple[int, int]) -> Iterator[Problem]:
    """A false positive rate of L is measurable only with at least 1 / L normal pixels."""
    per_image = size[0] * size[1]
    have, need = count * per_image, ceil(1 / lower - 1e-9)
    if 0 < have < need:
        missing = ceil(need / per_image) - count
        yield Problem(
            folder / "test" / "good",
            f"has {count} normal image{'s' * (count > 1)}, {have:,} pixels at {size[0]} x {size[1]}, but the lower "
            f"FPR bound {lower:g} needs at least {need:,}",
            f"Add {missing} normal test image{'s' * (missing > 1)}, or use a lower bound of at least {1 / have:.2g}",
        )


def _mask_of(folder: Path, image: Path) -> Path | None:
    """The mask of an anomalous test image: ``NAME_mask.png`` as in MVTec AD, or ``NAME.png``."""
    masks = folder / "ground_truth" / image.parent.name
    for name in (f"{image.stem}_mask.png", f"{image.stem}_mask.PNG", f"{image.stem}.png", f"{image.stem}.PNG"):
        if (masks / name).is_file():
            return masks / name
    return None


def _check_images(
    folder: Path, train: list[Path], normal: list[Path], masks: dict[Path, Path | None], size: tuple[int, int]
) -> list[Problem]:
    """Read every image and mask once."""
    problems: list[Problem] = []
    trained: dict[bytes, Path] = {}
    for path in tqdm([*train, *normal, *masks], desc="checking", unit="image", disable=None, leave=False):
        pixels = _read(path, "RGB", problems)
        if pixels is not None:
            digest = hashlib.blake2b(pixels.tobytes() + str(pixels.shape).encode(), digest_size=16).digest()
            if path.is_relative_to(folder / "train"):
                trained.setdefault(digest, path)
            elif digest in trained:
                what = f"is the same image as {trained[digest]}, so the model was trained on it"
                problems.append(Problem(path, what, "Remove one of the two"))
        if path not in masks:
            continue
        mask_path = masks[path]
        if mask_path is None:
            wanted = folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
            problems.append(Problem(path, "is an image with a defect but has no mask", f"Add {wanted}"))
        elif (mask := _read(mask_path, "L", problems)) is not None:
            problems += _check_mask(mask_path, mask, path, pixels, size)
    return problems


def _check_mask(
    mask_path: Path, mask: NDArray[np.uint8], path: Path, pixels: NDArray[np.uint8] | None, size: tuple[int, int]
) -> Iterator[Problem]:
    """Size and values of a mask."""
    if pixels is not None and mask.shape != pixels.shape[:2]:
        yield Problem(
            mask_path,
            f"is {mask.shape[0]} x {mask.shape[1]} pixels, its image {path} is {pixels.shape[0]} x {pixels.shape[1]}",
            "Make the two the same size",
        )
    values = np.unique(mask)
    if len(values[values > 0]) > 1:
        what = f"has {len(values)} grey values from {values[0]} to {values[-1]}, a mask has two"
        yield Problem(
            mask_path, what, "Save it with 0 for normal and 255 for defective pixels, without compression loss"
        )
    elif not mask.any():
        what = "is empty (all zero), though its image is among the defects"
        yield Problem(mask_path, what, f"Draw the defect, or move {path} to test/good and remove the mask")
    else:
        # Masks are resized to the nearest pixel, as torchvision does for masks.
        rows = np.arange(size[0]) * mask.shape[0] // size[0]
        columns = np.arange(size[1]) * mask.shape[1] // size[1]
        if not mask[np.ix_(rows, columns)].any():
            what = f"vanishes when it is resized to {size[0]} x {size[1]}, so its image would count as normal"
            yield Problem(mask_path, what, "Evaluate at a larger size, or crop the images around the objects")


def _read(path: Path, mode: str, problems: list[Problem]) -> NDArray[np.uint8] | None:
    """Read an image, or add to the problems and return ``None``."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (
            "not an image" if isinstance(error, UnidentifiedImageError) else str(error).splitlines()[0].rstrip(".")
        )
        problems.append(Problem(path, f"cannot be read ({reason})", "Replace it with a sound copy, or remove it"))
        return None
