"""The report: what the scores of one test set say, on one page that needs no network."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from scipy import stats

from aupimo_helpers.course.notebook import Row
from aupimo_helpers.data.images import load_image
from aupimo_helpers.files import atomic_file
from aupimo_helpers.metrics import aupimo_scores, reweighted_scores, threshold_at_fpr
from aupimo_helpers.model import Predictions
from aupimo_helpers.plots import score_histogram, scores_by_defect, show_detection, use_style
from aupimo_helpers.scores import score_table
from aupimo_helpers.scores.maps import FileScores
from aupimo_helpers.session import versions

NUM_WORST = 10
NUM_LOUDEST = 6


@dataclass(frozen=True)
class Picture:
    """One test image: pixels (H, W[, 3]) or None where they are not at hand, map (H, W), mask (H, W)."""

    image: np.ndarray | None
    anomaly_map: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Results:
    """What a report tells of a test set.

    Attributes:
        table: Score table with ``image_path``, ``defect``, ``aupimo``, ``mask_area`` and ``false_positives``
            (pixels at or above the threshold at the upper FPR bound, for normal images).
        picture: Gives one image of the table by its path.
        fpr_bounds: L and U.
        threshold_bounds: Raw scores where the shared FPR is U and where it is L.
        normal_range: Lowest and highest mean AUPIMO when one normal image is left out.
    """

    table: pd.DataFrame
    picture: Callable[[str], Picture]
    fpr_bounds: tuple[float, float]
    threshold_bounds: tuple[float, float]
    normal_range: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """A report before it is written.

    Attributes:
        name: Of the data set or the maps.
        results: None where no scores could be had; then ``why_no_scores`` says why.
        notes: Headings with lines: what was skipped, what the check warned of.
        rows: The notebooks of a run.
    """

    name: str
    results: Results | None = None
    why_no_scores: str = ""
    notes: Sequence[tuple[str, Sequence[str]]] = ()
    rows: Sequence[Row] = ()


def results_of(predictions: Predictions, data_root: str | Path, fpr_bounds: tuple[float, float]) -> Results:
    """Compute what a report tells of a model's predictions; ``data_root`` is the folder of their image paths."""
    maps, masks = predictions.anomaly_maps, predictions.masks
    lower, upper = fpr_bounds
    thresholds = threshold_at_fpr(maps, masks, upper), threshold_at_fpr(maps, masks, lower)
    table = score_table(aupimo_scores(maps, masks, fpr_bounds), predictions.image_paths, masks)
    normal = ~predictions.is_anomalous
    table["false_positives"] = ((maps >= thresholds[0]).sum(dim=(1, 2)) * normal).numpy()
    means = reweighted_scores(maps, masks, _each_left_out(int(normal.sum())), fpr_bounds)
    place = {path: index for index, path in enumerate(predictions.image_paths)}

    def picture(path: str) -> Picture:
        scores, mask = maps[place[path]].numpy(), masks[place[path]].numpy()
        return Picture(load_image(Path(data_root, path), scores.shape), scores, mask)

    return Results(table, picture, fpr_bounds, thresholds, _range(means))


def results_of_files(scores: FileScores, images: Mapping[str, Path]) -> Results:
    """Compute what a report tells of score maps on disk; ``images`` are known by the maps' names."""
    mask_pixels = [len(found) for found in scores.of_masks]
    table = score_table(scores.aupimos, scores.paths).assign(mask_area=mask_pixels, false_positives=0)
    threshold = scores.threshold_bounds[0]
    table.loc[table["aupimo"].isna(), "false_positives"] = [
        (each.scores >= threshold).sum() for each in scores.normal
    ]
    means = scores.reweighted(_each_left_out(len(scores.normal)))
    pairs = {pair.name: pair for pair in scores.pairs}

    def picture(path: str) -> Picture:
        anomaly_map, mask = pairs[path].read()
        return Picture(load_image(images[path], anomaly_map.shape) if images else None, anomaly_map, mask)

    return Results(table, picture, scores.fpr_bounds, scores.threshold_bounds, _range(means))


def _each_left_out(number: int) -> np.ndarray:
    return 1 - np.eye(number) if number > 1 else np.ones((1, 1))


def _range(scores: np.ndarray) -> tuple[float, float]:
    means = np.nanmean(scores, axis=1)
    return float(means.min()), float(means.max())


def write_report(path: str | Path, report: Report) -> Path:
    """Write a report as one HTML file.

    Args:
        path: The file.
        report: What it tells.

    Returns:
        The path.

    Raises:
        WriteError: If the file cannot be written.
    """
    page = report_html(report, page=True)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def report_html(report: Report, *, page: bool) -> str:
    """Render a report, as a page of its own or as what stands below the title of a page."""
    environment = Environment(
        loader=PackageLoader("aupimo_helpers", "course"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    line = ", ".join(f"{name} {number}" for name, number in versions().items())
    return environment.get_template("report.html.j2").render(
        page=page,
        name=report.name,
        why_no_scores=report.why_no_scores,
        notes=report.notes,
        rows=report.rows,
        versions=line,
        **({"facts": ()} if report.results is None else _told(report.results)),
    )


def _told(results: Results) -> dict[str, Any]:
    """Everything that the page says of the results, as text and pictures."""
    table, (threshold, _) = results.table, results.threshold_bounds
    scored = table.dropna(subset="aupimo")
    normal = table[table["aupimo"].isna()]
    scores = scored["aupimo"].to_numpy()
    use_style()
    kinds = scored.groupby("defect")["aupimo"]
    worst = scored.sort_values(["aupimo", "mask_area"], ascending=[True, False]).head(NUM_WORST)
    loudest = normal.sort_values("false_positives", ascending=False).head(NUM_LOUDEST)
    loudest = loudest[loudest["false_positives"] > 0]
    return {
        "score": f"{100 * scores.mean():.1f} %",
        "number": len(scores),
        "upper": f"{results.fpr_bounds[1]:g}",
        "facts": _facts(results, scored, normal),
        "charts": [_histogram(scores), _boxes(scored)],
        "kinds": [
            {
                "name": name,
                "images": len(group),
                "mean": f"{100 * group.mean():.1f} %",
                "median": f"{100 * group.median():.1f} %",
                "low": f"{100 * (group < 0.2).mean():.0f} %",
                "high": f"{100 * (group > 0.8).mean():.0f} %",
            }
            for name, group in kinds
        ],
        "worst_text": _worst_text(scored, worst),
        "worst": [_card(results, row, f"AUPIMO {100 * row.aupimo:.1f} %") for row in worst.itertuples()],
        "normal_text": _normal_text(normal, threshold, results.fpr_bounds[1]),
        "loudest": [
            _card(results, row, f"{row.false_positives:,} false positive pixels") for row in loudest.itertuples()
        ],
    }


def _facts(results: Results, scored: pd.DataFrame, normal: pd.DataFrame) -> list[tuple[str, str]]:
    scores = scored["aupimo"].to_numpy()
    lower, upper = results.fpr_bounds
    kinds = ", ".join(f"{name} {count}" for name, count in scored["defect"].value_counts(sort=False).items())
    facts = [
        ("Test images", f"{len(normal)} normal, {len(scored)} anomalous ({kinds})"),
        ("Bounds of the shared FPR", f"{lower:g} to {upper:g}"),
        (f"Threshold at FPR {upper:g}", f"{results.threshold_bounds[0]:.6g} (raw anomaly score)"),
    ]
    if len(scores) > 1:
        interval = stats.bootstrap((scores,), np.mean, method="percentile", rng=np.random.default_rng(0))
        low, high = map(float, interval.confidence_interval)
        facts.append(
            (
                "Other anomalous images",
                f"95 % interval of the mean {100 * low:.1f} % to {100 * high:.1f} % (bootstrap)",
            )
        )
    if len(normal) > 1:
        low, high = results.normal_range
        facts.append(
            ("One normal image left out", f"mean from {100 * low:.1f} % to {100 * high:.1f} %, depending on which")
        )
    facts.append(
        ("Missed and found", f"{(scores == 0).sum()} images score exactly 0 %, {(scores == 1).sum()} exactly 100 %")
    )
    return facts


def _worst_text(scored: pd.DataFrame, worst: pd.DataFrame) -> str:
    last = worst["aupimo"].iloc[-1]
    ties = int((scored["aupimo"] == last).sum())
    text = f"The {len(worst)} lowest scores of {len(scored)}; at equal scores the larger defect comes first."
    if ties > (shown := int((worst["aupimo"] == last).sum())):
        text += f" {ties} images score {100 * last:.1f} %: {shown} of them are shown."
    return text


def _normal_text(normal: pd.DataFrame, threshold: float, upper: float) -> str:
    pixels = normal["false_positives"]
    silent, total = int((pixels == 0).sum()), int(pixels.sum())
    text = (
        f"At the threshold {threshold:.6g} (shared FPR {upper:g}) {silent} of {len(normal)} normal images have no "
        "false positive pixel"
    )
    if total:
        text += f"; of the {total:,} such pixels {100 * pixels.max() / total:.0f} % lie in one image"
    return f"{text}."


def _card(results: Results, row: Any, what: str) -> dict[str, str]:  # noqa: ANN401
    """One picture: the image with its mask's outline, the map over it, and the threshold as a contour."""
    picture = results.picture(row.image_path)
    image = np.full(picture.anomaly_map.shape, 0.5) if picture.image is None else picture.image
    figure = Figure(figsize=(3.2, 3.2), layout="constrained")
    show_detection(
        figure.subplots(),
        image,
        picture.anomaly_map,
        picture.mask,
        {f"FPR {results.fpr_bounds[1]:g}": results.threshold_bounds[0]},
    )
    return {
        "source": _data_url(figure, "jpeg"),
        "caption": f"{row.image_path}: {what}",
        "alt": f"{row.image_path}: anomaly map, outline of the mask and contour of the threshold. {what}.",
    }


def _histogram(scores: np.ndarray) -> dict[str, str]:
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    score_histogram(scores, title="How many images have which score", ax=figure.subplots())
    counts, _ = np.histogram(scores, np.linspace(0, 1, 11))
    alt = f"Histogram of {len(scores)} scores in ten bins from 0 % to 100 %: {', '.join(map(str, counts))} images."
    return {"source": _data_url(figure, "png"), "alt": alt}


def _boxes(scored: pd.DataFrame) -> dict[str, str]:
    figure = Figure(figsize=(8, 1.2 + 0.55 * scored["defect"].nunique()), layout="constrained")
    scores_by_defect(scored, title="Scores per kind of defect", ax=figure.subplots())
    medians = scored.groupby("defect")["aupimo"].median()
    alt = "Box plot per kind of defect; medians: " + ", ".join(f"{k} {100 * m:.0f} %" for k, m in medians.items())
    return {"source": _data_url(figure, "png"), "alt": alt}


def _data_url(figure: Figure, kind: str) -> str:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"pil_kwargs": {"quality": 85}} if kind == "jpeg" else {}
    figure.savefig(buffer, format=kind, dpi=100, **options)
    plt.close(figure)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
