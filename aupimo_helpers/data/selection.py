"""Which of the pictures found are used, for training or for the test, and under which names."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aupimo_helpers.data.pictures import Picture, name_some
from aupimo_helpers.errors import InputError


def with_masks(pictures: Sequence[Picture], without_mask: str) -> list[Picture]:
    """Refuse or leave out defect images without a mask.

    Args:
        pictures: All pictures.
        without_mask: ``error`` or ``skip``.

    Returns:
        The pictures that are used.

    Raises:
        InputError: If there are such images and they are not to be skipped.

    Example:
        >>> with_masks([Picture(Path("1.jpg"), "dent", "test")], "skip")
        []
    """
    lacking = [picture.image for picture in pictures if picture.defect != "good" and picture.mask is None]
    if lacking and without_mask == "error":
        msg = (
            f"{name_some(lacking)} shows a defect and has no mask, which AUPIMO needs: draw the defect (labelme "
            f"saves a JSON file beside the image), or leave such images out with --without-mask skip."
        )
        raise InputError(msg)
    return [picture for picture in pictures if picture.defect == "good" or picture.mask is not None]


def refuse_gaps(pictures: Sequence[Picture], source: Path) -> None:
    """Refuse a data set without a group of images that cannot be done without.

    Args:
        pictures: The pictures that are used.
        source: Named in the message.

    Raises:
        InputError: If there are no normal images for training or for the test, or no images with a defect.

    Example:
        >>> refuse_gaps([], Path("screws"))
        Traceback (most recent call last):
        aupimo_helpers.errors.InputError: screws has no normal images: ...
    """
    normal = [picture for picture in pictures if picture.defect == "good"]
    splits = Counter(picture.split for picture in normal)
    if not normal:
        msg = (
            f"{source} has no normal images: the model learns from them, and AUPIMO counts its false alarms on them."
        )
        raise InputError(msg)
    if not splits["train"] and splits[None] < 2:
        msg = f"{source} has too few normal images for training: at least one, and one more for the test."
        raise InputError(msg)
    if not splits["test"] and (splits[None] < 1 or len(normal) < 2):
        msg = (
            f"{source} has no normal test image, on which false alarms are counted: move some of the training images "
            f"to the test."
        )
        raise InputError(msg)
    if len(normal) == len(pictures):
        msg = f"{source} has no image with a defect and a mask: AUPIMO is the recall of defects, so add at least one."
        raise InputError(msg)


def deal(pictures: Sequence[Picture], test_share: float, seed: int) -> list[Picture]:
    """Deal the normal images that belong to no split yet; both splits get at least one image.

    Args:
        pictures: The pictures that are used; `refuse_gaps` had nothing against them.
        test_share: Share of the open normal images that goes into the test.
        seed: Seed of the draw.

    Returns:
        The same pictures in the same order, each with a split.

    Example:
        >>> dealt = deal([Picture(Path(f"{i}.jpg"), "good", None) for i in range(10)], 0.3, seed=0)
        >>> sum(picture.split == "test" for picture in dealt)
        3
    """
    open_ones = [i for i, picture in enumerate(pictures) if picture.split is None]
    splits = Counter(picture.split for picture in pictures if picture.defect == "good")
    wanted = round(test_share * len(open_ones))
    most = len(open_ones) - (0 if splits["train"] else 1)
    least = 0 if splits["test"] else 1
    chosen = set(random.Random(seed).sample(open_ones, min(max(wanted, least), most)))
    return [
        replace(picture, split="test" if i in chosen else "train") if picture.split is None else picture
        for i, picture in enumerate(pictures)
    ]


def target_names(pictures: Sequence[Picture]) -> list[str]:
    """Name the new images; two that would get the same name are an error.

    Args:
        pictures: Pictures with a split.

    Returns:
        Paths inside the new folder, such as ``test/dent/1.png``.

    Raises:
        InputError: If two pictures of one group have the same name (capital letters do not count).

    Example:
        >>> target_names([Picture(Path("1.jpg"), "dent", "test")])
        ['test/dent/1.png']
    """
    targets: dict[str, Path] = {}
    for picture in pictures:
        target = f"{picture.split}/{picture.defect}/{picture.image.stem}.png"
        # Compared without case, because some file systems do.
        if target.lower() in targets:
            msg = f"{targets[target.lower()]} and {picture.image} would both become {target}: rename one of them."
            raise InputError(msg)
        targets[target.lower()] = picture.image
    return [f"{picture.split}/{picture.defect}/{picture.image.stem}.png" for picture in pictures]
