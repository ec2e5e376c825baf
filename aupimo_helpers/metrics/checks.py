"""What AUPIMO's functions accept, and one clear sentence about anything else.

The types of the errors are those of anomalib: ``ValueError`` (here its subclass ``InputError``) for a wrong value or
shape, ``TypeError`` for a wrong dtype, ``RuntimeError`` for a computation that has nothing to compute from.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aupimo_helpers.errors import AupimoError, InputError

ArrayLike = Tensor | np.ndarray
Images = ArrayLike | Sequence[ArrayLike]
Namer = Callable[[int], str]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class UncertifiedError(AupimoError, RuntimeError):
    """A score that was not kept could have changed the answer, so there is no answer."""


def image_name(index: int) -> str:
    """Name an image by its position, for messages.

    Args:
        index: Position of the image, counted from 0.

    Returns:
        The words that name it.

    Example:
        >>> image_name(3)
        'image 3'
    """
    return f"image {index}"


def check_rate(rate: float, what: str) -> float:
    """Check one false positive rate.

    Args:
        rate: A number in (0, 1].
        what: What it is, for the message.

    Returns:
        The rate as a Python float.

    Raises:
        TypeError: If it is not a number.
        InputError: If it is outside (0, 1] or NaN.

    Example:
        >>> check_rate(1e-4, "fpr")
        0.0001
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.integer | np.floating):
        msg = f"Expected {what} to be a number, but got {rate!r}."
        raise TypeError(msg)
    if not 0 < rate <= 1:
        msg = f"Expected {what} to lie in (0, 1], but got {rate}."
        raise InputError(msg)
    return float(rate)


def check_bounds(bounds: Sequence[float], what: str = "fpr_bounds") -> tuple[float, float]:
    """Check the bounds of an interval of false positive rates.

    Args:
        bounds: ``(lower, upper)`` with ``0 < lower < upper <= 1``.
        what: What they are, for the message.

    Returns:
        The bounds as two Python floats.

    Raises:
        TypeError: If this is not a tuple or list of numbers.
        InputError: If there are not two, or they are out of order or out of (0, 1].

    Example:
        >>> check_bounds((1e-5, 1e-4))
        (1e-05, 0.0001)
    """
    if not isinstance(bounds, tuple | list):
        msg = f"Expected {what} to be a tuple (lower, upper), but got {bounds!r}."
        raise TypeError(msg)
    if len(bounds) != 2:
        msg = f"Expected {what} to be two numbers (lower, upper), but got {len(bounds)}: {bounds!r}."
        raise InputError(msg)
    lower = check_rate(bounds[0], f"the lower one of {what}")
    upper = check_rate(bounds[1], f"the upper one of {what}")
    if lower >= upper:
        msg = f"Expected {what} to be in the order (lower, upper), but got ({lower}, {upper})."
        raise InputError(msg)
    return lower, upper


def check_enough_normal_pixels(pixels: int, lower: float) -> None:
    """Refuse a lower FPR bound that is finer than one false positive pixel.

    Args:
        pixels: Number of pixels in all normal images.
        lower: The lower bound of the FPR.

    Raises:
        InputError: If there are fewer than 1 / ``lower`` normal pixels.

    Example:
        >>> check_enough_normal_pixels(50_000, 1e-5)
        Traceback (most recent call last):
        aupimo_helpers.errors.InputError: The normal images have 50000 pixels in all, but the lower FPR bound ...
    """
    needed = math.ceil(1 / lower * (1 - 1e-12))
    if pixels < needed:
        msg = (
            f"The normal images have {pixels} pixels in all, but the lower FPR bound {lower:g} needs at least "
            f"{needed} (one pixel must not weigh more than the bound); add normal images or raise the bounds."
        )
        raise InputError(msg)


@dataclass(frozen=True)
class Stack:
    """Images of one size, checked.

    Attributes:
        maps: Scores, shape (n, H, W), floating point.
        masks: True where anomalous, shape (n, H, W), bool, on the same device.
        is_anomalous: Whether the mask has a True pixel, per image, shape (n,), bool.
        first: Position of the first image in the whole set.
        name: Names an image of the whole set, for messages.
    """

    maps: Tensor
    masks: Tensor
    is_anomalous: np.ndarray
    first: int
    name: Namer

    @property
    def image_pixels(self) -> int:
        """Number of pixels of one image."""
        return int(self.maps.shape[1] * self.maps.shape[2])


def as_tensor(array: object, what: str) -> Tensor:
    """View a tensor or an array as a tensor, without a copy where that is possible.

    Args:
        array: A tensor, or a NumPy array of any byte order and strides, read-only ones (memory maps) included.
        what: What it is, for the message.

    Returns:
        A tensor that must not be written to: it may share the array's memory.

    Raises:
        TypeError: If this is neither a tensor nor an array of numbers that PyTorch knows.

    Example:
        >>> as_tensor(np.ones(2), "maps")
        tensor([1., 1.], dtype=torch.float64)
    """
    if isinstance(array, Tensor):
        return array.detach()
    if not isinstance(array, np.ndarray):
        msg = f"Expected {what} to be a tensor or a NumPy array, but got {type(array).__name__}."
        raise TypeError(msg)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    try:
        with warnings.catch_warnings():
            # PyTorch warns that a read-only array could be written to through the tensor; nothing here does
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(array)
    except TypeError as error:
        msg = f"Expected {what} to have a floating point, integer or bool dtype, but got {array.dtype}."
        raise TypeError(msg) from error


def _checked_maps(maps: Tensor) -> Tensor:
    if maps.dtype not in _FLOATS:
        msg = (
            "Expected anomaly maps to be floating point (float16, bfloat16, float32 or float64), "
            f"but got dtype {maps.dtype}."
        )
        raise TypeError(msg)
    return maps


def _checked_masks(masks: Tensor, first: int, name: Namer) -> Tensor:
    """Turn masks into bool, after checking that they hold 0 and 1 only."""
    if masks.dtype == torch.bool:
        return masks
    if masks.dtype.is_floating_point or masks.dtype.is_complex:
        msg = f"Expected masks to be bool or integers, but got dtype {masks.dtype}."
        raise TypeError(msg)
    for position, mask in enumerate(masks):
        # not every PyTorch operation knows the unsigned types that are wider than a byte; int64 holds what they hold
        values = mask if mask.dtype == torch.uint8 else mask.to(torch.int64)
        wrong = (values != 0) & (values != 1)
        if bool(wrong.any()):
            msg = (
                f"Expected masks to hold 0 and 1 only, but the mask of {name(first + position)} "
                f"holds {int(values[wrong][0])}."
            )
            raise InputError(msg)
    if masks.dtype in (torch.uint8, torch.int8):
        return masks.view(torch.bool)
    return masks.to(torch.int64) != 0 if masks.dtype != torch.int64 else masks != 0


def any_true(rows: np.ndarray) -> np.ndarray:
    """Tell for each row whether it has a True value.

    Args:
        rows: Shape (n, m), bool.

    Returns:
        Shape (n,), bool.

    Example:
        >>> any_true(np.eye(3, 8, k=6, dtype=bool))
        array([ True,  True, False])
    """
    if rows.flags.c_contiguous and rows.shape[1] % 8 == 0:
        rows = rows.view(np.uint64)  # eight values at a time
    return np.asarray(rows.max(axis=1) != 0)


def make_stack(maps: Tensor, masks: Tensor, first: int = 0, name: Namer = image_name) -> Stack:
    """Check images of one size.

    Args:
        maps: Scores, shape (n, H, W).
        masks: 0 / 1 or bool, same shape.
        first: Position of the first image in the whole set.
        name: Names an image of the whole set, for messages.

    Returns:
        The checked images.

    Raises:
        TypeError: If the maps are not floating point or the masks are.
        InputError: If the shapes differ, are not (n, H, W), have no pixels, a score is NaN or infinite, or a mask
            holds more than 0 and 1.

    Example:
        >>> make_stack(torch.zeros(2, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool)).is_anomalous
        array([ True,  True])
    """
    maps, masks = _checked_maps(maps), masks
    for what, images in (("anomaly maps", maps), ("masks", masks)):
        if images.ndim != 3:
            msg = (
                f"Expected {what} to have 3 dimensions (N, H, W), but got {images.ndim}: shape {tuple(images.shape)}."
            )
            raise InputError(msg)
    if maps.shape != masks.shape:
        where = f" at {name(first)}" if len(maps) == len(masks) == 1 else ""
        msg = (
            "Expected anomaly maps and masks to have the same shape, "
            f"but got {tuple(maps.shape)} and {tuple(masks.shape)}{where}."
        )
        raise InputError(msg)
    if maps.shape[1] * maps.shape[2] == 0:
        msg = f"Expected images with pixels, but {name(first)} has shape {tuple(maps.shape[1:])}."
        raise InputError(msg)
    check_finite(maps, first, name)
    masks = _checked_masks(masks, first, name)
    if masks.device != maps.device:
        masks = masks.to(maps.device)
    if not len(masks):
        is_anomalous = np.zeros(0, dtype=bool)
    elif masks.device.type == "cpu":
        is_anomalous = any_true(masks.flatten(1).numpy())
    else:
        is_anomalous = masks.flatten(1).any(dim=1).cpu().numpy()
    return Stack(maps, masks, is_anomalous, first, name)


def make_stacks(anomaly_maps: Images, masks: Images) -> list[Stack]:
    """Check a whole set of images, of one size or of several.

    Args:
        anomaly_maps: Scores, a tensor or array (N, H, W), or a sequence of (H, W) of different sizes.
        masks: 0 / 1 or bool, in the same form.

    Returns:
        The images: one stack for a tensor or array, else one per image.

    Raises:
        TypeError: If a dtype is wrong, or one is a sequence and the other is not.
        InputError: If a shape or a mask is wrong.

    Example:
        >>> shapes = (2, 2), (3, 3)
        >>> stacks = make_stacks([np.zeros(shape) for shape in shapes], [np.ones(shape, bool) for shape in shapes])
        >>> [stack.image_pixels for stack in stacks]
        [4, 9]
    """
    sequences = [isinstance(images, list | tuple) for images in (anomaly_maps, masks)]
    if not any(sequences):
        return [make_stack(as_tensor(anomaly_maps, "anomaly maps"), as_tensor(masks, "masks"))]
    if len(anomaly_maps) != len(masks):
        msg = f"Expected as many masks as anomaly maps, but got {len(anomaly_maps)} maps and {len(masks)} masks."
        raise InputError(msg)
    stacks = []
    for index, (image, mask) in enumerate(zip(anomaly_maps, masks, strict=True)):
        pair = as_tensor(image, f"the anomaly map of image {index}"), as_tensor(mask, f"the mask of image {index}")
        for what, array in zip(("anomaly map", "mask"), pair, strict=True):
            if array.ndim != 2:
                msg = (
                    f"Expected the {what} of image {index} to have 2 dimensions (H, W), because a sequence was "
                    f"given, but got shape {tuple(array.shape)}."
                )
                raise InputError(msg)
        stacks.append(make_stack(pair[0][None], pair[1][None], first=index))
    return stacks


def check_both_classes(num_normal: int, num_anomalous: int) -> None:
    """Refuse a set that lacks normal or anomalous images.

    Args:
        num_normal: Number of images whose mask is empty.
        num_anomalous: Number of the others.

    Raises:
        InputError: If either is 0.

    Example:
        >>> check_both_classes(0, 3)
        Traceback (most recent call last):
        aupimo_helpers.errors.InputError: Expected at least one normal image (its mask all zero), but all 3 images ...
    """
    if not num_normal:
        msg = (
            "Expected at least one normal image (its mask all zero), "
            f"but all {num_anomalous} images have anomalous pixels."
        )
        raise InputError(msg)
    if not num_anomalous:
        msg = (
            "Expected at least one anomalous image (its mask not all zero), "
            f"but the masks of all {num_normal} images are empty."
        )
        raise InputError(msg)


def check_finite(maps: Tensor, first: int = 0, name: Namer = image_name) -> None:
    """Refuse NaN and infinite scores.

    Args:
        maps: Scores, shape (n, H, W), floating point.
        first: Position of the first image in the whole set.
        name: Names an image of the whole set, for messages.

    Raises:
        InputError: If a score is NaN or infinite.

    Example:
        >>> check_finite(torch.tensor([[[0.0, float("nan")]]]), 7)
        Traceback (most recent call last):
        aupimo_helpers.errors.InputError: Expected finite anomaly scores, but the map of image 7 holds nan.
    """
    # a NaN or an infinity anywhere makes the sum NaN or infinite: one fast pass. The sum of huge finite scores can
    # overflow too, therefore the second look. NumPy does it on one thread as fast as the memory delivers, while
    # PyTorch's threads wait for each other, for long if a core is busy with something else.
    if maps.device.type == "cpu" and maps.dtype in (torch.float32, torch.float64):
        total = np.einsum("ijk->", maps.numpy())
    else:
        total = maps.sum(dtype=torch.float64 if maps.dtype == torch.float64 else torch.float32)
    if math.isfinite(float(total)):
        return
    for position, image in enumerate(maps):
        wrong = ~torch.isfinite(image)
        if bool(wrong.any()):
            value = float(image[wrong][0])
            msg = f"Expected finite anomaly scores, but the map of {name(first + position)} holds {value}."
            raise InputError(msg)
