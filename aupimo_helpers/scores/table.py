"""Per-image scores: the table that everything after the metric reads, and the JSON file that keeps them.

The file's format is that of the published scores of Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection
Benchmarks with High Speed and Low Tolerance", BMVC 2024, https://arxiv.org/abs/2401.01984 (folder
``data/experiments/benchmark`` of https://github.com/jpcbertoldo/aupimo), which anomalib's ``AUPIMOResult.save`` wrote
while it existed. anomalib 2.7 has no ``save`` any more.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from aupimo_helpers import data
from aupimo_helpers.data.paths import defect_types
from aupimo_helpers.errors import InputError
from aupimo_helpers.files import atomic_file, reading

if TYPE_CHECKING:
    from torch import Tensor

# How the mean over normal images is called in the published files; AUPIMO has no other.
SHARED_FPR_METRIC = "mean-per-image-fpr"


def _as_floats(aupimos: "ArrayLike | Tensor") -> np.ndarray:
    values = aupimos.detach().cpu().numpy() if hasattr(aupimos, "detach") else aupimos
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _problem(
    aupimos: np.ndarray,
    image_paths: Sequence[str],
    fpr_bounds: Sequence[float] = (1e-5, 1e-4),
    threshold_bounds: Sequence[float] = (0, 0),
) -> str | None:
    """Say what is wrong with scores, paths and bounds, if anything."""
    if len(aupimos) != len(image_paths):
        return f"there are {len(aupimos)} scores but {len(image_paths)} image paths"
    path, times = next(iter(Counter(image_paths).most_common(1)), ("", 0))
    if times > 1:
        return f"the image path {path} occurs more than once"
    for path in image_paths:
        if not path.isascii() and path != path.encode(errors="replace").decode():
            return f"the image path {path} is not valid UTF-8 (rename the file)"
    for i in np.flatnonzero((aupimos < 0) | (aupimos > 1)).tolist():
        return f"the score of {image_paths[i]} is {aupimos[i]}, outside [0, 1]"
    if not 0 < fpr_bounds[0] < fpr_bounds[1] <= 1:
        return f"the FPR bounds are {fpr_bounds[0]} and {fpr_bounds[1]}, not 0 < lower < upper <= 1"
    if not threshold_bounds[0] <= threshold_bounds[1]:
        return f"the threshold bounds are {threshold_bounds[0]} and {threshold_bounds[1]}, not lower <= upper"
    return None


def _table(aupimos: np.ndarray, paths: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"image_path": paths, "defect": defect_types(paths, ~np.isnan(aupimos)), "aupimo": aupimos})


def score_table(
    aupimos: "ArrayLike | Tensor",
    image_paths: Sequence[str | Path],
    masks: "ArrayLike | Tensor | None" = None,
    *,
    dataset: str | None = None,
    data_root: str | Path | None = None,
) -> pd.DataFrame:
    """Put the scores of a test set into a table, one row per image.

    Args:
        aupimos: AUPIMO of each image, (N,), in [0, 1]; NaN for normal images.
        image_paths: One per image, each different.
        masks: True or non-zero where a pixel is anomalous, (N, H, W).
        dataset: ``SOURCE/CATEGORY``. If its ``defects.csv`` knows the severity of defects, the table gets it.
        data_root: The folder of the data sets; needed with ``dataset``.

    Returns:
        Columns ``image_path``, ``defect`` (``good`` for normal images) and ``aupimo`` (float64); with ``masks`` also
        ``mask_area`` in pixels; ``severity`` (0.1 to 1, NaN for normal images) where the data set knows it.

    Raises:
        InputError: If numbers of scores, paths and masks differ, a path occurs twice, or a score is outside [0, 1].

    Example:
        >>> score_table([0.25, float("nan")], ["own/a/test/cut/0.png", "own/a/test/good/0.png"])
                      image_path defect  aupimo
        0   own/a/test/cut/0.png    cut    0.25
        1  own/a/test/good/0.png   good     NaN
    """
    values, paths = _as_floats(aupimos), [Path(path).as_posix() for path in image_paths]
    areas = None if masks is None else [int((mask != 0).sum()) for mask in masks]  # type: ignore[union-attr]
    problem = _problem(values, paths)
    if problem is None and areas is not None and len(areas) != len(paths):
        problem = f"there are {len(areas)} masks but {len(paths)} image paths"
    if problem is not None:
        raise InputError(f"The scores do not make a table: {problem}.")
    table = _table(values, paths)
    if areas is not None:
        table["mask_area"] = np.asarray(areas, dtype=np.int64)
    if dataset is not None and data_root is not None:
        known = data.defects(dataset, data_root)
        if known is not None and "severity" in known:
            # In defects.csv paths begin at the category folder: test/DEFECT/FILE.
            inside = ["/".join(PurePosixPath(path).parts[-3:]) for path in paths]
            table["severity"] = known.set_index("image_path")["severity"].reindex(inside).to_numpy()
    return table


def save_scores(
    path: str | Path,
    aupimos: "ArrayLike | Tensor",
    image_paths: Sequence[str | Path],
    *,
    fpr_bounds: Sequence[float],
    threshold_bounds: Sequence[float],
    num_thresholds: int | None = None,
) -> Path:
    """Write scores as JSON in the format of the published ones; every float64 is kept exactly.

    Args:
        path: The file. Missing folders are made.
        aupimos: AUPIMO of each image, (N,), in [0, 1]; NaN for normal images, written as ``NaN``.
        image_paths: One per image, each different.
        fpr_bounds: L and U, the bounds of the shared FPR, 0 < L < U <= 1.
        threshold_bounds: The anomaly thresholds where the shared FPR is U (the lower one) and L.
        num_thresholds: Of the grid that the scores were computed with; None if they are exact.

    Raises:
        InputError: As `score_table`, or if bounds are out of order.
        WriteError: If the file cannot be written.

    Example:
        >>> bounds = {"fpr_bounds": (1e-5, 1e-4), "threshold_bounds": (3.5, 4.5)}
        >>> save_scores("scores.json", [0.1], ["a/test/cut/0.png"], **bounds)  # doctest: +SKIP
    """
    path, values, paths = Path(path), _as_floats(aupimos), [Path(p).as_posix() for p in image_paths]
    if (problem := _problem(values, paths, fpr_bounds, threshold_bounds)) is not None:
        raise InputError(f"The scores cannot be saved to {path}: {problem}.")
    content = {
        "shared_fpr_metric": SHARED_FPR_METRIC,
        "fpr_lower_bound": float(fpr_bounds[0]),
        "fpr_upper_bound": float(fpr_bounds[1]),
        "num_threshs": num_thresholds,
        "thresh_lower_bound": float(threshold_bounds[0]),
        "thresh_upper_bound": float(threshold_bounds[1]),
        "aupimos": values.tolist(),
        "paths": paths,
    }
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=4), encoding="utf-8")
    return path


def load_scores(path: str | Path) -> pd.DataFrame:
    """Read a file of scores: ours, anomalib's, or a published one.

    Args:
        path: A JSON file as ``save_scores`` writes it.

    Returns:
        A table as `score_table` makes it; its ``attrs`` hold the bounds and ``num_thresholds``.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is not JSON or a value is not what it must be; the message names the file.

    Example:
        >>> load_scores("scores.json").attrs["fpr_bounds"]  # doctest: +SKIP
        (1e-05, 0.0001)
    """
    with reading(path, "file of scores", "Write it with `aupimo score` or `save_scores`"):
        return _parse(json.loads(Path(path).read_text(encoding="utf-8")))


def _parse(content: Any) -> pd.DataFrame:  # noqa: ANN401
    """Turn the file's content into the table, or say in an ``InputError`` what is wrong with it."""
    if not isinstance(content, dict):
        raise InputError("it holds no JSON object")
    if (metric := content.get("shared_fpr_metric", SHARED_FPR_METRIC)) != SHARED_FPR_METRIC:
        raise InputError(f"its shared FPR is {metric!r}, not {SHARED_FPR_METRIC!r}")
    numbers = ("fpr_lower_bound", "fpr_upper_bound", "thresh_lower_bound", "thresh_upper_bound")
    for key in (*numbers, "num_threshs", "aupimos", "paths"):
        if key not in content:
            raise InputError(f"the key {key!r} is missing")
        if key in numbers and not _is_number(content[key]):
            raise InputError(f"{key!r} is {content[key]!r}, not a number")
    if not (content["num_threshs"] is None or _is_number(content["num_threshs"])):
        raise InputError("'num_threshs' is not a number")
    lower, upper, lowest, highest = (float(content[key]) for key in numbers)
    paths, scores = content["paths"], content["aupimos"]
    if not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
        raise InputError("'paths' is not a list of strings")
    if not isinstance(scores, list) or not all(s is None or _is_number(s) for s in scores):
        raise InputError("'aupimos' is not a list of numbers")
    values = np.asarray([math.nan if s is None else s for s in scores], dtype=np.float64)
    bounds = {"fpr_bounds": (lower, upper), "threshold_bounds": (lowest, highest)}
    if (problem := _problem(values, paths, **bounds)) is not None:
        raise InputError(problem)
    table = _table(values, paths)
    table.attrs.update(bounds, num_thresholds=content["num_threshs"])
    return table


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV; text that a spreadsheet would take for a formula gets an apostrophe in front."""
    safe = {
        name: column.where(~column.str.startswith(("=", "+", "-", "@", "\t", "\r")), "'" + column)
        for name, column in table.select_dtypes(exclude="number").items()
    }
    table.assign(**safe).to_csv(path, index=False)


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and not isinstance(value, bool)
