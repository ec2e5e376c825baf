"""The reader of images, masks and anomaly maps, and which mask is whose: one for import, check, score and display.

**The strict rule of masks**, for import, check and score. A mask is one still picture, read as a viewer shows it:
turned as its EXIF orientation says, a palette's indexes as their colours, "white is zero" as white. Black (zero in
every channel) is normal, and one other value, whatever it is, is anomalous; in a palette all other colours
are (classes). What could mean two things is refused, and the sentence says why:

- several frames or pages: which one is the mask?
- transparent pixels: is it drawn in the colours, or in the alpha channel?
- several values besides black (smooth edges, JPEG, void labels): which are the defect? A threshold says it.
- a palette in which two indexes are black, or several colours are used and none is black: what is the background?
- values that are no numbers (NaN), colours that have no one black (CMYK, Lab ...), 16 bits per colour, and TIFFs that
  are stored turned or with more than 8 bits and "white is zero": programs disagree on these.

**The lenient mode**, for display only (`load_image`, `load_mask`): what the strict rule accepts looks the same; of
what it refuses, the first frame is shown without its alpha channel, and all that is not black belongs to the mask.

**Which mask is whose** (`pair_masks`): the mask of ``cut/000`` is ``cut/000`` or, as in MVTec AD, ``cut/000_mask``,
with any image's suffix. One image has one mask, and one mask has one image.
"""

import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from aupimo_helpers.errors import AupimoError, AupimoWarning, MissingError, Problem, ProblemError, brief

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# Pictures that Pillow does not read by itself, or not all of them: passing over them in silence would lose some.
FOREIGN_SUFFIXES = (
    *(".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".raw"),
    *(".jp2", ".j2k", ".jpx", ".jxl", ".psd", ".xcf", ".svg", ".pgm", ".ppm", ".pbm", ".pnm", ".tga", ".exr"),
)
MAP_SUFFIXES = (".npy", ".npz", ".tif", ".tiff", ".png")

_ALWAYS_THERE = 2**25  # bytes of memory

# Pascal VOC's colour of the pixels around an object that belong to nothing. Pixels of an anomalous image that are not
# anomalous count nowhere in AUPIMO, so this is the same as passing over them.
VOID = 0xE0E0C0

_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")

# Line-scan cameras take more than Pillow's 179 megapixels: what counts is the memory, see `require_memory`.
Image.MAX_IMAGE_PIXELS = None


def is_clutter(name: str) -> bool:
    """Tell by its name whether an operating system left something behind."""
    return name.startswith("._") or name in (".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini")


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    """Turn whatever fails in the block, which reads a file, into a problem of that file."""
    if not path.exists() and not path.is_symlink():
        raise MissingError(f"There is no {what} {path}: check the path.")
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no plain file")  # one might wait for a pipe, or read a device, for ever
        yield
    except (AupimoError, MemoryError):
        raise
    except Exception as error:  # Pillow, NumPy and tifffile raise all kinds of errors on damaged files
        not_one = isinstance(error, UnidentifiedImageError)
        reason = "it is not an image" if not_one else getattr(error, "strerror", None) or brief(error).rstrip(".")
        article, remedy = "an" if what == "image" else "a", "Copy it again from its source, or remove it"
        raise ProblemError.of(path, f"cannot be read as {article} {what} ({reason})", remedy) from error


def _require_possible(path: Path, pixels: int) -> None:
    """Refuse a header that promises more pixels than any compression holds, before memory is taken for them."""
    if pixels > 10_000 * (size := path.stat().st_size):
        raise ValueError(f"it promises {pixels} pixels in {size} bytes")


def require_memory(path: Path, shape: Sequence[int], per_value: int) -> None:
    """Refuse what a header promises, before it is decoded, where the memory does not suffice."""
    import psutil

    need = math.prod(shape) * per_value
    if need < _ALWAYS_THERE:  # asking takes as long as reading a small image
        return
    free = psutil.virtual_memory().available
    if need > free:
        what = f"has {' x '.join(map(str, shape))} values, for which {need / 1e9:.1f} GB of memory are needed"
        remedy = f"Close other programs ({free / 1e9:.1f} GB are free), or make it smaller"
        raise ProblemError.of(path, what, remedy)


def _open(path: str | Path, what: str, *, lenient: bool = False) -> Image.Image:
    """Open and decode an image, upright; or say why that is impossible."""
    path = Path(path)
    with _explained(path, what):
        with Image.open(path) as image:
            if image.format in ("PNG", "GIF"):
                _require_possible(path, image.width * image.height)
            require_memory(path, (image.height, image.width, len(image.getbands())), 8)
            frames, tiles = getattr(image, "n_frames", 1), str(image.tile)
            # A phone's MPO file is a JPEG with a second, smaller picture behind the one that everybody sees.
            several = frames > 1 and image.format != "MPO"
            # Pillow 13 garbles turned TIFFs that are not compressed, inverts "white is zero" only where it has 8 bits
            # or less, and keeps the upper 8 of 16 bits per colour.
            tags = image.tag_v2 if image.format == "TIFF" else {}
            inverted = tags.get(262) == 0 and image.mode not in ("1", "L")
            turned = tags.get(274, 1) != 1
            cut = what == "mask" and ";16" in tiles and image.mode not in _DEEP_MODES
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
    if several and not lenient:
        fault = f"holds {frames} frames or pages, and only one of them can count"
        raise ProblemError.of(path, fault, "Save the one that counts as a file of its own")
    if (inverted or turned or cut) and not lenient:
        kind = "in which white is zero" if inverted else "that is stored turned"
        fault = "has 16 bits for each colour" if cut else f"is a TIFF {kind}, which programs read differently"
        raise ProblemError.of(path, fault, "Save it again as a PNG with 8 bits")
    return image


def _opaque(image: Image.Image, path: Path) -> Image.Image:
    """Palettes as colours, and without an alpha channel that hides nothing."""
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        if image.mode in _DEEP_MODES or image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            what = "has transparent pixels, so it may be drawn in the colours or in the alpha channel"
            raise ProblemError.of(path, what, "Put it on a black or another plain background and save it")
        image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    return image.convert("RGB") if image.mode == "P" else image


def shown_size(path: Path, what: str = "image") -> tuple[int, int]:
    """Height and width of an image as people see it, from its header."""
    with _explained(path, what), Image.open(path) as image:
        # Pillow decodes a whole PNG to look for EXIF behind the pixels, where hardly any program writes it.
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        sideways = exif.get(274, 1) > 4 and image.format != "TIFF"
        return (image.width, image.height) if sideways else (image.height, image.width)


def deepest_value(path: Path) -> int:
    """The largest value of a grey image with more than 8 bits; 0 for every other image, which is not decoded."""
    with _explained(path, "image"), Image.open(path) as image:
        if image.mode not in _DEEP_MODES:
            return 0
    values = np.asarray(_open(path, "image"))
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        what = f"has pixel values from {low} to {high}"
        raise ProblemError.of(path, what, "Save it with 8 or 16 bits per channel (0 to 65535)")
    return high


def bit_depth(largest: int) -> int:
    """The smallest usual depth of a camera that holds the largest value found."""
    return next(bits for bits in (8, 10, 12, 14, 16) if largest < 2**bits)


def read_picture(path: str | Path, bits: int = 16) -> NDArray[np.uint8]:
    """Decode a picture as people see it: upright, (H, W) grey or (H, W, 3) RGB, uint8, without colour profiles."""
    path = Path(path)
    image = _opaque(_open(path, "image"), path)
    if image.mode in _DEEP_MODES:  # by the same factor in every picture: brighter stays brighter across the data set
        return (np.asarray(image).astype(np.uint32) >> (bits - 8)).astype(np.uint8)
    if image.mode == "1":
        image = image.convert("L")
    _require_mode(image, path, "L", "RGB")
    return np.array(image)


def _require_mode(image: Image.Image, path: Path, *modes: str) -> None:
    if image.mode not in modes:
        remedy = "Save it as grey or RGB with 8 bits per channel"
        raise ProblemError.of(path, f"has the colour mode {image.mode}", remedy)


def _values(image: Image.Image) -> NDArray:
    """One number for each pixel, zero where it is black; colours as 0xRRGGBB."""
    if image.mode not in ("1", "L", "F", *_DEEP_MODES):
        image = image.convert("RGB")
    values = np.asarray(image)
    return values if values.ndim == 2 else values.astype(np.int32) @ np.array([65536, 256, 1], dtype=np.int32)


def class_colours(path: Path) -> list[int]:
    """The different values, colours as 0xRRGGBB, of a mask of classes."""
    values = np.unique(_values(_opaque(_open(path, "mask"), path)))
    return [int(value) for value in values if value not in (0, VOID)]


def read_mask(path: str | Path, threshold: float | None = None, *, classes: bool = False) -> NDArray[np.bool_]:
    """Decode a mask by the strict rule: (H, W) bool, true where anomalous; from a threshold on, if there is one."""
    path = Path(path)
    opened = _open(path, "mask")
    image = _opaque(opened, path)
    _require_mode(image, path, "1", "L", "RGB", "F", *_DEEP_MODES)
    values = _values(image)
    if not np.isfinite(values).all():
        raise ProblemError.of(path, "holds values that are no numbers (NaN, infinite)", "Save it as 0 and 1")
    if threshold is not None:
        return np.asarray(image.convert("L") if image.mode in ("RGB", "1") else image) >= threshold
    anomalous: NDArray[np.bool_] = values != 0
    if classes:  # every value is one, all of them anomalous
        return anomalous & (values != VOID)
    others = np.unique(values[anomalous])
    if opened.mode == "P":
        others = _several_greys(np.asarray(opened), values, path)
    if len(others) > 1:
        shown = ", ".join(f"#{value:06x}" if image.mode == "RGB" else f"{value:g}" for value in np.unique(values)[:4])
        count = len(others) + (not anomalous.all())
        what = f"has {count} different values ({shown} ...), and a mask has two, 0 and one that is anomalous"
        remedy = "Save it without smooth edges as PNG, or import it with a mask threshold such as 128"
        raise ProblemError.of(path, what, remedy)
    return anomalous


def _several_greys(indexes: NDArray, values: NDArray, path: Path) -> NDArray:
    """The greys of a palette, which are smooth edges if they are several; its colours must be classes on black."""
    _, first = np.unique(indexes, return_index=True)
    colours = values.ravel()[first]
    blacks, others = (colours == 0).sum(), np.unique(colours[colours != 0])
    greys = others[others % 0x010101 == 0]
    if blacks > 1:
        what = f"uses {blacks} indexes of its palette that are black, so its colours do not show what is anomalous"
        raise ProblemError.of(path, what, "Give the anomalous index another colour, or save it as 0 and 255")
    if len(greys) < 2 and len(others) > 1 and not blacks:
        what = f"uses {len(others)} colours, none of them black, so which one is the background cannot be told"
        raise ProblemError.of(path, what, "Make the background black, or save it as 0 and 255")
    return greys


def load_image(path: str | Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read an image file as RGB for display, upright; grey and palette images are turned into RGB.

    Args:
        path: An image file.
        size: ``(height, width)`` in pixels to resize to (bilinear); ``None`` keeps the file's size.

    Returns:
        uint8 array of shape (H, W, 3).

    Raises:
        MissingError: If there is no such file.
        InputError: If the file cannot be read as an image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (40, 30), 128).save(Path(folder, "grey.png"))
        ...     load_image(Path(folder, "grey.png"), size=(15, 20)).shape
        (15, 20, 3)
    """
    image = _open(path, "image", lenient=True)
    if image.mode in _DEEP_MODES:  # Pillow would show all above 255 as white
        values = np.asarray(image).clip(0, 65535).astype(np.uint32)
        image = Image.fromarray((values >> (bit_depth(int(values.max())) - 8)).astype(np.uint8))
    image = image.convert("RGB")
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def load_mask(path: str | Path, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
    """Read a mask file for display, upright: every pixel that is not black belongs to the defect.

    Args:
        path: An image file with one image's mask.
        size: ``(height, width)`` in pixels to resize to (nearest neighbour); ``None`` keeps the file's size.

    Returns:
        bool array of shape (H, W).

    Raises:
        MissingError: If there is no such file.
        InputError: If the file cannot be read as an image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 255).save(Path(folder, "000_mask.png"))
        ...     load_mask(Path(folder, "000_mask.png")).shape
        (3, 4)
    """
    mask = _values(_open(path, "mask", lenient=True)) != 0
    if size is None:
        return mask
    return np.asarray(Image.fromarray(mask.view(np.uint8)).resize((size[1], size[0]), Image.Resampling.NEAREST)) > 0


@lru_cache(maxsize=16)
def _parsed(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Parse a header of NumPy's format, which is Python source; those of a set are alike."""
    file = io.BytesIO(header)
    older = np.lib.format.read_magic(file) == (1, 0)  # a third version is for structured dtypes only
    return (np.lib.format.read_array_header_1_0 if older else np.lib.format.read_array_header_2_0)(file)


def _npy_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype, Literal["C", "F"]]:
    """Shape, dtype and order of an array in NumPy's format, which must have exactly the bytes that these promise."""
    start = file.read(12)
    length = int.from_bytes(start[8:10], "little") - 2 if start[6:7] == b"\1" else int.from_bytes(start[8:], "little")
    shape, columns_first, dtype = _parsed(start + file.read(max(0, length)))
    if dtype.hasobject:
        raise ValueError("it holds Python objects instead of numbers")
    promised, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or promised != there:
        raise ValueError(f"its header promises {promised} bytes of an array {shape}, and it has {there}")
    return shape, dtype, "F" if columns_first else "C"


def _map_in(path: Path) -> tuple[tuple[int, ...], np.dtype, Callable[[], NDArray]]:
    """Shape and dtype of a score map, from its header, and the function that reads the map itself."""
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):  # by the content, as np.load does
        with path.open("rb") as file:
            if (start := file.read(2)) not in (b"\x93N", b"PK"):
                raise ValueError(f"it begins with {start!r}, so it is neither .npy nor .npz")
            file.seek(0)
            if start != b"PK":
                shape, dtype, order = _npy_header(file, path.stat().st_size)
                offset = file.tell()
                return shape, dtype, lambda: np.fromfile(path, dtype, offset=offset).reshape(shape, order=order)
            with ZipFile(file) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                if len(names) != 1:
                    raise ValueError(f"it holds {len(names)} arrays ({', '.join(names) or 'none'}), expected one")
                (member,) = archive.infolist()
                with archive.open(member) as array:
                    shape, dtype, _ = _npy_header(array, member.file_size)
                return shape, dtype, lambda: np.load(path, allow_pickle=False)[names[0]]
    if suffix in (".tif", ".tiff"):
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            page, number = tiff.pages.first, len(tiff.pages)
            if number != 1:
                raise ValueError(f"it holds {number} pictures, expected one")
            if 0 in page.databytecounts:
                raise ValueError("a part of its pixels is missing")
            shape = tuple(map(int, page.shape))  # where it is damaged, it may hold tuples
            _require_possible(path, max(math.prod(shape), math.prod(page.tile or ())))
            return shape, np.dtype(page.dtype), lambda: tifffile.imread(path, key=0)
    with Image.open(path) as image:
        other = np.uint16 if ";16" in image.mode else np.uint8
        dtype = np.dtype({"I": np.int32, "F": np.float32}.get(image.mode[:2], other))
        bands = len(image.getbands())
        shape = (image.height, image.width, bands)[: 3 if bands > 1 else 2]
    return shape, dtype, lambda: np.asarray(Image.open(path))


def _usable_map(path: Path) -> tuple[tuple[int, int], Callable[[], NDArray]]:
    """Height and width of a score map, and what reads it; refused if it is none or larger than the memory."""
    with _explained(path, "score map"):
        shape, dtype, read = _map_in(path)
    fault, kind, width = "", dtype.kind, dtype.itemsize
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        shape = tuple(length for axis, length in enumerate(shape) if axis == 1 or length != 1)[:2]
    if len(shape) != 2:
        fault = f"has the shape {shape}, and one channel is expected, (H, W)"
    elif not ((kind == "f" and width <= 8) or (kind in "iu" and width in (2, 4))):
        fault = f"holds {dtype}, too coarse or of an unknown kind, and floats or 16-bit integers are expected"
    if fault:
        raise ProblemError.of(path, fault, "Write the scores of one image as float32, to .npy or .tiff")
    require_memory(path, shape, 24)  # the map, what is made of it, and its mask
    return (shape[0], shape[1]), read


def map_size(path: Path) -> tuple[int, int]:
    """Height and width of a score map, from its header."""
    return _usable_map(path)[0]


def read_map(path: str | Path) -> NDArray:
    """Read a score map: (H, W) floats as stored; 16-bit integers become float32, wider ones float64, both exactly."""
    size, read = _usable_map(Path(path))
    with _explained(Path(path), "score map"):
        scores = read().reshape(size)
    return scores if scores.dtype.kind == "f" else scores.astype(np.float32 if scores.itemsize == 2 else np.float64)


def warn_of_inverted(masks: Sequence[Path]) -> None:
    """Warn of masks that mark more than half of their image."""
    if masks:
        what = f"{len(masks)} mask{'s mark' if len(masks) > 1 else ' marks'} more than half of the image, as inverted"
        some = ", ".join(map(str, masks[:3])) + (f" and {len(masks) - 3} more" if len(masks) > 3 else "")
        text = f"{what} ones do: {some}. Look whether black is normal there."
        warnings.warn(text, AupimoWarning, stacklevel=3)


def pair_masks(
    images: Iterable[tuple[str, Path]], masks: Iterable[tuple[str, Path]]
) -> tuple[dict[Path, Path], list[Path], list[Problem]]:
    """Find each image's mask by name (``cut/000``): the masks found, those that are left, and the problems."""
    by_name: dict[str, list[Path]] = {}
    for name, mask in masks:
        by_name.setdefault(name, []).append(mask)
    found: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    problems = []
    for name, image in images:
        named = [*by_name.get(name, ()), *by_name.get(f"{name}_mask", ())]
        if len(named) > 1:
            problems.append(Problem(image, f"has two masks, {named[0]} and {named[1]}", "Keep one of them"))
        for mask in named:
            if mask in owners:
                what = f"could be the mask of {owners[mask]} and of {image}"
                problems.append(Problem(mask, what, "Put masks into folders of the images' folders' names"))
            owners[mask] = image
            found[image] = mask
    left = [mask for group in by_name.values() for mask in group if mask not in owners]
    return found, left, problems
