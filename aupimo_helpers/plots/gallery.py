"""The gallery of representative images: one picture per image that says found, half found or missed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from aupimo_helpers.errors import InputError
from aupimo_helpers.files import atomic_file
from aupimo_helpers.plots.curves import fpr_contour_handles, plot_fpr_contours
from aupimo_helpers.plots.images import add_colorbar, load_image, show_image
from aupimo_helpers.plots.style import HEATMAP, MASK_COLOR

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from aupimo_helpers.model import Predictions


def show_detection(
    ax: "Axes",
    image: "ArrayLike",
    anomaly_map: "ArrayLike",
    mask: "ArrayLike",
    thresholds: Mapping[str, float],
    *,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
) -> "Axes":
    """Show in one picture what is defective and what the model calls defective at given thresholds.

    Args:
        ax: The axes to draw in.
        image: (H, W, 3) or (H, W), uint8 in 0..255 or float in 0..1, of the map's size.
        anomaly_map: (H, W) anomaly scores, laid over the image as a heat map: the lower a score, the more
            transparent.
        mask: (H, W), not zero inside the defect, drawn as an outline.
        thresholds: Threshold by name, from the laxest to the strictest; each is drawn as a contour of the map.
        limits: Scores at the two ends of the colour scale; see :func:`heat_limits` for the default.
        title: Text above the picture.

    Returns:
        The axes. Contours that fill the outline mean "found", contours that fill half of it "half found", none inside
        it "missed"; contours outside of it are false alarms.

    Example:
        >>> scores = np.zeros((8, 8)); scores[2:4, 2:6] = 1.0
        >>> mask = np.zeros((8, 8)); mask[2:6, 2:6] = 1
        >>> ax = show_detection(plt.figure().gca(), np.zeros((8, 8)), scores, mask, {"FPR 1e-4": 0.5}, title="half")
        >>> len(ax.collections)
        2
    """
    scores = np.asarray(anomaly_map, dtype=np.float64)
    low, high = limits or heat_limits(scores, thresholds)
    show_image(ax, image, mask, title=title)
    # The image keeps its own colours where nothing is suspicious, and shimmers through where something is.
    opacity = 0.65 * np.clip((scores - low) / (high - low), 0, 1)
    ax.imshow(scores, cmap=HEATMAP, vmin=low, vmax=high, alpha=opacity)
    return plot_fpr_contours(scores, thresholds, ax=ax)


def heat_limits(anomaly_maps: "ArrayLike", thresholds: Mapping[str, float]) -> tuple[float, float]:
    """Choose the scores at the two ends of a heat map's colour scale, so that the thresholds lie in its middle.

    A scale up to the highest score would leave the maps of all other images dark.

    Args:
        anomaly_maps: Anomaly scores of any shape.
        thresholds: Threshold by name.

    Returns:
        The median score, and the score as far above the strictest threshold as the median lies below it. Where the
        median lies above the thresholds: the median and the highest score (or a little more, if they are equal).

    Example:
        >>> heat_limits([0.0, 1.0, 9.0], {"FPR 1e-4": 2.0, "FPR 1e-5": 3.0})
        (1.0, 5.0)
    """
    scores = np.asarray(anomaly_maps, dtype=np.float64)
    low, strictest = float(np.median(scores)), max(thresholds.values())
    if strictest > low:
        return low, 2 * strictest - low
    return low, max(float(scores.max()), float(np.nextafter(low, np.inf)))


def plot_gallery(
    chosen: "pd.DataFrame",
    predictions: "Predictions",
    thresholds: Mapping[str, float],
    *,
    data_root: str | Path = "../datasets",
    by: str | None = None,
    limits: tuple[float, float] | None = None,
    cell: float = 1.9,
    suptitle: str | None = None,
) -> "Figure":
    """Lay out the images that :func:`aupimo_helpers.stats.representatives` picked, one column per statistic.

    Args:
        chosen: One row per picture with the columns ``image_path``, ``defect``, ``aupimo`` and ``statistic``.
        predictions: The anomaly maps and masks of (at least) these images.
        thresholds: Threshold by name, from the laxest to the strictest, drawn as contours.
        data_root: Folder that the image paths are relative to.
        by: Column whose values make the rows of the gallery, for instance ``defect``; one row by default.
        limits: Scores at the two ends of the one colour scale for all pictures; see :func:`heat_limits` for the
            default.
        cell: Width of one picture in inches.
        suptitle: Title of the whole figure.

    Returns:
        The figure, with a colour bar and a legend for the mask's outline and the contours.

    Raises:
        InputError: If there is nothing to show, or an image has no prediction.

    Example:
        Notebook 08 makes one::

            chosen = stats.representatives(table, by="defect")
            figure = plot_gallery(chosen, predictions, thresholds, by="defect")
    """
    if chosen.empty:
        msg = "There is no image to show in the gallery: pick at least one anomalous image."
        raise InputError(msg)
    place = {path: i for i, path in enumerate(predictions.image_paths)}
    missing = sorted(set(chosen["image_path"]) - set(place))
    if missing:
        msg = f"There is no prediction for {missing[0]}: pick images of the test set that was predicted."
        raise InputError(msg)
    maps = np.asarray(predictions.anomaly_maps)
    if limits is None:
        limits = heat_limits(maps[[place[path] for path in chosen["image_path"]]], thresholds)
    rows = [chosen] if by is None else [group for _, group in chosen.groupby(by, sort=True)]
    columns = list(dict.fromkeys(chosen["statistic"]))
    figure, axes = _figure(len(rows), len(columns), cell, suptitle)
    for ax in axes.flat:
        ax.set_axis_off()
    for group, row in zip(rows, axes, strict=True):
        for picture in group.itertuples():
            index = place[str(picture.image_path)]
            ax = row[columns.index(picture.statistic)]
            ax.set_axis_on()
            image = load_image(Path(data_root, str(picture.image_path)), size=maps[index].shape)
            mask = np.asarray(predictions.masks[index])
            show_detection(ax, image, maps[index], mask, thresholds, limits=limits, title=_caption(picture))
    add_colorbar([ax for ax in axes.flat if ax.images])
    outline = Line2D([], [], color=MASK_COLOR, linewidth=1.5, label="outline of the mask")
    handles = [outline, *fpr_contour_handles([f"threshold at {name}" for name in thresholds])]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
    legend.set_frame_on(False)
    return figure


def save_gallery(figure: "Figure", path: str | Path) -> Path:
    """Save a gallery as one PNG, whole or not at all.

    Args:
        figure: The figure; it stays open.
        path: The PNG to write. Missing parent folders are made.

    Returns:
        The path.

    Raises:
        WriteError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_gallery(plt.figure(), Path(folder, "deep", "gallery.png")).name
        'gallery.png'
    """
    with atomic_file(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def _caption(picture: Any) -> str:  # noqa: ANN401
    """Which statistic the image stands for, its score, and where to find it."""
    return f"{picture.statistic}: {picture.aupimo:.0%}\n{picture.defect}/{Path(picture.image_path).name}"


def _figure(nrows: int, ncols: int, cell: float, suptitle: str | None) -> tuple["Figure", np.ndarray]:
    height = nrows * (cell + 0.4) + 0.4 + (0.35 if suptitle else 0.0)
    figure, axes = plt.subplots(
        nrows, ncols, figsize=(max(ncols * cell + 0.8, 5.0), height), squeeze=False, layout="constrained"
    )
    if suptitle is not None:
        figure.suptitle(suptitle, fontsize=11, x=0.01, ha="left")
    return figure, axes
