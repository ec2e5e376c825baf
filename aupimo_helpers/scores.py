"""Per-image scores: the table that everything after the metric reads, and the JSON file that keeps them.

The file's format is that of the published scores of Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection
Benchmarks with High Speed and Low Tolerance", BMVC 2024, https://arxiv.org/abs/2401.01984 (folder
``data/experiments/benchmark`` of https://github.com/jpcbertoldo/aupimo), which anomalib's ``AUPIMOResult.save`` wrote
while it existed. anomalib 2.7 has no ``save`` any more.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.files import atomic_file

if TYPE_CHECKING:
    from torch import Tensor

NORMAL = "good"
# How the mean over normal images is called in the published files; AUPIMO has no other.
SHARED_FPR_METRIC = "mean-per-image-fpr"


def defect_types(image_paths: Iterable[str], is_anomalous: Iterable[bool]) -> list[str]:
    """Name each image's defect type, which is its folder's name.

    Args:
        image_paths: With forward slashes.
        is_anomalous: Per image, whether its mask has any pixel.

    Returns:
        ``good`` for normal images, whatever their folder; ``anomalous`` where a path has no folder.

    Example:
        >>> defect_types(["a/test/cut/0.png", "a/test/good/0.png", "0.png"], [True, False, True])
        ['cut', 'good', 'anomalous']
    """
    return [
        (PurePosixPath(path).parent.name or "anomalous") if anomalous else NORMAL
        for path, anomalous in zip(image_paths, is_anomalous, strict=True)
    ]


def _as_floats(aupimos: "ArrayLike | Tensor") -> np.ndarray:
    values = aupimos.detach().cpu().numpy() if hasattr(aupimos, "detach") else aupimos
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _problem(aupimos: np.ndarray, image_paths: Sequence[str]) -> str | None:
    """Say what is wrong with scores and paths, if anything."""
    if len(aupimos) != len(image_paths):
        return f"there are {len(aupimos)} scores but {len(image_paths)} image paths"
    repeated = [path for path, times in Counter(image_paths).items() if times > 1]
    if repeated:
        return f"the image path {repeated[0]} occurs more than once"
    outside = np.flatnonzero((aupimos < 0) | (aupimos > 1))
    if len(outside):
        first = outside[0]
        return f"the score of {image_paths[first]} is {aupimos[first]}, outside [0, 1]"
    return None


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
    problem = _problem(values, paths)
    if problem is None and masks is not None and len(masks) != len(paths):  # type: ignore[arg-type]
        problem = f"there are {len(masks)} masks but {len(paths)} image paths"  # type: ignore[arg-type]
    if problem is not None:
        msg = f"The scores do not make a table: {problem}."
        raise InputError(msg)
    table = pd.DataFrame({"image_path": paths, "defect": defect_types(paths, ~np.isnan(values)), "aupimo": values})
    if masks is not None:
        area = [int((mask != 0).sum()) for mask in masks]  # type: ignore[union-attr]
        table["mask_area"] = np.asarray(area, dtype=np.int64)
    severity = _severity(paths, dataset, data_root)
    if severity is not None:
        table["severity"] = severity
    return table


def _severity(paths: list[str], dataset: str | None, data_root: str | Path | None) -> pd.Series | None:
    if dataset is None or data_root is None:
        return None
    from aupimo_helpers import data

    known = data.defects(dataset, data_root)
    if known is None or "severity" not in known:
        return None
    # In defects.csv paths begin at the category folder: test/DEFECT/FILE.
    inside = ["/".join(PurePosixPath(path).parts[-3:]) for path in paths]
    return known.set_index("image_path")["severity"].reindex(inside).reset_index(drop=True)


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
        path: The file, by convention ending in ``.json``. Missing folders are made.
        aupimos: AUPIMO of each image, (N,), in [0, 1]; NaN for normal images (written as ``NaN``, as in the published
            files: Python reads that, strict JSON readers do not).
        image_paths: One per image, each different.
        fpr_bounds: L and U, the bounds of the shared FPR, 0 < L < U <= 1.
        threshold_bounds: The lowest and the highest anomaly threshold of the integration range: where the shared FPR
            is U and where it is L.
        num_thresholds: Of the grid that the scores were computed with; None if they are exact.

    Returns:
        The path.

    Raises:
        InputError: If numbers of scores and paths differ, a path occurs twice, a score is outside [0, 1], or bounds
            are out of order.
        WriteError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = save_scores(
        ...         Path(folder, "scores.json"),
        ...         [0.1, float("nan")],
        ...         ["a/test/cut/0.png", "a/test/good/0.png"],
        ...         fpr_bounds=(1e-5, 1e-4),
        ...         threshold_bounds=(3.5, 4.5),
        ...     )
        ...     load_scores(file)["aupimo"].tolist()
        [0.1, nan]
    """
    path, values, paths = Path(path), _as_floats(aupimos), [Path(p).as_posix() for p in image_paths]
    problem = _problem(values, paths) or _bounds_problem(fpr_bounds, threshold_bounds)
    if problem is not None:
        msg = f"The scores cannot be saved to {path}: {problem}."
        raise InputError(msg)
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


def _bounds_problem(fpr_bounds: Sequence[Any], threshold_bounds: Sequence[Any]) -> str | None:
    if not 0 < fpr_bounds[0] < fpr_bounds[1] <= 1:
        return f"the FPR bounds are {fpr_bounds[0]} and {fpr_bounds[1]}, not 0 < lower < upper <= 1"
    if not threshold_bounds[0] <= threshold_bounds[1]:
        return f"the threshold bounds are {threshold_bounds[0]} and {threshold_bounds[1]}, not lower <= upper"
    return None


def load_scores(path: str | Path) -> pd.DataFrame:
    """Read a file of scores: ours, anomalib's, or a published one.

    Args:
        path: A JSON file as ``save_scores`` writes it.

    Returns:
        Columns ``image_path``, ``defect`` (``good`` for normal images) and ``aupimo`` (float64, NaN for normal
        images), rows as in the file. Its ``attrs`` hold ``fpr_bounds``, ``threshold_bounds`` (pairs of floats) and
        ``num_thresholds`` (int or None).

    Raises:
        MissingError: If there is no such file.
        InputError: If it is not JSON, a key is missing, lengths differ, a path occurs twice, or a value is not what
            it must be; the message names the file.

    Example:
        >>> load_scores("aupimos.json").attrs["fpr_bounds"]  # doctest: +SKIP
        (1e-05, 0.0001)
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        msg = f"There is no file of scores at {path}."
        raise MissingError(msg) from error
    except ValueError as error:
        msg = f"{path} is not a file of scores: it cannot be read as JSON ({error})."
        raise InputError(msg) from error
    try:
        return _parse(content)
    except InputError as error:
        msg = f"{path} is not a file of scores: {error}."
        raise InputError(msg) from error


def _parse(content: Any) -> pd.DataFrame:  # noqa: ANN401
    """Turn the file's content into the table; raise an ``InputError`` that says what is wrong."""
    if not isinstance(content, dict):
        msg = "it holds no JSON object"
        raise InputError(msg)
    for key in (
        "fpr_lower_bound",
        "fpr_upper_bound",
        "num_threshs",
        "thresh_lower_bound",
        "thresh_upper_bound",
        "aupimos",
        "paths",
    ):
        if key not in content:
            msg = f"the key {key!r} is missing"
            raise InputError(msg)
    metric = content.get("shared_fpr_metric", SHARED_FPR_METRIC)
    if metric != SHARED_FPR_METRIC:
        msg = f"its shared FPR is {metric!r}, not {SHARED_FPR_METRIC!r}"
        raise InputError(msg)
    fpr_bounds = (_number(content, "fpr_lower_bound"), _number(content, "fpr_upper_bound"))
    threshold_bounds = (_number(content, "thresh_lower_bound"), _number(content, "thresh_upper_bound"))
    paths, scores = content["paths"], content["aupimos"]
    if not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
        msg = "'paths' is not a list of strings"
        raise InputError(msg)
    if not isinstance(scores, list) or not all(s is None or _is_number(s) for s in scores):
        msg = "'aupimos' is not a list of numbers"
        raise InputError(msg)
    values = np.asarray([math.nan if s is None else s for s in scores], dtype=np.float64)
    problem = _problem(values, paths) or _bounds_problem(fpr_bounds, threshold_bounds)
    if problem is not None:
        raise InputError(problem)
    table = pd.DataFrame({"image_path": paths, "defect": defect_types(paths, ~np.isnan(values)), "aupimo": values})
    table.attrs.update(
        fpr_bounds=fpr_bounds, threshold_bounds=threshold_bounds, num_thresholds=content["num_threshs"]
    )
    return table


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(content: dict[str, Any], key: str) -> float:
    if not _is_number(content[key]):
        msg = f"{key!r} is {content[key]!r}, not a number"
        raise InputError(msg)
    return float(content[key])
