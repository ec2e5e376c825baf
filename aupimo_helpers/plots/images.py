"""Images, masks and anomaly maps, laid out in figures.

The functions for one image take the axes as their first argument and return them; the functions for several images
make a figure and return it. Masks are drawn as outlines, so that the pixels under them stay visible.
"""

import io
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image as DisplayedImage
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from aupimo_helpers.data.images import load_image as load_image
from aupimo_helpers.data.images import load_mask as load_mask
from aupimo_helpers.errors import InputError
from aupimo_helpers.plots.style import HEATMAP, MASK_COLOR

# Photographs are shown smaller than they are: without a smoothing filter, texture turns into noise.
_SMOOTH = "antialiased"


def draw_outline(ax: Axes, mask: ArrayLike, *, color: str = MASK_COLOR, linewidth: float = 1.2) -> Axes:
    """Draw the outline of a mask over what the axes show already.

    Args:
        ax: Axes with an image of the mask's size.
        mask: (H, W), not zero inside the defect. An all-zero mask draws nothing.
        color: The line's colour.
        linewidth: The line's width in points.

    Returns:
        The axes.

    Example:
        >>> _, ax = plt.subplots()
        >>> mask = np.zeros((8, 8)); mask[2:5, 2:5] = 1
        >>> len(draw_outline(ax, mask).collections)
        1
        >>> plt.close()
    """
    inside = np.asarray(mask) != 0
    if not inside.any():
        return ax
    # One pixel of padding closes the outline of a defect that touches the image's border.
    padded = np.pad(inside, 1).astype(float)
    height, width = inside.shape
    x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
    ax.contour(x, y, padded, levels=[0.5], colors=[color], linewidths=linewidth)
    # The contour may have widened the axes by the padding.
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return ax


def show_image(ax: Axes, image: ArrayLike, mask: ArrayLike | None = None, *, title: str | None = None) -> Axes:
    """Show one image, with the outline of its mask.

    Args:
        ax: The axes to draw in.
        image: (H, W, 3) or (H, W), uint8 in 0..255 or float in 0..1.
        mask: (H, W) of the same size, not zero inside the defect.
        title: Text above the image.

    Returns:
        The axes, without ticks and grid.

    Example:
        >>> _, ax = plt.subplots()
        >>> show_image(ax, np.zeros((8, 8)), title="black").get_title(loc="left")
        'black'
        >>> plt.close()
    """
    pixels = np.asarray(image)
    limits = (0, 255) if pixels.dtype == np.uint8 else (0, 1)
    ax.imshow(pixels, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation=_SMOOTH)
    if mask is not None:
        draw_outline(ax, mask)
    return _bare(ax, title)


def show_heatmap(
    ax: Axes,
    image: ArrayLike,
    anomaly_map: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    limits: tuple[float, float] | None = None,
    alpha: float = 0.6,
    cmap: str = HEATMAP,
    thresholds: Sequence[float] = (),
    threshold_colors: Sequence[str] = ("white", "black"),
    title: str | None = None,
) -> Axes:
    """Lay an anomaly map as a heat map over its image.

    The image is shown in grey, so that every colour in the picture comes from the map.

    Args:
        ax: The axes to draw in.
        image: (h, w, 3) or (h, w), uint8 in 0..255 or float in 0..1; stretched to the map's size.
        anomaly_map: (H, W) scores.
        mask: (H, W), not zero inside the defect, drawn as an outline.
        limits: Scores at the two ends of the colour scale; ``None`` takes this map's lowest and highest score. Give
            the same limits to all maps that a reader is to compare.
        alpha: Opacity of the heat map, 0 to 1.
        cmap: Name of the matplotlib colour map.
        thresholds: Scores at which to draw a contour line of the map.
        threshold_colors: Their colours, repeated when there are more thresholds than colours.
        title: Text above the image.

    Returns:
        The axes, without ticks and grid. ``ax.images[-1]`` is the heat map, for a colour bar.

    Example:
        >>> _, ax = plt.subplots()
        >>> ax = show_heatmap(ax, np.zeros((8, 8, 3)), np.arange(64.0).reshape(8, 8), limits=(0, 100))
        >>> ax.images[-1].get_clim()
        (0.0, 100.0)
        >>> plt.close()
    """
    scores = np.asarray(anomaly_map)
    pixels = np.asarray(image)
    grey = pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114])
    height, width = scores.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(
        grey, cmap="gray", vmin=0, vmax=255 if pixels.dtype == np.uint8 else 1, extent=extent, interpolation=_SMOOTH
    )
    low, high = limits if limits is not None else (scores.min(), scores.max())
    ax.imshow(scores, cmap=cmap, vmin=low, vmax=high, alpha=alpha, extent=extent, interpolation=_SMOOTH)
    for i, threshold in enumerate(thresholds):
        # A level outside the map's range has no line; matplotlib would warn about it.
        if scores.min() < threshold < scores.max():
            color = threshold_colors[i % len(threshold_colors)]
            ax.contour(scores, levels=[threshold], colors=[color], linewidths=1.0)
    if mask is not None:
        draw_outline(ax, mask)
    return _bare(ax, title)


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

    Args:
        images: Each (H, W, 3) or (H, W), uint8 in 0..255 or float in 0..1; sizes may differ.
        masks: One (H, W) mask per image, not zero inside the defect.
        titles: One text per image.
        ncols: Images per row.
        cell: Width of one image in inches.
        suptitle: Title of the whole figure.

    Returns:
        The figure; places left over in the last row stay empty.

    Raises:
        InputError: If there is no image, or if masks or titles are not as many as the images.

    Example:
        >>> figure = image_grid([np.zeros((8, 8))] * 5, titles="abcde", ncols=3)
        >>> len(figure.axes)
        6
        >>> plt.close(figure)
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
    label: str = "anomaly score (raw)",
    thresholds: Sequence[float] = (),
) -> Figure:
    """Show images in one row and their anomaly maps below them, all maps on one colour scale.

    Args:
        images: Each (h, w, 3) or (h, w), uint8 in 0..255 or float in 0..1.
        anomaly_maps: One (H, W) map of scores per image.
        masks: One (H, W) mask per image, of the map's size, not zero inside the defect.
        titles: One text per image.
        limits: Scores at the two ends of the colour scale; ``None`` takes the lowest and highest score of these maps.
        cell: Width of one image in inches.
        suptitle: Title of the whole figure.
        label: The colour bar's label.
        thresholds: Scores at which to draw contour lines of the maps.

    Returns:
        The figure, with a colour bar beside the lower row.

    Raises:
        InputError: If there is no image, or if maps, masks or titles are not as many as the images.

    Example:
        >>> figure = heatmap_grid([np.zeros((8, 8))] * 3, np.random.default_rng(0).random((3, 8, 8)))
        >>> figure.axes[-1].get_ylabel()
        'anomaly score (raw)'
        >>> plt.close(figure)
    """
    images = list(images)
    maps = [np.asarray(scores) for scores in _as_many(images, anomaly_maps, "anomaly maps")]
    shown_masks = _as_many(images, masks, "masks")
    texts = _as_many(images, titles, "titles")
    if limits is None:
        limits = (min(float(scores.min()) for scores in maps), max(float(scores.max()) for scores in maps))
    figure, axes = _figure(images, 2, len(images), cell, titles=titles is not None, suptitle=suptitle, bar=0.9)
    for column, (image, scores, mask, title) in enumerate(zip(images, maps, shown_masks, texts, strict=True)):
        # The image is shown on the pixel grid of its map, which is also the mask's.
        upper = axes[0, column]
        show_image(upper, image, title=title)
        upper.images[-1].set_extent((-0.5, scores.shape[1] - 0.5, scores.shape[0] - 0.5, -0.5))
        if mask is not None:
            draw_outline(upper, mask)
        show_heatmap(axes[1, column], image, scores, mask, limits=limits, thresholds=thresholds)
    add_colorbar(axes[1], label)
    return figure


def add_colorbar(axes: Sequence[Axes] | np.ndarray, label: str = "anomaly score (raw)") -> Colorbar:
    """Put one colour bar beside axes that show heat maps on the same scale.

    Args:
        axes: Axes drawn by `show_heatmap` with the same limits.
        label: The colour bar's label.

    Returns:
        The colour bar.

    Example:
        >>> figure, axes = plt.subplots(1, 2)
        >>> for ax in axes:
        ...     _ = show_heatmap(ax, np.zeros((8, 8)), np.eye(8), limits=(0, 1))
        >>> add_colorbar(axes).ax.get_ylabel()
        'anomaly score (raw)'
        >>> plt.close(figure)
    """
    axes = list(axes)
    figure = axes[0].figure
    # Taken from the colours, not from the drawn heat map: that one is half transparent over a grey image.
    shown = axes[0].images[-1]
    opaque = plt.cm.ScalarMappable(norm=shown.norm, cmap=shown.cmap)
    bar: Colorbar = figure.colorbar(opaque, ax=axes, label=label, fraction=0.05, pad=0.01)
    bar.ax.grid(visible=False)
    return bar


def as_jpeg(figure: Figure, quality: int = 85) -> DisplayedImage:
    """Render a figure as JPEG for a notebook's output and close it.

    A grid of textured photographs is four to eight times smaller as JPEG than as PNG, the notebook default.

    Args:
        figure: The figure; it is closed.
        quality: JPEG quality, 1 to 95.

    Returns:
        An object that a notebook shows as an image when it is the last expression of a cell.

    Example:
        >>> as_jpeg(image_grid([np.zeros((8, 8))])).format
        'jpeg'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": quality, "optimize": True})
    plt.close(figure)
    return DisplayedImage(data=buffer.getvalue(), format="jpeg")


def _bare(ax: Axes, title: str | None) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=9, loc="left")
    return ax


def _as_many(images: list, others: Iterable | None, what: str) -> list:
    """Lists ``others``, or one ``None`` per image."""
    if not images:
        msg = "There is no image to show: give at least one."
        raise InputError(msg)
    listed = [None] * len(images) if others is None else list(others)
    if len(listed) != len(images):
        msg = f"{len(images)} images but {len(listed)} {what}: give one for each image."
        raise InputError(msg)
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
