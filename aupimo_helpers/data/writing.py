"""The new data set's files: images and masks as PNG."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from aupimo_helpers.data.images import bit_depth, deepest_value, read_mask, read_picture
from aupimo_helpers.data.labelme import draw_mask, read_labelme
from aupimo_helpers.data.pictures import Picture
from aupimo_helpers.data.record import RECORD, Options
from aupimo_helpers.errors import InputError


def write_data_set(
    folder: Path,
    pictures: Sequence[Picture],
    targets: Sequence[str],
    options: Options,
    record: dict[str, Any],
) -> None:
    """Write images, masks and the record.

    Args:
        folder: An empty folder.
        pictures: The pictures, each with a split.
        targets: Their names in the folder.
        options: What the import was asked to do.
        record: From `record.make_record`; the depth of 16-bit pictures is added.

    Raises:
        InputError: If files cannot be used: the first is explained, the others are counted.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     image = Path(folder, "1.jpg")
        ...     Image.new("L", (4, 4)).save(image)
        ...     options = Options(0.3, 0, None, None, "error")
        ...     write_data_set(Path(folder), [Picture(image, "good", "train")], ["train/good/1.png"], options, {})
        ...     Path(folder, "train", "good", "1.png").is_file()
        True
    """
    largest = max((deepest_value(picture.image) for picture in pictures), default=0)
    bits = bit_depth(largest)
    failures: list[str] = []
    progress = tqdm(zip(pictures, targets, strict=True), "Writing", len(targets), unit="image", disable=None)
    for picture, target in progress:
        try:
            image = read_picture(picture.image, bits)
            mask = _mask(picture, image.shape[:2], options)
        except InputError as error:
            failures.append(str(error))
            continue
        _save(image, folder / target)
        if picture.defect != "good":
            # The mask gets its image's very name: anomalib pairs the two lists by sorting them, and "_mask" would
            # sort "a_mask" behind "a1_mask" although "a" comes before "a1".
            _save(mask.astype(np.uint8) * 255, folder / target.replace("test", "ground_truth", 1))
    if failures:
        more = f" {len(failures) - 1} more files cannot be used either." if len(failures) > 1 else ""
        raise InputError(failures[0] + more)
    text = json.dumps({**record, "bits": bits if largest else None}, indent=1, ensure_ascii=False)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def _mask(picture: Picture, size: tuple[int, ...], options: Options) -> NDArray[np.bool_]:
    """Read or draw the mask of a picture; the mask of a normal one must be empty."""
    if picture.mask is None:
        return np.zeros(size, dtype=bool)
    if picture.mask.suffix.lower() == ".json":
        annotation = read_labelme(picture.mask)
        mask_size: tuple[int, ...] = annotation.size
        if mask_size == size:
            mask = draw_mask(annotation, options.line_width)
    else:
        mask = read_mask(picture.mask, options.mask_threshold)
        mask_size = mask.shape
    if mask_size != size:
        msg = (
            f"{picture.mask} is {mask_size[1]} x {mask_size[0]} pixels and its image {picture.image.name} "
            f"{size[1]} x {size[0]}: draw the mask on the image in its own size."
        )
        raise InputError(msg)
    if picture.defect == "good" and mask.any():
        msg = (
            f"{picture.mask} marks a defect in {picture.image}, which is a normal image: move or correct one of them."
        )
        raise InputError(msg)
    if picture.defect != "good" and not mask.any():
        msg = (
            f"{picture.mask} marks no pixel, but {picture.image} is an image with a defect: draw it, or move the "
            f"image to the normal ones."
        )
        raise InputError(msg)
    return mask


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=3)
