"""Pictures and masks as they come from cameras and drawing tools, decoded to 8 bits and to two values."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from aupimo_helpers.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# Camera formats that Pillow does not read by itself: passing over them in silence would lose pictures.
FOREIGN_SUFFIXES = (".heic", ".heif", ".avif", ".gif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".raw")

_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_BITS = (8, 10, 12, 14, 16)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open and decode an image, or say in one sentence why that is impossible."""
    try:
        with Image.open(path) as image:
            # A phone's MPO file is a JPEG with a second, smaller picture behind the one that everybody sees.
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                msg = f"{path} holds {image.n_frames} pages: save the one that counts as a file of its own."
                raise InputError(msg)
            image.load()
            yield image
    except UnidentifiedImageError as error:
        msg = f"{path} is not an image that can be read: open it in a viewer, and save it again as PNG or remove it."
        raise InputError(msg) from error
    except Image.DecompressionBombError as error:
        msg = f"{path} has more pixels than Pillow agrees to decode: cut it into smaller pictures."
        raise InputError(msg) from error
    except (OSError, SyntaxError) as error:
        reason = str(error).rstrip(".")
        msg = f"{path} cannot be read as an image ({reason}): copy it again from its source, or remove it."
        raise InputError(msg) from error


def deepest_value(path: Path) -> int:
    """Find the largest value of an image with more than 8 bits per pixel.

    Args:
        path: An image file.

    Returns:
        The largest pixel value of a grey image with up to 16 bits; 0 for every 8-bit image (its pixels are not
        decoded).

    Raises:
        InputError: If the file is not a readable image, or its values lie outside 0 ... 65535.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "deep.png")
        ...     Image.fromarray(np.array([[0, 4000]], dtype=np.uint16)).save(path)
        ...     deepest_value(path)
        4000
    """
    try:
        with Image.open(path) as image:
            deep = image.mode in _DEEP_MODES
    except (OSError, SyntaxError, Image.DecompressionBombError):
        deep = False  # `read_picture` opens it again and says what is wrong with it
    if not deep:
        return 0
    with _opened(path) as image:
        values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        msg = f"{path} has pixel values from {low} to {high}: save it with 8 or 16 bits per channel (0 to 65535)."
        raise InputError(msg)
    return high


def bit_depth(largest: int) -> int:
    """Guess the depth of a camera from the largest value it wrote into 16-bit files.

    Args:
        largest: The largest pixel value of all pictures, 0 ... 65535.

    Returns:
        The smallest of 8, 10, 12, 14 and 16 bits that holds the value.

    Example:
        >>> bit_depth(4000), bit_depth(255), bit_depth(40000)
        (12, 8, 16)
    """
    return next(bits for bits in _BITS if largest < 2**bits)


def read_picture(path: str | Path, bits: int = 16) -> NDArray[np.uint8]:
    """Decode a picture as people see it: upright, 8 bits, grey or RGB.

    The rotation noted by the camera (EXIF orientation) is applied. 8-bit values stay what they are; a colour
    profile is not applied. Grey pictures stay grey, one-bit ones become 0 and 255, palettes become RGB, a fully
    opaque alpha channel is dropped. Values of more than 8 bits are divided by ``2 ** (bits - 8)``, the same for
    every picture, so that brighter stays brighter across the data set.

    Args:
        path: A PNG, JPEG, BMP, TIFF or WebP file.
        bits: Depth of grey pictures stored with 16 bits: a 12-bit camera's pictures have ``bits=12``.

    Returns:
        Array of shape (H, W) for grey or (H, W, 3) for RGB pictures, uint8.

    Raises:
        InputError: If the file cannot be read, has several pages, transparent pixels, or another colour mode
            (CMYK, floating point ...).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "deep.png")
        ...     Image.fromarray(np.array([[0, 4095]], dtype=np.uint16)).save(path)
        ...     read_picture(path, bits=12)
        array([[  0, 255]], dtype=uint8)
    """
    path = Path(path)
    with _opened(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        if image.mode in ("RGBA", "LA"):
            image = _without_alpha(image, path)
        if image.mode in _DEEP_MODES:
            return (np.asarray(image).astype(np.uint32) >> (bits - 8)).astype(np.uint8)
        if image.mode == "1":
            image = image.convert("L")
        if image.mode not in ("L", "RGB"):
            msg = f"{path} has the colour mode {image.mode}: save it as grey or RGB with 8 bits per channel."
            raise InputError(msg)
        return np.array(image)


def _without_alpha(image: Image.Image, path: Path) -> Image.Image:
    low, _ = image.getchannel("A").getextrema()
    if low != 255:
        msg = f"{path} has transparent pixels, which have no colour of their own: put it on a background and save it."
        raise InputError(msg)
    return image.convert("RGB" if image.mode == "RGBA" else "L")


def read_mask(path: str | Path, threshold: float | None = None) -> NDArray[np.bool_]:
    """Decode a mask image: which pixels belong to the defect.

    Black is background. Without a threshold, one other value (1 or 255 or any) or, in a palette image, any number
    of colours (classes) is defect. Intermediate greys, as anti-aliased outlines and JPEG leave them, could be
    either, so they need a threshold.

    Args:
        path: A PNG, JPEG, BMP, TIFF or WebP file: one-bit, grey (8 or 16 bits), palette or RGB.
        threshold: Pixels with a grey value of at least this are defect, in the file's own units (0 ... 255 for
            8-bit files).

    Returns:
        Boolean array of shape (H, W), true on the defect.

    Raises:
        InputError: If the file cannot be read, has transparent pixels, or has more than two values and no
            threshold is given.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "mask.png")
        ...     Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).save(path)
        ...     read_mask(path)
        array([[False,  True]])
    """
    path = Path(path)
    with _opened(path) as opened:
        image = ImageOps.exif_transpose(opened)
        classes = image.mode == "P"
        if classes:
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        if image.mode in ("RGBA", "LA"):
            image = _without_alpha(image, path)
        if threshold is not None:
            grey = image.convert("L") if image.mode in ("RGB", "1") else image
            return np.asarray(grey) >= threshold
        values = np.asarray(image)
    pixels = values.reshape(*values.shape[:2], -1)
    defect: NDArray[np.bool_] = (pixels != 0).any(axis=-1)
    # Counted on the defect only: one value is a two-valued mask.
    colours = np.unique(pixels[defect], axis=0) if not classes else np.empty((0, 1))
    if len(colours) > 1:
        msg = (
            f"{path} has {len(colours) + (not defect.all())} different values, and a mask has two (defect, "
            f"background): save it without smooth edges as PNG, or set a mask threshold such as 128."
        )
        raise InputError(msg)
    return defect
