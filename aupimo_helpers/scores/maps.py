"""AUPIMO from score maps and masks on disk, whatever framework wrote them, one image at a time.

The normal images are read first; they give the thresholds, and what is kept of them is bounded (``metrics.memory``).
Then each anomalous image is read and scored, and forgotten. So 10,000 images need hardly more memory than 100, and
no PyTorch is imported.
"""

import shlex
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from aupimo_helpers.data import images
from aupimo_helpers.data.pictures import NORMAL_NAMES, NORMAL_TEST_NAMES
from aupimo_helpers.errors import AupimoWarning, InputError, MissingError, Problem, ProblemError, collecting
from aupimo_helpers.files import walk
from aupimo_helpers.metrics import checks, exact
from aupimo_helpers.metrics.checks import Stack
from aupimo_helpers.metrics.exact import NormalScores
from aupimo_helpers.metrics.memory import Memory, default_budget
from aupimo_helpers.metrics.reweight import reweight

_ROWS = 1000  # sets of weights at a time: 10,000 normal images would make a matrix of 800 MB
_KEPT_BITS = 2**29  # of masks that are not read a second time: 64 MiB


@dataclass(frozen=True)
class Pair:
    """A score map, named by its path below the folder of maps; the name of its mask, and where that is, if it is."""

    name: str
    stem: str
    map_path: Path
    mask_path: Path | None

    def read(self, bits: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read the map, and the mask where it is not given as bits; all False where there is none; both (H, W)."""
        scores = images.read_map(self.map_path)
        if bits is not None:
            return scores, np.unpackbits(bits, count=scores.size).view(bool).reshape(scores.shape)
        return scores, np.zeros(scores.shape, bool) if self.mask_path is None else images.read_mask(self.mask_path)


@dataclass(frozen=True)
class Scored:
    """A test set and its AUPIMOs; map and mask of an image, and its picture in a size, are read one at a time."""

    paths: Sequence[str]
    aupimos: np.ndarray  # (N,), NaN for normal images
    fpr_bounds: tuple[float, float]
    threshold_bounds: tuple[float, float]  # raw scores where the shared FPR is U and where it is L
    normal: Sequence[NormalScores]  # if kept, of each normal image the scores from one floor on, a limited number
    of_masks: Sequence[np.ndarray]  # if kept, of each image's mask all scores
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    image: Callable[[int, tuple[int, int]], np.ndarray] | None
    num_thresholds: int | None = None  # within the bounds, where the thresholds were counted

    def reweighted(self, weights: ArrayLike) -> np.ndarray:
        """Compute the AUPIMOs for other weights (B, M) of the normal images, as ``reweighted_scores`` does."""
        rows = np.asarray(weights, dtype=np.float64)
        kept = np.array([len(image.scores) / image.pixels for image in self.normal])
        reached = rows @ kept / rows.sum(axis=1)
        if kept.min() < 1 and reached.min() < self.fpr_bounds[1]:
            left_out = np.where(rows[reached.argmin()] == 0, kept, 0)
            name = np.array(self.paths)[np.isnan(self.aupimos)][left_out.argmax()]
            raise InputError(
                f"The normal image {name} has so many of the highest scores that those of the others were not kept, "
                "which would tell what happens without it: look at it, and leave it out."
            )
        return reweight(self.normal, self.of_masks, [len(found) for found in self.of_masks], rows, self.fpr_bounds)

    def means_without_each(self) -> np.ndarray:
        """Compute the mean AUPIMO without each of the normal images in turn, (M,); there must be two or more."""
        number = len(self.normal)
        rows = (1 - np.eye(min(_ROWS, number - start), number, start) for start in range(0, number, _ROWS))
        return np.concatenate([np.nanmean(self.reweighted(part), axis=1) for part in rows])


def _files(folder: Path, suffixes: Sequence[str], what: str, top: str) -> tuple[list[tuple[str, Path]], list[Path]]:
    """The files of a kind, named by relative path without suffix and a layout's first part; and all other entries."""
    if not folder.is_dir():
        raise MissingError(f"There is no folder {folder}: give the folder that holds the {what}.")
    found, others = [], []
    for path in walk(folder):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.suffix.lower() in suffixes and path.is_file() and not hidden:
            parts = inner.with_suffix("").parts
            found.append(("/".join(parts[1:] if len(parts) > 1 and parts[0] == top else parts), path))
        elif not any(map(images.is_clutter, inner.parts)):
            others.append(path)
    if not found:
        raise MissingError(f"No {what} in {folder}: expected files that end in {', '.join(suffixes)}.")
    return found, others


def pair_files(
    maps_folder: str | Path, masks_folder: str | Path, *, missing_mask_is_normal: bool = False
) -> list[Pair]:
    """Find the mask of each score map by relative path, ``cut/000`` or ``cut/000_mask``; the pairs sorted by it."""
    maps_folder, masks_folder = Path(maps_folder), Path(masks_folder)
    maps, _ = _files(maps_folder, images.MAP_SUFFIXES, "score maps", "test")
    masks, others = _files(masks_folder, images.IMAGE_SUFFIXES, "masks", "ground_truth")
    stems: dict[str, Path] = {}
    for stem, path in maps:
        if stems.setdefault(stem, path) is not path:
            raise InputError(f"Two score maps have the same name: {stems[stem]} and {path}; keep one of them.")
    found, extra, problems = images.pair_masks(maps, masks)
    remedy = f"Put masks into folders of the names of those in {maps_folder}, or remove what is not needed"
    for mask in extra:
        names = {mask.stem, mask.stem.removesuffix("_mask")} if mask.parent == masks_folder else set()
        like = " and ".join([str(path) for _, path in maps if path not in found and path.stem in names][:2])
        problems.append(
            Problem(mask, "has no score map" + (f", but could be that of {like}" if like else ""), remedy)
        )
    if missing_mask_is_normal:  # then a mask that is not recognised makes its image normal
        remedy = f"Everything in {masks_folder} must be a mask: save it as an image, such as PNG, or remove it"
        for path in others:
            if not (path.is_dir() and path.name.lower() in NORMAL_NAMES):
                what = "is an empty folder" if path.is_dir() else "is no image file that could be a mask"
                hidden = any(part.startswith(".") for part in path.relative_to(masks_folder).parts)
                problems.append(Problem(path, "is hidden" if hidden else what, remedy))
    else:
        remedy = "If images without a mask are the normal ones, say `--missing-mask normal`; else add it"
        for stem, path in maps:
            if path not in found:
                what = f"has no mask: expected {masks_folder / stem} or {path.stem}_mask with an image's suffix"
                problems.append(Problem(path, what, remedy))
    if problems:
        raise ProblemError(problems)
    return [
        Pair(path.relative_to(maps_folder).as_posix(), stem, path, found.get(path))
        for stem, path in sorted(stems.items())
    ]


def _image_of_each(images_folder: str | Path, pairs: Sequence[Pair]) -> list[Path]:
    """Find the image of each map where its mask would be found."""
    by_stem = dict(_files(Path(images_folder), images.IMAGE_SUFFIXES, "images", "test")[0])
    remedy = f"Put the images into {images_folder} under the names of their maps, or leave out --images"
    if problems := [Problem(pair.map_path, "has no image", remedy) for pair in pairs if pair.stem not in by_stem]:
        raise ProblemError(problems)
    return [by_stem[pair.stem] for pair in pairs]


def _anomalous(pairs: Sequence[Pair]) -> dict[int, np.ndarray | None]:
    """Look at all masks, and at the size of all maps: the anomalous images, and the first ones' masks as bits."""
    anomalous: dict[int, np.ndarray | None] = {}
    large, room = [], _KEPT_BITS
    problems: list[Problem] = []
    for index, pair in enumerate(tqdm(pairs, "Masks", unit="mask", disable=None, leave=False)):
        with collecting(problems):
            size = images.map_size(pair.map_path)
            if pair.mask_path is None:
                continue
            mask_size = images.shown_size(pair.mask_path, "mask")
            if mask_size != size:
                sizes = [f"{height} x {width}" for height, width in (size, mask_size)]
                what = f"has {sizes[0]} pixels, but its mask {pair.mask_path} has {sizes[1]}"
                raise ProblemError.of(pair.map_path, what, "Bring both to one size, masks without interpolation")
            mask = images.read_mask(pair.mask_path)
            if pixels := np.count_nonzero(mask):
                room -= mask.size
                anomalous[index] = np.packbits(mask) if room >= 0 else None
            if 2 * pixels > mask.size:
                large.append(pair.mask_path)
    if problems:
        raise ProblemError(problems)
    images.warn_of_inverted(large)
    return anomalous


def _check_normal(pairs: Sequence[Pair], normal: Sequence[bool], confirmed: Sequence[str]) -> None:
    """Refuse folders of which all images came out normal, unless the user has said so; warn where some did."""
    folders = [str(PurePosixPath(pair.name).parent) for pair in pairs]
    if unknown := set(confirmed).difference(folders):
        raise InputError(f"--normal-folder {min(unknown)}: none of the score maps lies in such a folder, correct it.")
    count = Counter(folders)
    normals: dict[str, list[str]] = {}
    for folder, pair in compress(zip(folders, pairs, strict=True), normal):
        normals.setdefault(folder, []).append(pair.stem)
    good = {*NORMAL_NAMES, *NORMAL_TEST_NAMES}
    doubtful = [name for name in normals if good.isdisjoint(name.lower().split("/")) and name not in confirmed]
    if unclear := [folder for folder in doubtful if len(normals[folder]) == count[folder]]:
        say = " ".join(f"--normal-folder {shlex.quote(folder)}" for folder in unclear)
        raise InputError(
            f"All images in {', '.join(unclear)} would count as normal, since no mask marks a pixel in them: add "
            f"their masks, or confirm it with {say}."
        )
    for folder in doubtful if len(count) > 1 else ():  # in one flat folder both kinds are no surprise
        names = normals[folder]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        counts, them = ("counts", "it") if len(names) == 1 else ("count", "them")
        warnings.warn(
            f"{len(names)} of the {count[folder]} images in {folder} {counts} as normal, since no mask marks a pixel "
            f"in {them}: {shown}. If there is a defect in {them}, add the mask.",
            AupimoWarning,
            stacklevel=3,
        )


def _stack(pair: Pair, bits: np.ndarray | None = None) -> Stack:
    """Read a score map and put its mask beside it."""
    scores, mask = pair.read(bits)
    return checks.make_stack(scores[None], mask[None], name=str(pair.map_path))


def _check_kind(stack: Stack, path: Path, kinds: dict[str, Path]) -> None:
    """Refuse whole numbers beside fractions; ``kinds`` gathers an example of each."""
    scores = stack.maps[0]
    whole = bool((scores[0] == np.floor(scores[0])).all() and (scores == np.floor(scores)).all())
    if not whole or scores.max() > 255:  # few small whole numbers can be either: a map that is 0 everywhere
        kinds.setdefault("whole numbers" if whole else "fractions", path)
    if len(kinds) > 1:
        raise InputError(
            f"The score map {kinds['whole numbers']} holds whole numbers, as 16-bit images do, and "
            f"{kinds['fractions']} holds fractions, so their scores cannot be compared: write all maps in one format."
        )


def score_files(
    maps_folder: str | Path,
    masks_folder: str | Path,
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
    *,
    missing_mask_is_normal: bool = False,
    normal_folders: Sequence[str] = (),
    images_folder: str | Path | None = None,
    keep_highest: bool = False,
) -> Scored:
    """Compute the exact AUPIMO from score maps and masks on disk; ``keep_highest`` for what ``Scored`` keeps."""
    lower, upper = checks.check_bounds(fpr_bounds)
    pairs = pair_files(maps_folder, masks_folder, missing_mask_is_normal=missing_mask_is_normal)
    anomalous = _anomalous(pairs)
    checks.check_both_classes(len(pairs) - len(anomalous), len(anomalous))
    normal = np.full(len(pairs), fill_value=True)
    normal[list(anomalous)] = False
    _check_normal(pairs, normal.tolist(), normal_folders)
    pictures = None if images_folder is None else _image_of_each(images_folder, pairs)
    aupimos = np.full(len(pairs), np.nan)
    kinds: dict[str, Path] = {}
    memory = Memory(upper, default_budget(upper))
    highest: list[NormalScores] = []
    of_masks = [np.zeros(0, dtype=np.float32)] * (len(pairs) if keep_highest else 0)
    floor = memory.floor
    with tqdm(total=len(pairs), desc="Score maps", unit="map", disable=None) as progress:
        for index in np.flatnonzero(normal).tolist():
            stack = _stack(replace(pairs[index], mask_path=None))  # which is empty, if there is one
            memory.add(stack)
            _check_kind(stack, pairs[index].map_path, kinds)
            if keep_highest:
                highest += exact.select(exact.normal_parts(stack), memory.floor)
                if memory.floor > floor:
                    floor = memory.floor
                    highest = exact.select(highest, floor)
            progress.update()
        normals = memory.normals()
        checks.check_enough_normal_pixels(normals.num_pixels, lower)
        curve = memory.certified(normals, upper)
        exact.check_operating_points(curve, upper)
        table = exact.lengths(curve, lower, upper)
        for index, bits in anomalous.items():
            stack = _stack(pairs[index], bits)
            _check_kind(stack, pairs[index].map_path, kinds)
            ((_, counts, scores),) = exact.mask_scores([stack])
            aupimos[index] = exact.mean_lengths(counts, scores, table)[0]
            if keep_highest:
                of_masks[index] = scores
            progress.update()
    return Scored(
        paths=[pair.name for pair in pairs],
        aupimos=aupimos,
        fpr_bounds=(lower, upper),
        threshold_bounds=exact.threshold_bounds(curve, lower, upper),
        num_thresholds=int(((curve.fpr >= lower) & (curve.fpr <= upper)).sum()),
        normal=highest,
        of_masks=of_masks,
        read=lambda index: pairs[index].read(),
        image=None if pictures is None else lambda index, size: images.load_image(pictures[index], size),
    )
