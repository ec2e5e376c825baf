"""What AUPIMO's functions accept, and one clear sentence about anything else.

The types of the errors are those of anomalib: ``ValueError`` (here its subclass ``InputError``) for a wrong value or
shape, ``TypeError`` for a wrong dtype, ``RuntimeError`` for a computation that has nothing to compute from.

PyTorch is not imported here: whoever passes a tensor has done that already, and who has files only needs none.
"""

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from aupimo_helpers.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

ArrayLike: TypeAlias = "Tensor | np.ndarray"
Images: TypeAlias = "ArrayLike | Sequence[ArrayLike]"

# Pixels that are looked at in one go: small enough to stay in a processor's cache and in little memory, large enough
# to hide Python's overhead.
PIXELS_AT_ONCE = 2**19
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def check_rate(rate: float, what: str) -> float:
    """Check one false positive rate: a number in (0, 1]."""
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.integer | np.floating):
        raise TypeError(f"Expected {what} to be a number, but got {rate!r}.")
    if not 0 < rate <= 1:
        raise InputError(f"Expected {what} to lie in (0, 1], but got {rate}.")
    if rate < 1e-15:
        raise InputError(f"Expected {what} to be at least 1e-15, but got {rate}, which is too small to be measured.")
    return float(rate)


def check_bounds(bounds: Sequence[float], what: str = "fpr_bounds") -> tuple[float, float]:
    """Check the bounds of an interval of false positive rates: ``0 < lower < upper <= 1``."""
    if not isinstance(bounds, tuple | list):
        raise TypeError(f"Expected {what} to be a tuple (lower, upper), but got {bounds!r}.")
    if len(bounds) != 2:
        raise InputError(f"Expected {what} to be two numbers (lower, upper), but got {len(bounds)}: {bounds!r}.")
    lower = check_rate(bounds[0], f"the lower one of {what}")
    upper = check_rate(bounds[1], f"the upper one of {what}")
    if lower >= upper:
        raise InputError(f"Expected {what} to be in the order (lower, upper), but got ({lower}, {upper}).")
    return lower, upper


def check_integer(number: int, what: str, at_least: int) -> int:
    """Check an integer that has a smallest value."""
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise TypeError(f"Expected {what} to be an integer, but got {number!r}.")
    if number < at_least:
        raise InputError(f"Expected {what} to be at least {at_least}, but got {number}.")
    return int(number)


def check_enough_normal_pixels(pixels: int, lower: float) -> None:
    """Refuse a lower FPR bound that is finer than one false positive pixel."""
    needed = math.ceil(1 / lower * (1 - 1e-12))
    if pixels < needed:
        raise InputError(
            f"The normal images have {pixels} pixels in all, but the lower FPR bound {lower:g} needs at least "
            f"{needed} (one pixel must not weigh more than the bound); add normal images or raise the bounds."
        )


def check_both_classes(num_normal: int, num_anomalous: int) -> None:
    """Refuse a set that lacks normal or anomalous images."""
    if not num_normal:
        raise InputError(
            "Expected at least one normal image (its mask all zero), "
            f"but all {num_anomalous} images have anomalous pixels."
        )
    if not num_anomalous:
        raise InputError(
            "Expected at least one anomalous image (its mask not all zero), "
            f"but the masks of all {num_normal} images are empty."
        )


@dataclass(frozen=True)
class Stack:
    """Images of one size: maps (n, H, W), float16, float32 or float64, row by row.

    Masks and maps of anomalous images are checked. Those of normal ones are when they are first read, by
    `exact.NormalScores.pieces`: so they pass through the processor's cache once.
    """

    maps: np.ndarray
    mask_pixels: np.ndarray  # of each image, 0 for a normal one
    mask_scores: np.ndarray  # of these pixels, image after image, float32 or float64, in an array of their own
    dtype: str  # of the maps as they came: bfloat16 has become float32
    first: int  # position of the first image in the whole set
    name: str | None  # what a message calls a single image

    @property
    def pixels(self) -> int:
        """Number of pixels of one image."""
        return self.maps.shape[1] * self.maps.shape[2]


def _as_array(values: object, what: str) -> tuple[np.ndarray, str]:
    """Give a tensor or an array as an array, and its dtype's name; a copy only where it must be."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        tensor = values.detach().cpu()
        if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
            tensor = tensor.float()  # bfloat16, which NumPy does not know
        return tensor.numpy(), str(values.dtype)
    if not isinstance(values, np.ndarray):
        raise TypeError(f"Expected {what} to be a tensor or a NumPy array, but got {type(values).__name__}.")
    if values.dtype.kind not in "biufc" or values.dtype.itemsize > 8:
        raise TypeError(f"Expected {what} to have a floating point, integer or bool dtype, but got {values.dtype}.")
    return values, values.dtype.newbyteorder("=").name


def make_stack(maps: object, masks: object, first: int = 0, name: str | None = None) -> Stack:
    """Check images of one size; messages count them from ``first``, or call a single image by its ``name``."""
    (scores, dtype), (truth, mask_dtype) = _as_array(maps, "anomaly maps"), _as_array(masks, "masks")
    if dtype.removeprefix("torch.") not in _FLOATS:
        raise TypeError(
            "Expected anomaly maps to be floating point (float16, bfloat16, float32 or float64), "
            f"but got dtype {dtype}."
        )
    scores, truth = (a[:, 0] if a.ndim == 4 and a.shape[1] == 1 else a for a in (scores, truth))
    for what, images in (("anomaly maps", scores), ("masks", truth)):
        if images.ndim != 3:
            raise InputError(
                f"Expected {what} to have 3 dimensions (N, H, W), but got {images.ndim}: shape {images.shape}."
            )
    if scores.shape != truth.shape:
        where = f" at {name or f'image {first}'}" if len(scores) == len(truth) == 1 else ""
        raise InputError(
            "Expected anomaly maps and masks to have the same shape, "
            f"but got {scores.shape} and {truth.shape}{where}."
        )
    if scores.shape[1] * scores.shape[2] == 0:
        raise InputError(f"Expected images with pixels, but {name or f'image {first}'} has shape {scores.shape[1:]}.")
    if truth.dtype.kind not in "biu":
        raise TypeError(f"Expected masks to be bool or integers, but got dtype {mask_dtype}.")
    # in the machine's byte order and row by row: a copy of the unusual ones only
    scores = np.ascontiguousarray(scores, scores.dtype.newbyteorder("="))
    truth = np.ascontiguousarray(truth, truth.dtype.newbyteorder("="))
    of_masks, counts = [wide(scores[:0].ravel())], [0] * len(scores)
    step = max(1, 2 * PIXELS_AT_ONCE // (scores.shape[1] * scores.shape[2]))
    for start in range(0, len(scores), step):  # all that looks at all pixels, while they are in the processor's cache
        some = slice(start, start + step)
        here, counts[some] = _of_masks(scores[some], _two_valued(truth[some], first + start, name))
        of_masks.append(here)
        for begin, end, normal in runs(counts[some]):
            if not normal:
                images = scores[start + begin : start + end]
                check_finite(wide(images.reshape(-1)), images[0].size, (first + start + begin) * images[0].size, name)
    mask_pixels = np.array(counts, dtype=np.int64)
    return Stack(scores, mask_pixels, np.concatenate(of_masks), dtype.removeprefix("torch."), first, name)


def runs(mask_pixels: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """Go through neighbours of one class, by the pixels of their masks: start, end, and whether they are normal."""
    start = 0
    for normal, images in itertools.groupby(mask_pixels, key=lambda pixels: not pixels):
        end = start + len(list(images))
        yield start, end, normal
        start = end


def wide(scores: np.ndarray) -> np.ndarray:
    """Make float16 to float32, which changes no comparison."""
    return scores.astype(np.float32) if scores.dtype == np.float16 else scores


def _of_masks(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Select the scores of the masks' pixels, and count those of each image."""
    if not masks.any():
        return wide(maps[:0].reshape(-1)), [0] * len(masks)
    # few groups of eight pixels have one of a mask: only those are looked at one by one
    together = 8 if masks[0].size % 8 == 0 else 1
    touched, near = marked(masks.reshape(-1), together)
    borders = touched.searchsorted(np.arange(len(masks) + 1) * (masks[0].size // together)) * together
    counts = [int(np.count_nonzero(near[start:end])) for start, end in itertools.pairwise(borders.tolist())]
    return wide(take_groups(maps.reshape(-1), touched, together)[near]), counts


def marked(flags: np.ndarray, together: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Find the groups of so many flags (1 or 8) in which one is True: their positions, and their flags."""
    groups = flags.view(np.uint64 if together == 8 else np.uint8)
    touched = np.flatnonzero(groups != 0)
    return touched, groups.take(touched).view(bool)


def take_groups(scores: np.ndarray, positions: np.ndarray, together: int = 8) -> np.ndarray:
    """Take groups of scores, each as one piece of memory: the fastest way that NumPy has."""
    return scores.view(f"V{together * scores.itemsize}").take(positions).view(scores.dtype)


def check_finite(scores: np.ndarray, pixels: int, start: int, name: str | None) -> None:
    """Refuse NaN and infinity in float32 or float64 scores: those from pixel ``start`` on of a set of images."""
    # Either makes the sum NaN or infinite: one fast pass. The sum of huge finite scores can overflow too, therefore
    # the second look. PyTorch's threads are no faster, they wait for each other.
    if math.isfinite(np.einsum("i->", scores)):
        return
    infinite = np.flatnonzero(~np.isfinite(scores))
    if len(infinite):
        image = name or f"image {(start + infinite[0]) // pixels}"
        raise InputError(f"Expected finite anomaly scores, but the map of {image} holds {scores[infinite[0]]}.")


def _two_valued(masks: np.ndarray, first: int, name: str | None) -> np.ndarray:
    """Turn masks into bool, after checking that they hold 0 and 1 only."""
    if masks.dtype == bool:
        return masks
    for position, mask in enumerate(masks, start=first):
        if mask.max() > 1 or mask.min() < 0:
            raise InputError(
                f"Expected masks to hold 0 and 1 only, but the mask of {name or f'image {position}'} "
                f"holds {mask[(mask != 0) & (mask != 1)][0]}."
            )
    return masks.view(bool) if masks.itemsize == 1 else masks != 0


def make_stacks(anomaly_maps: Images, masks: Images) -> list[Stack]:
    """Check a whole set: one stack for tensors or arrays (N, H, W), one per image for sequences of (H, W)."""
    if not any(isinstance(images, list | tuple) for images in (anomaly_maps, masks)):
        return [make_stack(anomaly_maps, masks)]
    if len(anomaly_maps) != len(masks):
        raise InputError(
            f"Expected as many masks as anomaly maps, but got {len(anomaly_maps)} maps and {len(masks)} masks."
        )
    stacks = []
    for index, pair in enumerate(zip(anomaly_maps, masks, strict=True)):
        arrays = []
        for what, values in zip(("anomaly map", "mask"), pair, strict=True):
            array, _ = _as_array(values, f"the {what} of image {index}")
            if array.ndim != 2:
                raise InputError(
                    f"Expected the {what} of image {index} to have 2 dimensions (H, W), because a sequence was "
                    f"given, but got shape {array.shape}."
                )
            arrays.append(array[None])
        stacks.append(make_stack(arrays[0], arrays[1], first=index))
    return stacks
