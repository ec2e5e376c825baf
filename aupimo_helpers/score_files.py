"""AUPIMO from score maps and masks on disk, whatever framework wrote them, one image at a time.

The normal images are read first; they give the thresholds, and what is kept of them is bounded (``metrics.memory``).
Then each anomalous image is read and scored, and forgotten. So 10,000 images need hardly more memory than 100, and
no PyTorch is imported.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aupimo_helpers.data.images import IMAGE_SUFFIXES, MAP_SUFFIXES, pair_masks, read_map, read_mask
from aupimo_helpers.errors import InputError, MissingError, ProblemError
from aupimo_helpers.metrics import checks, exact
from aupimo_helpers.metrics.checks import Stack
from aupimo_helpers.metrics.memory import Memory, default_budget


@dataclass(frozen=True)
class Pair:
    """A score map, its path below the folder of maps as its name, and its mask, if there is one."""

    name: str
    map_path: Path
    mask_path: Path | None


@dataclass(frozen=True)
class FileScores:
    """AUPIMO of images on disk: ``paths`` of the maps below their folder, ``aupimos`` (N,), NaN for normal images.

    ``threshold_bounds`` are the thresholds where the shared FPR reaches the upper and the lower bound, ascending;
    ``num_thresholds`` counts the distinct normal scores whose shared FPR is within the bounds.
    """

    paths: tuple[str, ...]
    aupimos: np.ndarray
    fpr_bounds: tuple[float, float]
    threshold_bounds: tuple[float, float]
    num_thresholds: int


# ------------------------------------------------------------------------------------------- which files


def _files(folder: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    if not folder.is_dir():
        raise MissingError(f"There is no folder {folder}: give the folder that holds the {what}.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not found:
        raise MissingError(f"No {what} in {folder}: expected files that end in {', '.join(suffixes)}.")
    return found


def _named(folder: Path, paths: Iterable[Path], top: str) -> list[tuple[str, Path]]:
    """Relative paths without suffix, and without a first part that is only a layout's name."""
    parts = [(path.relative_to(folder).with_suffix("").parts, path) for path in paths]
    return [("/".join(p[1:] if len(p) > 1 and p[0] == top else p), path) for p, path in parts]


def pair_files(
    maps_folder: str | Path, masks_folder: str | Path, *, missing_mask_is_normal: bool = False
) -> list[Pair]:
    """Find the mask of each score map by relative path; the pairs come sorted by name.

    A map ``DIR/color/000.npy`` has the mask ``DIR/color/000.png`` or, as in MVTec AD, ``DIR/color/000_mask.png`` (any
    image format). A first folder ``test`` among the maps and ``ground_truth`` among the masks is passed over, so that
    the category folder of MVTec AD's layout will do.
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
    """Compute the exact AUPIMO of images whose score maps and masks are files; images may differ in size."""
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
