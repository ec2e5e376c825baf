"""Images, masks and anomaly maps: reading them, and laying them out in figures.

The functions for one image draw on ``ax`` and return it; those for several images make a figure and return it. Images
are (H, W, 3) or (H, W), uint8 in 0..255 or float in 0..1. Masks, (H, W) and not zero inside the defect, are drawn as
outlines, so that the pixels under them stay visible.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import ArrayLike

from aupimo_helpers.data.images import load_image as load_image
from aupimo_helpers.data.images import load_mask as load_mask
from aupimo_helpers.errors import InputError
from aupimo_helpers.plots.style import HEATMAP, MASK_COLOR, OKABE_ITO
from aupimo_helpers.session import alt_text

if TYPE_CHECKING:
    from IPython.display import Image as DisplayedImage

# Photographs are shown smaller than they are: without a smoothing filter, texture turns into noise.
_SMOOTH = "antialiased"
# Light colours with a dark halo: visible on bright and on dark images, on grey ones and on a heat map.
_LEVEL_COLORS = ("#FFFFFF", OKABE_ITO[6], OKABE_ITO[5], OKABE_ITO[3])
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.6, foreground="black")]


def draw_outline(ax: Axes, mask: ArrayLike) -> Axes:
    """Draw the outline of a mask, if there is anything in it, over an image of its size."""
    inside = np.asarray(mask) != 0
    if not inside.any():
        return ax
    # One pixel of padding closes the outline of a defect that touches the image's border.
    padded = np.pad(inside, 1).astype(float)
    height, width = inside.shape
    x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
    # Above the contours of an anomaly map, whose halo would hide the outline of a small defect.
    ax.contour(x, y, padded, levels=[0.5], colors=[MASK_COLOR], linewidths=1.2, zorder=3)
    # The contour may have widened the axes by the padding.
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return ax


def _contours(ax: Axes, scores: np.ndarray, thresholds: Iterable[float], tints: Iterable[str], width: float) -> Axes:
    """Draw the outline of what lies above each threshold that the map reaches."""
    for threshold, color in zip(thresholds, tints, strict=False):
        if scores.min() < threshold <= scores.max():  # matplotlib warns about a contour that does not exist
            ax.contour(scores, levels=[threshold], colors=[color], linewidths=width).set_path_effects(_HALO)
    return ax


def plot_fpr_contours(anomaly_map: ArrayLike, thresholds: Mapping[str, float], *, ax: Axes) -> Axes:
    """Draw the outline of what lies above each threshold, over an image that is already on the axes.

    ``anomaly_map`` is (H, W). ``thresholds`` by name go from the laxest to the strictest; one that no pixel reaches
    draws nothing, and more than there are colours (four) are an ``InputError``.

    Example:
        >>> ax = plot_fpr_contours(np.eye(8), {"half": 0.5, "out of reach": 2.0}, ax=plt.figure().gca())
        >>> len(ax.collections)
        1
    """
    if len(thresholds) > len(_LEVEL_COLORS):
        raise InputError(
            f"There are {len(thresholds)} thresholds and {len(_LEVEL_COLORS)} colours to draw them in: draw fewer."
        )
    return _contours(ax, np.asarray(anomaly_map, dtype=np.float64), thresholds.values(), _LEVEL_COLORS, 1.2)


def fpr_contour_handles(names: Sequence[str]) -> list[Line2D]:
    """Make the entries of ``figure.legend(handles=...)`` for the lines of ``plot_fpr_contours``, in the same order.

    Example:
        >>> [handle.get_label() for handle in fpr_contour_handles(["FPR 1e-2", "FPR 1e-3"])]
        ['FPR 1e-2', 'FPR 1e-3']
    """
    return [
        Line2D([], [], color=color, linewidth=1.5, label=name, path_effects=_HALO)
        for name, color in zip(names, _LEVEL_COLORS[: len(names)], strict=True)
    ]


def show_image(ax: Axes, image: ArrayLike, mask: ArrayLike | None = None, *, title: str | None = None) -> Axes:
    """Show one image with the outline of its mask, which has the same size.

    Example:
        >>> show_image(plt.figure().gca(), np.zeros((8, 8)), title="black").get_title(loc="left")
        'black'
    """
    pixels = np.asarray(image)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255 if pixels.dtype == np.uint8 else 1, interpolation=_SMOOTH)
    return _finish(ax, mask, title)


def image_grid(
    images: Iterable[ArrayLike],
    masks: Iterable[ArrayLike] | None = None,
    titles: Iterable[str] | None = None,
    *,
    ncols: int = 6,
    cell: float = 1.3,
    suptitle: str | None = None,
) -> Figure:
    """Show images in a grid, row by row, with the outlines of their masks.

    There are as many masks and titles as images, else an ``InputError`` says what is missing. ``ncols`` is the number
    of images per row, ``cell`` the width of one in inches, ``suptitle`` the title of the figure.

    Example:
        >>> len(image_grid([np.zeros((8, 8))] * 5, titles="abcde", ncols=3).axes)
        6
    """
    images = list(images)
    shown_masks = _as_many(images, masks, "masks")
    texts = _as_many(images, titles, "titles")
    nrows = -(-len(images) // ncols)
    figure, axes = _figure(images, nrows, ncols, cell, titles=titles is not None, suptitle=suptitle)
    for ax, image, mask, title in zip(axes.flat, images, shown_masks, texts, strict=False):
        show_image(ax, image, mask, title=title)
    for ax in axes.flat[len(images) :]:
        ax.set_axis_off()
    return figure


def heatmap_grid(
    images: Iterable[ArrayLike],
    anomaly_maps: Iterable[ArrayLike],
    masks: Iterable[ArrayLike] | None = None,
    titles: Iterable[str] | None = None,
    *,
    limits: tuple[float, float] | None = None,
    cell: float = 1.5,
    suptitle: str | None = None,
    thresholds: Sequence[float] = (),
) -> Figure:
    """Show images in one row and their anomaly maps below them, all maps on one colour scale.

    The maps are (H, W) anomaly scores, and their size is also the masks'. ``limits`` are the scores at the two ends
    of the colour scale, by default the lowest and the highest of these maps; at ``thresholds`` the maps get contours.
    The rest is as in ``image_grid``.

    Example:
        >>> heatmap_grid([np.zeros((8, 8))] * 2, np.random.default_rng(0).random((2, 8, 8))).axes[-1].get_ylabel()
        'anomaly score (raw)'
    """
    images = list(images)
    maps = [np.asarray(scores) for scores in _as_many(images, anomaly_maps, "anomaly maps")]
    shown_masks = _as_many(images, masks, "masks")
    texts = _as_many(images, titles, "titles")
    low, high = limits or (min(float(each.min()) for each in maps), max(float(each.max()) for each in maps))
    figure, axes = _figure(images, 2, len(images), cell, titles=titles is not None, suptitle=suptitle, bar=0.9)
    for (upper, lower), image, scores, mask, title in zip(axes.T, images, maps, shown_masks, texts, strict=True):
        pixels = np.asarray(image)
        # Images are stretched to the pixel grid of their maps, which is also the masks'.
        extent = (-0.5, scores.shape[1] - 0.5, scores.shape[0] - 0.5, -0.5)
        look = {"extent": extent, "interpolation": _SMOOTH}
        upper.imshow(pixels, cmap="gray", vmin=0, vmax=255 if pixels.dtype == np.uint8 else 1, **look)
        lower.imshow(scores, cmap=HEATMAP, vmin=low, vmax=high, **look)
        _contours(lower, scores, thresholds, cycle(_LEVEL_COLORS), 1.0)
        for ax, text in ((upper, title), (lower, "")):
            _finish(ax, mask, text)
    add_colorbar(axes[1])
    return figure


def add_colorbar(axes: Sequence[Axes] | np.ndarray) -> None:
    """Put one colour bar beside axes that show heat maps on the same scale."""
    axes = list(axes)
    # Taken from the colours, not from the drawn heat map: that may be half transparent over an image.
    shown = axes[0].images[-1]
    opaque = plt.cm.ScalarMappable(norm=shown.norm, cmap=shown.cmap)
    bar = axes[0].figure.colorbar(opaque, ax=axes, label="anomaly score (raw)", fraction=0.05, pad=0.01)
    bar.ax.grid(visible=False)


def as_jpeg(figure: Figure, quality: int = 85) -> "DisplayedImage":
    """Render a figure as JPEG (``quality`` 1 to 95) and close it: photographs are 4 to 8 times smaller than as PNG.

    Example:
        >>> as_jpeg(image_grid([np.zeros((8, 8))])).format
        'jpeg'
    """
    from IPython.display import Image as DisplayedImage

    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": quality, "optimize": True})
    plt.close(figure)
    return DisplayedImage(data=buffer.getvalue(), format="jpeg", alt=alt_text(figure))


def _finish(ax: Axes, mask: ArrayLike | None, title: str | None) -> Axes:
    """Draw the mask's outline and the title over an image, and take ticks, grid and frame away."""
    if mask is not None:
        draw_outline(ax, mask)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.set_title(title or "", fontsize=9, loc="left")
    return ax


def _as_many(images: list, others: Iterable | None, what: str) -> list:
    """List ``others``, or one ``None`` per image."""
    if not images:
        raise InputError("There is no image to show: give at least one.")
    listed = [None] * len(images) if others is None else list(others)
    if len(listed) != len(images):
        raise InputError(f"{len(images)} images but {len(listed)} {what}: give one for each image.")
    return listed


def _figure(
    images: list, nrows: int, ncols: int, cell: float, *, titles: bool, suptitle: str | None, bar: float = 0.0
) -> tuple[Figure, np.ndarray]:
    height, width = np.shape(images[0])[:2]
    row = cell * height / width + (0.22 if titles else 0.0)
    size = (max(ncols * cell, 3.0) + bar, nrows * row + (0.3 if suptitle else 0.0))
    figure, axes = plt.subplots(nrows, ncols, figsize=size, squeeze=False)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0)
    if suptitle is not None:
        figure.suptitle(suptitle, fontsize=11, x=0.01, ha="left")
    return figure, axes
