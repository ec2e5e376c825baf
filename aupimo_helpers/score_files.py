"""AUPIMO from score maps and masks on disk, whatever framework wrote them, one image at a time.

The normal images are read first; they give the thresholds, and what is kept of them is bounded (``metrics.memory``).
Then each anomalous image is read and scored, and forgotten. So 10,000 images need hardly more memory than 100, and
no PyTorch is imported.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image
from tqdm import tqdm

from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.metrics import checks, exact
from aupimo_helpers.metrics.checks import Stack
from aupimo_helpers.metrics.memory import Memory, default_budget

MAP_SUFFIXES = (".npy", ".npz", ".tif", ".tiff", ".png")
MASK_SUFFIXES = (".png", ".bmp", ".gif", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_MASK_ENDING = "_mask"
_UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, KeyError, BadZipFile, struct.error)


@dataclass(frozen=True)
class Pair:
    """A score map and its mask.

    Attributes:
        name: The map's path relative to the folder of maps, with "/" between the parts.
        map_path: The map's file.
        mask_path: The mask's file; None for an image that counts as normal because it has none.
    """

    name: str
    map_path: Path
    mask_path: Path | None


@dataclass(frozen=True)
class FileScores:
    """AUPIMO of images on disk.

    Attributes:
        paths: Path of each map relative to the folder of maps, with "/" between the parts.
        aupimos: Score of each image, shape (N,), float64; NaN for normal images.
        fpr_bounds: Bounds of the shared FPR.
        threshold_bounds: Thresholds where the shared FPR reaches the upper and the lower bound, ascending.
        num_thresholds: Number of distinct normal scores whose shared FPR is within the bounds.
    """

    paths: tuple[str, ...]
    aupimos: np.ndarray
    fpr_bounds: tuple[float, float]
    threshold_bounds: tuple[float, float]
    num_thresholds: int


# ------------------------------------------------------------------------------------------- which files


def _files(folder: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    if not folder.is_dir():
        msg = f"There is no folder {folder}: give the folder that holds the {what}."
        raise MissingError(msg)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not found:
        msg = f"No {what} in {folder}: expected files that end in {', '.join(suffixes)}."
        raise MissingError(msg)
    return found


def _by_stem(folder: Path, paths: Iterable[Path], what: str, top: str) -> dict[str, Path]:
    """Index files by their relative path without suffix, and without a first part that is only a layout's name."""
    stems: dict[str, Path] = {}
    for path in paths:
        parts = path.relative_to(folder).with_suffix("").parts
        stem = "/".join(parts[1:] if len(parts) > 1 and parts[0] == top else parts)
        if stem in stems:
            msg = f"Two {what} have the same name: {stems[stem]} and {path}; keep one of them."
            raise InputError(msg)
        stems[stem] = path
    return stems


def pair_files(
    maps_folder: str | Path, masks_folder: str | Path, *, missing_mask_is_normal: bool = False
) -> list[Pair]:
    """Find the mask of each score map by relative path.

    A map ``DIR/color/000.npy`` has the mask ``DIR/color/000.png`` or, as in MVTec AD, ``DIR/color/000_mask.png`` (any
    image format). A first folder ``test`` among the maps and ``ground_truth`` among the masks is passed over, so that
    the category folder of MVTec AD's layout will do.

    Args:
        maps_folder: Folder of the score maps; sub-folders are searched.
        masks_folder: Folder of the masks.
        missing_mask_is_normal: Whether an image without a mask is a normal image rather than an error.

    Returns:
        The pairs, sorted by name.

    Raises:
        MissingError: If a folder is not there or holds no such files, or a map has no mask.
        InputError: If two maps or two masks have the same name, or a mask has no map.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("maps/cut/000.npy", "masks/cut/000_mask.png"):
        ...         Path(folder, name).parent.mkdir(parents=True)
        ...         Path(folder, name).touch()
        ...     [pair.name for pair in pair_files(Path(folder, "maps"), Path(folder, "masks"))]
        ['cut/000.npy']
    """
    maps_folder, masks_folder = Path(maps_folder), Path(masks_folder)
    maps = _by_stem(maps_folder, _files(maps_folder, MAP_SUFFIXES, "score maps"), "score maps", "test")
    masks = _by_stem(masks_folder, _files(masks_folder, MASK_SUFFIXES, "masks"), "masks", "ground_truth")
    pairs, used = [], set()
    for stem, path in maps.items():
        candidates = [name for name in (stem, stem + _MASK_ENDING) if name in masks]
        if len(candidates) == 2:
            msg = f"The score map {path} has two masks: {masks[candidates[0]]} and {masks[candidates[1]]}; keep one."
            raise InputError(msg)
        if not candidates and not missing_mask_is_normal:
            msg = (
                f"The score map {path} has no mask: expected {masks_folder / stem} or {stem.rpartition('/')[2]}"
                f"{_MASK_ENDING} with an image's suffix; if images without a mask are the normal ones, say "
                "`--missing-mask normal`."
            )
            raise MissingError(msg)
        used.update(candidates)
        pairs.append(
            Pair(path.relative_to(maps_folder).as_posix(), path, masks[candidates[0]] if candidates else None)
        )
    extra = [masks[stem] for stem in masks if stem not in used]
    if extra:
        others = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        msg = f"The mask {extra[0]} has no score map{others}: expected one of the same name in {maps_folder}."
        raise InputError(msg)
    return sorted(pairs, key=lambda pair: pair.name)


# ------------------------------------------------------------------------------------------- what is in them


def _load(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            if len(arrays.files) != 1:
                msg = f"it holds {len(arrays.files)} arrays ({', '.join(arrays.files) or 'none'}), expected one"
                raise ValueError(msg)
            return arrays[arrays.files[0]]
    if suffix in (".tif", ".tiff"):
        import tifffile

        return tifffile.imread(path)
    with Image.open(path) as image:
        return np.asarray(image)


def _read(path: Path, what: str, load: Callable[[Path], np.ndarray]) -> np.ndarray:
    try:
        return load(path)
    except FileNotFoundError as error:
        msg = f"The {what} {path} is no longer there."
        raise MissingError(msg) from error
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        msg = f"Cannot read the {what} {path}: {reason}."
        raise InputError(msg) from error


def read_map(path: str | Path) -> np.ndarray:
    """Read a score map.

    Args:
        path: A .npy, .npz (with one array), .tif, .tiff (float or 16-bit integers) or .png (16 bit) file.

    Returns:
        Scores, shape (H, W): float16, float32 or float64 as stored; 16-bit integers become float32 and wider ones
        float64, which hold them exactly.

    Raises:
        MissingError: If there is no such file.
        InputError: If the file cannot be read, is not one channel, or has 8 bits per score.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "000.npy")
        ...     np.save(path, np.zeros((1, 2, 3), dtype=np.float16))
        ...     read_map(path).shape
        (2, 3)
    """
    path = Path(path)
    scores = _read(path, "score map", _load)
    if scores.ndim == 3 and 1 in (scores.shape[0], scores.shape[2]):
        scores = scores.reshape([length for axis, length in enumerate(scores.shape) if axis == 1 or length != 1][:2])
    if scores.ndim != 2:
        msg = f"Expected the score map {path} to have one channel, shape (H, W), but it has shape {scores.shape}."
        raise InputError(msg)
    if scores.dtype.kind == "f" and scores.dtype.itemsize <= 8:
        return scores
    if scores.dtype.kind in "iu" and scores.dtype.itemsize in (2, 4):
        return scores.astype(np.float32 if scores.dtype.itemsize == 2 else np.float64)
    msg = (
        f"Expected the score map {path} to hold floats or 16-bit integers, but it holds {scores.dtype}: too "
        "coarse or of an unknown kind; write the scores as float32, to .npy or .tiff."
    )
    raise InputError(msg)


def _load_mask(path: Path) -> np.ndarray:
    if path.suffix.lower() in (".tif", ".tiff"):
        return _load(path)
    with Image.open(path) as image:
        # the colours of a palette count, not its numbers
        return np.asarray(image.convert("RGB") if image.mode in ("P", "PA", "RGBA", "LA", "CMYK") else image)


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask from an image: black is normal, one other value or colour is anomalous.

    Args:
        path: An image file.

    Returns:
        True where anomalous, shape (H, W), bool.

    Raises:
        MissingError: If there is no such file.
        InputError: If the file cannot be read, or holds more than black and one other value.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "000_mask.png")
        ...     Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).save(path)
        ...     read_mask(path).tolist()
        [[False, True]]
    """
    path = Path(path)
    values = _read(path, "mask", _load_mask)
    if values.ndim == 3 and values.shape[2] == 3 and values.dtype == np.uint8:
        values = values.astype(np.int64) @ np.array([65536, 256, 1])
    if values.ndim != 2:
        msg = f"Expected the mask {path} to be a grey or RGB image, but it has shape {values.shape}."
        raise InputError(msg)
    anomalous = values != 0
    if anomalous.any() and len(np.unique(values[anomalous])) > 1:
        distinct = np.unique(values)
        examples = ", ".join(str(value) for value in distinct[:4])
        msg = (
            f"Expected the mask {path} to hold 0 and one other value, but it holds {len(distinct)} values "
            f"({examples} ...): save masks without lossy compression and resize them without interpolation."
        )
        raise InputError(msg)
    return anomalous


def _read_pair(pair: Pair, mask: np.ndarray | None, kinds: dict[str, Path]) -> Stack:
    """Read a score map and put its mask beside it; ``kinds`` gathers an example of each kind of numbers."""
    scores = read_map(pair.map_path)
    if mask is None:
        mask = np.zeros(scores.shape, dtype=bool)
    if mask.shape != scores.shape:
        sizes = [f"{height} x {width}" for height, width in (scores.shape, mask.shape)]
        raise InputError(
            f"The score map {pair.map_path} has {sizes[0]} pixels, but its mask {pair.mask_path} has {sizes[1]}: "
            "bring both to the same size (masks without interpolation)."
        )
    stack = checks.make_stack(scores[None], mask[None], name=str(pair.map_path))
    whole = bool((scores[0] == np.floor(scores[0])).all() and (scores == np.floor(scores)).all())
    if not whole or scores.max() > 255:  # few small whole numbers can be either: a map that is 0 everywhere
        kinds.setdefault("whole numbers" if whole else "fractions", pair.map_path)
    if len(kinds) > 1:
        raise InputError(
            f"The score map {kinds['whole numbers']} holds whole numbers, as 16-bit images do, and "
            f"{kinds['fractions']} holds fractions, so their scores cannot be compared: write all maps in one format."
        )
    return stack


# ------------------------------------------------------------------------------------------- scores


def score_files(
    maps_folder: str | Path,
    masks_folder: str | Path,
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
    *,
    missing_mask_is_normal: bool = False,
) -> FileScores:
    """Compute the exact AUPIMO of images whose score maps and masks are files.

    Args:
        maps_folder: Folder of the score maps (see ``read_map``).
        masks_folder: Folder of the masks (see ``read_mask``); ``pair_files`` says how they are matched.
        fpr_bounds: Bounds L and U of the shared FPR, ``0 < L < U <= 1``.
        missing_mask_is_normal: Whether an image without a mask is a normal image rather than an error.

    Returns:
        The scores. Images may differ in size.

    Raises:
        MissingError: If a folder, a file or a mask is missing.
        InputError: If a file's content or the set of files is not what AUPIMO needs; the message names the file.
    """
    lower, upper = checks.check_bounds(fpr_bounds)
    pairs = pair_files(maps_folder, masks_folder, missing_mask_is_normal=missing_mask_is_normal)
    aupimos, anomalous = np.full(len(pairs), np.nan), []
    kinds: dict[str, Path] = {}
    memory = Memory(upper, default_budget(upper))
    with tqdm(total=len(pairs), desc="Score maps", unit="map", disable=None) as progress:
        for index, pair in enumerate(pairs):
            mask = read_mask(pair.mask_path) if pair.mask_path else None
            if mask is not None and mask.any():
                anomalous.append(index)
                continue
            memory.add(_read_pair(pair, mask, kinds))
            progress.update()
        checks.check_both_classes(len(pairs) - len(anomalous), len(anomalous))
        normals = memory.normals()
        checks.check_enough_normal_pixels(normals.num_pixels, lower)
        curve = memory.certified(normals, upper)
        exact.check_operating_points(curve, upper)
        table = exact.lengths(curve, lower, upper)
        for index in anomalous:
            pair = pairs[index]
            stack = _read_pair(pair, read_mask(pair.mask_path) if pair.mask_path else None, kinds)
            ((_, counts, scores),) = exact.mask_scores([stack])
            aupimos[index] = exact.mean_lengths(counts, scores, table)[0]
            progress.update()
    return FileScores(
        paths=tuple(pair.name for pair in pairs),
        aupimos=aupimos,
        fpr_bounds=(lower, upper),
        threshold_bounds=exact.threshold_bounds(curve, lower, upper),
        num_thresholds=int(((curve.fpr >= lower) & (curve.fpr <= upper)).sum()),
    )
