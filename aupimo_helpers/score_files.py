"""AUPIMO from score maps and masks on disk, whatever framework wrote them, one image at a time.

The normal images are read first; they give the thresholds. Then each anomalous image is read and scored, and
forgotten. What is kept of the normal images is dropped again as soon as enough others have higher scores, so 10,000
images need hardly more memory than 100.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aupimo_helpers.data.images import IMAGE_SUFFIXES, MAP_SUFFIXES, pair_masks, read_map, read_mask
from aupimo_helpers.errors import InputError, MissingError, ProblemError
from aupimo_helpers.metrics import checks, exact
from aupimo_helpers.metrics import memory as accumulate
from aupimo_helpers.metrics.checks import Stack, UncertifiedError
from aupimo_helpers.metrics.memory import Memory

_JOINED_AT_ONCE = 64
_SCORES_AT_MOST = 2**18


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


def _named(folder: Path, paths: Iterable[Path], top: str) -> list[tuple[str, Path]]:
    """Relative paths without suffix, and without a first part that is only a layout's name."""
    parts = [(path.relative_to(folder).with_suffix("").parts, path) for path in paths]
    return [("/".join(p[1:] if len(p) > 1 and p[0] == top else p), path) for p, path in parts]


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
    maps = _named(maps_folder, _files(maps_folder, MAP_SUFFIXES, "score maps"), "test")
    stems: dict[str, Path] = {}
    for stem, path in maps:
        if stems.setdefault(stem, path) is not path:
            raise InputError(f"Two score maps have the same name: {stems[stem]} and {path}; keep one of them.")
    masks = _named(masks_folder, _files(masks_folder, IMAGE_SUFFIXES, "masks"), "ground_truth")
    found, extra, problems = pair_masks(maps, masks)
    if problems:
        raise ProblemError(problems)
    missing = [stem for stem, path in maps if path not in found]
    if missing and not missing_mask_is_normal:
        stem = missing[0]
        raise MissingError(
            f"The score map {stems[stem]} has no mask: expected {masks_folder / stem} or "
            f"{stem.rpartition('/')[2]}_mask with an image's suffix; if images without a mask are the normal ones, "
            f"say `--missing-mask normal`."
        )
    if extra:
        others = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        raise InputError(
            f"The mask {extra[0]} has no score map{others}: expected one of the same name in {maps_folder}."
        )
    pairs = [Pair(path.relative_to(maps_folder).as_posix(), path, found.get(path)) for path in stems.values()]
    return sorted(pairs, key=lambda pair: pair.name)


# ------------------------------------------------------------------------------------------- what is in them


def _read_pair(pair: Pair, mask: np.ndarray | None) -> Stack:
    scores = read_map(pair.map_path)
    if mask is None:
        mask = np.zeros(scores.shape, dtype=bool)
    if mask.shape != scores.shape:
        sizes = [f"{height} x {width}" for height, width in (scores.shape, mask.shape)]
        msg = (
            f"The score map {pair.map_path} has {sizes[0]} pixels, but its mask {pair.mask_path} has {sizes[1]}: "
            "bring both to the same size (masks without interpolation)."
        )
        raise InputError(msg)
    maps, masks = checks.as_tensor(scores, "a score map")[None], checks.as_tensor(mask, "a mask")[None]
    return checks.make_stack(maps, masks, name=lambda _: str(pair.map_path))


# ------------------------------------------------------------------------------------------- scores


class _NormalImages:
    """What is kept of normal images while they pass, bounded."""

    def __init__(self, upper: float, keep: float) -> None:
        self.upper, self.keep = upper, keep
        self.kept: Memory | None = None
        self.waiting: list[Memory] = []
        self.limit = _SCORES_AT_MOST

    def add(self, stack: Stack) -> None:
        self.waiting.append(accumulate.remember(stack, self.keep))
        if len(self.waiting) >= _JOINED_AT_ONCE:
            self.join()

    def join(self) -> Memory:
        self.kept = accumulate.join([*([self.kept] if self.kept else []), *self.waiting])
        self.waiting = []
        if len(self.kept.scores) > self.limit:
            self.kept = accumulate.prune(self.kept, min(1.0, self.keep / 4))
            self.limit = max(_SCORES_AT_MOST, 2 * len(self.kept.scores))
        return self.kept


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
    aupimos = np.full(len(pairs), np.nan)
    normal, anomalous = _NormalImages(upper, min(1.0, 20 * upper)), []
    normal_pairs = []
    with tqdm(total=len(pairs), desc="Score maps", unit="map", disable=None) as progress:
        for index, pair in enumerate(pairs):
            mask = read_mask(pair.mask_path) if pair.mask_path else None
            if mask is not None and mask.any():
                anomalous.append(index)
                continue
            normal.add(_read_pair(pair, mask))
            normal_pairs.append((pair, None if mask is None else mask.shape))
            progress.update()
        checks.check_both_classes(len(normal_pairs), len(anomalous))
        memory = normal.join()
        checks.check_enough_normal_pixels(int(memory.table[:, 1].sum()), lower)
        curve = _certified(memory, normal_pairs, normal, progress)
        exact.check_operating_points(curve, upper)
        curve = curve.down_to(upper)
        table = exact.lengths(curve, lower, upper)
        for index in anomalous:
            pair = pairs[index]
            stack = _read_pair(pair, read_mask(pair.mask_path) if pair.mask_path else None)
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


def _certified(
    memory: Memory, pairs: list[tuple[Pair, tuple[int, ...] | None]], normal: _NormalImages, progress: tqdm
) -> exact.SharedFPR:
    """Compute the shared FPR; if too little was kept of the normal images, read them again and keep more."""
    for attempt in itertools.count(1):
        try:
            return accumulate.certified_curve(memory, normal.upper)
        except UncertifiedError:
            if normal.keep >= 1:
                raise
        normal = _NormalImages(normal.upper, min(1.0, normal.keep * 10))
        progress.total += len(pairs)
        progress.set_postfix_str(f"reading the normal maps again, keeping more ({attempt})")
        for pair, shape in pairs:
            normal.add(_read_pair(pair, None if shape is None else np.zeros(shape, dtype=bool)))
            progress.update()
        memory = normal.join()
    raise AssertionError
