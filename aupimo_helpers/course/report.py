"""The report: what the scores of one test set say, on one page that needs no network."""

import base64
import io
from collections.abc import Sequence
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
from aupimo_helpers.files import atomic_file
from aupimo_helpers.plots import score_histogram, scores_by_defect, show_detection, use_style
from aupimo_helpers.scores import score_table
from aupimo_helpers.scores.maps import Scored
from aupimo_helpers.session import versions

NUM_WORST = 10
NUM_LOUDEST = 6


@dataclass(frozen=True)
class Report:
    """A report before it is written: of a data set or maps called ``name``."""

    name: str
    results: Scored | None = None
    why_no_scores: str = ""  # where there are no results
    notes: Sequence[tuple[str, Sequence[str]]] = ()  # headings with lines: what was skipped, what the check warned of
    rows: Sequence[Row] = ()  # the notebooks of a run


def write_report(path: Path, report: Report) -> Path:
    """Write a report as one HTML file."""
    with atomic_file(path) as temporary:
        temporary.write_text(report_html(report, page=True), encoding="utf-8")
    return path


def report_html(report: Report, *, page: bool) -> str:
    """Render a report, as a page of its own or as what stands below the title of a page."""
    environment = Environment(
        loader=PackageLoader("aupimo_helpers", "course"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    told = {"facts": ()} if report.results is None else _told(report.results)
    line = ", ".join(f"{name} {number}" for name, number in versions().items())
    return environment.get_template("report.html.j2").render(page=page, versions=line, **vars(report), **told)


def _told(results: Scored) -> dict[str, Any]:
    """Everything that the page says of the results, as text and pictures."""
    threshold = results.threshold_bounds[0]
    table = score_table(results.aupimos, results.paths)
    table["mask_area"] = [len(scores) for scores in results.of_masks]
    scored, normal = table.dropna(subset="aupimo"), table[table["aupimo"].isna()]
    normal = normal.assign(false_positives=[(image.scores >= threshold).sum() for image in results.normal])
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
        "facts": _facts(results, scored),
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


def _facts(results: Scored, scored: pd.DataFrame) -> list[tuple[str, str]]:
    scores, num_normal = scored["aupimo"].to_numpy(), len(results.normal)
    lower, upper = results.fpr_bounds
    kinds = ", ".join(f"{name} {count}" for name, count in scored["defect"].value_counts(sort=False).items())
    facts = [
        ("Test images", f"{num_normal} normal, {len(scored)} anomalous ({kinds})"),
        ("Bounds of the shared FPR", f"{lower:g} to {upper:g}"),
        (f"Threshold at FPR {upper:g}", f"{results.threshold_bounds[0]:.6g} (raw anomaly score)"),
    ]
    if len(scores) > 1:
        rng = np.random.default_rng(0)  # this, the method and the number are those of notebook 05
        interval = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=1000, rng=rng)
        low, high = map(float, interval.confidence_interval)
        text = f"95 % interval of the mean {100 * low:.1f} % to {100 * high:.1f} % (bootstrap)"
        facts.append(("Other anomalous images", text))
    if num_normal > 1:
        means = results.means_without_each()
        text = f"mean from {100 * means.min():.1f} % to {100 * means.max():.1f} %, depending on which"
        facts.append(("One normal image left out", text))
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


def _card(results: Scored, row: Any, what: str) -> dict[str, str]:  # noqa: ANN401
    """One picture: the image with its mask's outline, the map over it, and the threshold as a contour."""
    anomaly_map, mask = results.read(row.Index)
    shape = anomaly_map.shape
    image = results.image(row.Index, shape) if results.image else np.full(shape, 0.5)
    figure = Figure(figsize=(3.2, 3.2), layout="constrained")
    levels = {f"FPR {results.fpr_bounds[1]:g}": results.threshold_bounds[0]}
    show_detection(figure.subplots(), image, anomaly_map, mask, levels)
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
