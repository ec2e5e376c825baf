"""Say what is wrong with a data set before a model is trained on it."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from aupimo_helpers.data.images import (
    FOREIGN_SUFFIXES,
    IMAGE_SUFFIXES,
    pair_masks,
    read_mask,
    read_picture,
    warn_of_inverted,
)
from aupimo_helpers.errors import PRINTED, InputError, MissingError, Problem, collecting
from aupimo_helpers.files import atomic_file

_OTHER_FORMATS = {*IMAGE_SUFFIXES, *FOREIGN_SUFFIXES} - {".png"}
_CONVERT = "Convert to PNG, for instance with: aupimo data import"
_LAYOUT = "The layout is train/good, test/good, test/DEFECT and ground_truth/DEFECT with NAME_mask.png"


def all_in_a_table(problems: Sequence[Problem], path: Path) -> str:
    """Write more problems than are printed to a table beside a folder, and say where, to be put behind them."""
    if len(problems) <= PRINTED:
        return ""
    table = path.with_name(f"{path.name}.problems.csv")
    with atomic_file(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        # A spreadsheet takes a name that begins with "=" or "@" for a formula.
        names = [f"./{problem.file}" if str(problem.file)[0] in "=+-@" else problem.file for problem in problems]
        rows = [(name, problem.what, problem.remedy) for name, problem in zip(names, problems, strict=True)]
        csv.writer(file).writerows([("file", "problem", "remedy"), *rows])
    return f"\nAll {len(problems)}: {table}"


def check(
    folder: str | Path, fpr_bounds: tuple[float, float] = (1e-5, 1e-4), image_size: tuple[int, int] = (256, 256)
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
    if not 1e-15 <= lower < upper <= 1:
        raise InputError(
            f"The FPR bounds must be in order and in [1e-15, 1], such as 1e-5 and 1e-4, not {lower:g} and {upper:g}."
        )
    if min(image_size) < 1:
        raise InputError(f"The image size must be positive, not {image_size[0]} x {image_size[1]}.")
    if not folder.is_dir():
        raise MissingError(
            f"There is no folder {folder}. Give the category's folder, the one that holds train and test."
        )

    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    images = [path for path in files if path.suffix in {".png", ".PNG"}]
    placed = [path for path in images if len(path.relative_to(folder).parts) == 3]
    train, test, masks = (
        [path for path in placed if path.parts[-3] == split] for split in ("train", "test", "ground_truth")
    )
    train = [path for path in train if path.parent.name == "good"]
    normal = [path for path in test if path.parent.name == "good"]
    anomalous = [path for path in test if path.parent.name != "good"]
    problems = list(_check_layout(folder, files, images))
    problems += _check_presence(folder, train, normal, anomalous)
    problems += _check_normal_pixels(folder, len(normal), lower, image_size)
    found, left, unclear = pair_masks(_named(anomalous), _named(masks))
    problems += unclear
    others = [path for path in files if path.suffix.lower() in _OTHER_FORMATS]
    others = [path for path in others if path.is_relative_to(folder / "test")]
    of_others, left, _ = pair_masks(_named(others), _named(left))
    problems += [
        Problem(mask, f"is the mask of {image}, which will be ignored", _CONVERT) for image, mask in of_others.items()
    ]
    what, remedy = "is a mask without an image in test", "Remove it, or add the image that it belongs to"
    problems += [Problem(path, what, remedy) for path in left]
    if len(anomalous) == len(found) == len(masks):
        problems += _check_order(folder, found)
    problems += _check_images(folder, train, [*normal, *anomalous], found, image_size)
    return problems


def _named(paths: list[Path]) -> list[tuple[str, Path]]:
    return [(f"{path.parent.name}/{path.stem}", path) for path in paths]


def _check_order(folder: Path, found: dict[Path, Path]) -> Iterator[Problem]:
    """Sorted by path, as anomalib pairs images and masks, ``a_mask`` comes behind ``a1_mask``."""
    for image, mask in zip(sorted(found, key=str), sorted(found.values(), key=str), strict=True):
        if found[image] != mask:
            what = f"would be taken for the mask of {image}: anomalib pairs images and masks by sorting their names"
            yield Problem(
                mask, what, f"Give each mask its image's very name, as this does: aupimo data import {folder}"
            )


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
        what = f"holds {paths[0].name}{more}, which will be ignored: only .png is read"
        yield Problem(parent, what, _CONVERT)
    root = folder.resolve()
    for path in images:
        parts = path.relative_to(folder).parts
        if len(parts) != 3 or parts[0] not in {"train", "test", "ground_truth"}:
            yield Problem(path, "is an image outside the layout and would be misread", f"Move it away. {_LAYOUT}")
        elif parts[0] == "train" and parts[1] != "good":
            yield Problem(path, "is a training image that is not in train/good", "Move it to test, or away")
        elif not path.resolve().is_relative_to(root):
            yield Problem(path, "is a link to a file outside the folder and will be ignored", "Copy the file instead")


def _check_presence(folder: Path, train: list[Path], normal: list[Path], anomalous: list[Path]) -> Iterator[Problem]:
    """The three kinds of images that must be there."""
    if not train:
        yield Problem(folder / "train" / "good", "holds no normal training image (.png)", f"Add some. {_LAYOUT}")
    if not normal:
        what = "holds no normal test image (.png), and the false positive rate is measured on these alone"
        yield Problem(
            folder / "test" / "good", what, "Move some normal images there that the model was not trained on"
        )
    if not anomalous:
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


def _check_images(
    folder: Path, train: list[Path], test: list[Path], masks: dict[Path, Path], size: tuple[int, int]
) -> list[Problem]:
    """Read every image and mask once."""
    problems: list[Problem] = []
    large: list[Path] = []
    trained: dict[bytes, Path] = {}
    for path in tqdm([*train, *test], desc="checking", unit="image", disable=None, leave=False):
        shape = None
        with collecting(problems):
            pixels = read_picture(path)
            pixels, shape = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2), pixels.shape[:2]
            problems += _check_misread(path, pixels, "RGB", folder)
            digest = hashlib.blake2b(pixels.tobytes() + str(pixels.shape).encode(), digest_size=16).digest()
            if path.is_relative_to(folder / "train"):
                trained.setdefault(digest, path)
            elif digest in trained:
                what = f"is the same image as {trained[digest]}, so the model was trained on it"
                problems.append(Problem(path, what, "Remove one of the two"))
        with collecting(problems):
            if path in masks:
                mask = read_mask(masks[path])
                large += [masks[path]] * bool(mask.mean() > 0.5)
                problems += _check_misread(masks[path], mask, "L", folder)
                problems += _check_mask(masks[path], mask, path, shape, size)
            elif path.is_relative_to(folder / "test") and path.parent.name != "good":
                wanted = folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
                problems.append(Problem(path, f"is an image with a defect but {wanted} is missing", "Draw the mask"))
    warn_of_inverted(large)
    return problems


def _check_misread(path: Path, pixels: NDArray, mode: str, folder: Path) -> Iterator[Problem]:
    """Reading only converts the stored values in anomalib: not upright, without the lower bits or alpha channel."""
    with Image.open(path) as image:
        unusual = {"exif", "transparency", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & image.info.keys()
        if image.mode in ("L", mode) and not unusual and image.size == pixels.shape[1::-1]:
            return
        stored = np.asarray(image.convert(mode))
    if not np.array_equal(stored if mode == "RGB" else stored > 0, pixels):
        what = "is stored turned, with more than 8 bits or in dark colours, and anomalib reads it as it is stored"
        yield Problem(path, what, f"Import the folder: aupimo data import {folder}")


def _check_mask(
    mask_path: Path, mask: NDArray[np.bool_], path: Path, shape: tuple[int, ...] | None, size: tuple[int, int]
) -> Iterator[Problem]:
    """Size and content of a mask."""
    if shape is not None and mask.shape != shape:
        what = f"is {mask.shape[0]} x {mask.shape[1]} pixels, its image {path} is {shape[0]} x {shape[1]}"
        yield Problem(mask_path, what, "Make the two the same size")
    if not mask.any():
        what = f"is empty (all zero), though its image {path} is among the defects"
        yield Problem(mask_path, what, "Draw the defect, or move the image to test/good and remove the mask")
        return
    # Masks are resized to the nearest pixel, as torchvision does for masks.
    rows = np.arange(size[0]) * mask.shape[0] // size[0]
    columns = np.arange(size[1]) * mask.shape[1] // size[1]
    if not mask[np.ix_(rows, columns)].any():
        what = f"vanishes when it is resized to {size[0]} x {size[1]}, so its image would count as normal"
        yield Problem(mask_path, what, "Evaluate at a larger size, or crop the images around the objects")
