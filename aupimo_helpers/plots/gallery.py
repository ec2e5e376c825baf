"""The gallery of representative images: one picture per image that says found, half found or missed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from aupimo_helpers.errors import InputError
from aupimo_helpers.files import atomic_file
from aupimo_helpers.plots.images import fpr_contour_handles, load_image, plot_fpr_contours, show_image
from aupimo_helpers.plots.style import HEATMAP, MASK_COLOR

if TYPE_CHECKING:
    from aupimo_helpers.model import Predictions


def show_detection(
    ax: Axes,
    image: ArrayLike,
    anomaly_map: ArrayLike,
    mask: ArrayLike,
    thresholds: Mapping[str, float],
    *,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
) -> Axes:
    """Show in one picture what is defective and what the model calls defective at given thresholds.

    Contours that fill the mask's outline mean "found", contours that fill half of it "half found", none inside it
    "missed"; contours outside of it are false alarms.

    Image, map and mask are of one size (H, W); the lower a score, the more transparent. ``thresholds`` by name go
    from the laxest to the strictest. ``limits`` are the scores at the two ends of the colour scale, by default with
    the thresholds in its middle. Returns ``ax``.

    Example:
        >>> scores, mask = np.eye(8), np.ones((8, 8))
        >>> ax = show_detection(plt.figure().gca(), np.zeros((8, 8)), scores, mask, {"FPR 1e-4": 0.5}, title="half")
    """
    scores = np.asarray(anomaly_map, dtype=np.float64)
    low, high = limits or heat_limits(scores, thresholds)
    show_image(ax, image, mask, title=title)
    # The image keeps its own colours where nothing is suspicious, and shimmers through where something is.
    opacity = 0.65 * np.clip((scores - low) / (high - low), 0, 1)
    ax.imshow(scores, cmap=HEATMAP, vmin=low, vmax=high, alpha=opacity)
    return plot_fpr_contours(scores, thresholds, ax=ax)


def heat_limits(anomaly_maps: ArrayLike, thresholds: Mapping[str, float]) -> tuple[float, float]:
    """Choose the ends of a heat map's colour scale: the median score, and as far above the strictest threshold."""
    scores = np.asarray(anomaly_maps, dtype=np.float64)
    low, strictest = float(np.median(scores)), max(thresholds.values())
    # A scale up to the highest score would leave the maps of all other images dark.
    if strictest > low:
        return low, 2 * strictest - low
    return low, max(float(scores.max()), float(np.nextafter(low, np.inf)))


def plot_gallery(
    chosen: pd.DataFrame,
    predictions: "Predictions",
    thresholds: Mapping[str, float],
    *,
    data_root: str | Path = "../datasets",
    by: str | None = None,
    cell: float = 2.3,
    suptitle: str | None = None,
) -> Figure:
    """Lay out the images that :func:`aupimo_helpers.stats.representatives` picked, one column per statistic.

    Each picture is the image itself, so that the defect stays visible, with the outline of its mask and the contours
    of its anomaly map at ``thresholds``: by name, from the laxest to the strictest. ``chosen`` has the columns
    ``image_path`` (relative to ``data_root``), ``defect``, ``aupimo``, ``statistic`` and ``alike``; no row, or an
    image without prediction, is an ``InputError``. The values of the column ``by`` make the gallery's rows, ``cell``
    is a picture's width in inches, ``suptitle`` the title of the figure.

    Example:
        >>> plot_gallery(stats.representatives(table), predictions, thresholds)  # doctest: +SKIP
    """
    if chosen.empty:
        raise InputError("There is no image to show in the gallery: pick at least one anomalous image.")
    place = {path: i for i, path in enumerate(predictions.image_paths)}
    missing = sorted(set(chosen["image_path"]) - set(place))
    if missing:
        raise InputError(f"There is no prediction for {missing[0]}: pick images of the test set that was predicted.")
    rows = [chosen] if by is None else [group for _, group in chosen.groupby(by, sort=True)]
    columns = list(dict.fromkeys(chosen["statistic"]))
    height = len(rows) * (cell + 0.4) + 0.4 + (0.35 if suptitle else 0.0)
    size = (max(len(columns) * cell, 5.0), height)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False, layout="constrained")
    if suptitle is not None:
        figure.suptitle(suptitle, fontsize=11, x=0.01, ha="left")
    for ax in axes.flat:
        ax.set_axis_off()
    for group, row in zip(rows, axes, strict=True):
        for picture in group.itertuples():
            index = place[str(picture.image_path)]
            ax = row[columns.index(picture.statistic)]
            ax.set_axis_on()
            scores, mask = (np.asarray(each[index]) for each in (predictions.anomaly_maps, predictions.masks))
            file = Path(data_root, str(picture.image_path))
            show_image(ax, load_image(file, size=scores.shape), mask, title=_title(picture, cell))
            plot_fpr_contours(scores, thresholds, ax=ax)
    outline = Line2D([], [], color=MASK_COLOR, linewidth=1.5, label="outline of the mask")
    handles = [outline, *fpr_contour_handles([f"threshold at {name}" for name in thresholds])]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), fontsize=9)
    legend.set_frame_on(False)
    return figure


def _title(picture: Any, cell: float) -> str:  # noqa: ANN401
    """Name the number, the score and how many others have it; long names of files keep their end."""
    alike = f" (1 of {picture.alike})" if picture.alike > 1 else ""
    name, most = f"{picture.defect}/{Path(picture.image_path).name}", int(cell * 11)
    name = name if len(name) <= most else "…" + name[1 - most :]
    return f"{picture.statistic}: {100 * picture.aupimo:.0f} %{alike}\n{name}"


def save_gallery(figure: Figure, path: str | Path) -> Path:
    """Save a gallery as one PNG, whole or not at all (``WriteError``), and return its path; missing folders are made.

    Example:
        >>> save_gallery(figure, "results/gallery/leather.png")  # doctest: +SKIP
    """
    with atomic_file(path) as temporary:
        figure.savefig(temporary)
    return Path(path)
