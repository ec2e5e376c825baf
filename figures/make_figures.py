"""Make every figure that the README and the notebooks include, from real runs on the embedded data.

    python figures/make_figures.py [NAME ...]

The first run makes the data and trains PaDiM (about a minute on 2 cores); later runs take seconds. Two runs write the
same bytes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from aupimo_helpers.files import atomic_file
from aupimo_helpers.metrics import aupimo_scores, pimo_curves, threshold_at_fpr
from aupimo_helpers.model import Predictions, predict
from aupimo_helpers.plots import OKABE_ITO, add_no_skill, load_image, plot_pimo_curve, show_image, use_style
from aupimo_helpers.plots.style import HEATMAP

FIGURES = Path(__file__).parent
ROOT = FIGURES.parent
DATASET = "synthetic/leather"
BOUNDS = (1e-5, 1e-4)
FOUND = "#FF3B3B"
EXAMPLE_COLORS = (OKABE_ITO[2], OKABE_ITO[1], OKABE_ITO[3])


def photograph(image_path: str) -> np.ndarray:
    """Read an image of the embedded data, (H, W, 3) uint8."""
    return load_image(ROOT / "datasets" / image_path)


def overlay(ax: plt.Axes, image: np.ndarray, marked: np.ndarray, mask: np.ndarray | None = None) -> None:
    """Show an image with the marked pixels filled and the mask outlined."""
    show_image(ax, image, mask)
    layer = np.zeros((*marked.shape, 4))
    layer[marked] = mpl.colors.to_rgba(FOUND, 0.85)
    ax.imshow(layer)


def nearest(scores: np.ndarray, candidates: np.ndarray, target: float) -> int:
    """Index of the candidate image whose score is nearest to the target."""
    return int(candidates[np.argmin(np.abs(scores[candidates] - target))])


def glance_examples(predictions: Predictions, scores: np.ndarray) -> list[int]:
    """Three images, found, half found, missed: large defects away from the border, seen even in a small picture."""
    masks = predictions.masks.numpy()
    areas = masks.sum(axis=(1, 2))
    border = np.ones(masks.shape[1:], dtype=bool)
    border[8:-8, 8:-8] = False
    visible = (areas > np.median(areas[areas > 0])) & ~(masks & border).any(axis=(1, 2))
    return [nearest(scores, np.flatnonzero(visible), target) for target in (0.95, 0.5, 0.05)]


def draw_images(
    figure: mpl.figure.SubFigure, predictions: Predictions, examples: list[int], scores: np.ndarray
) -> None:
    """Left half: the normal image with the most false positives, and the three examples, at one threshold."""
    maps, masks = predictions.anomaly_maps.numpy(), predictions.masks.numpy()
    threshold = threshold_at_fpr(maps, masks, BOUNDS[1])
    normals = np.flatnonzero(~masks.any(axis=(1, 2)))
    normal = int(normals[np.argmax((maps[normals] >= threshold).sum(axis=(1, 2)))])
    axes = figure.subplots(2, 2).ravel()
    overlay(axes[0], photograph(predictions.image_paths[normal]), maps[normal] >= threshold)
    axes[0].set_title("A normal image", color="#444444", fontweight="bold")
    axes[0].set_xlabel(f"The worst of {len(normals)}: on average 1 pixel\nin 10,000 may be marked (red).")
    for ax, index, color in zip(axes[1:], examples, EXAMPLE_COLORS, strict=True):
        found = maps[index] >= threshold
        overlay(ax, photograph(predictions.image_paths[index]), found, masks[index])
        ax.set_xlabel(
            f"At this threshold {100 * found[masks[index]].mean():.0f} % of the\ndefect (outlined) is marked."
        )
        ax.set_title(f"AUPIMO {100 * scores[index]:.0f} %", color=color, fontweight="bold")
        for spine in ax.spines.values():
            spine.set(visible=True, color=color, linewidth=2.5)


def draw_curves(figure: mpl.figure.SubFigure, predictions: Predictions, examples: list[int]) -> None:
    """Right half: the examples' PIMO curves and the areas that are their scores."""
    curves = pimo_curves(predictions.anomaly_maps, predictions.masks)
    ax = figure.subplots()
    for index, color in zip(examples, EXAMPLE_COLORS, strict=True):
        plot_pimo_curve(curves.shared_fpr, curves.per_image_tprs[index], fpr_bounds=BOUNDS, color=color, ax=ax)
    add_no_skill(ax)
    ax.text(0.085, 0.13, "a model\nwithout skill", color="#555555", ha="right", fontsize=9)
    ax.set_xlabel("False-positive rate in the normal images (log scale)")
    ax.set_ylabel("Recall of the defect in one image")
    ax.text(BOUNDS[1] * 1.15, 0.02, "10⁻⁵ to 10⁻⁴", color="#1B6F9E", fontsize=10)


def aupimo_at_a_glance(predictions: Predictions) -> plt.Figure:
    """The README's figure: normal images set the threshold, each image with a defect gets its own recall."""
    scores = aupimo_scores(predictions.anomaly_maps, predictions.masks, BOUNDS).numpy()
    examples = glance_examples(predictions, scores)
    figure = plt.figure(figsize=(11.5, 6.0))
    left, right = figure.subfigures(1, 2, width_ratios=[1.0, 1.15], wspace=0.03)
    left.suptitle("1   Normal images set the threshold", x=0.03, ha="left", fontweight="bold", fontsize=13)
    right.suptitle(
        "2   Each image's score: the area in the blue range", x=0.08, ha="left", fontweight="bold", fontsize=13
    )
    draw_images(left, predictions, examples, scores)
    draw_curves(right, predictions, examples)
    return figure


def _box(ax: plt.Axes, x: float, y: float, text: str, color: str, width: float = 1.9) -> None:
    ax.add_patch(
        FancyBboxPatch((x, y - 0.5), width, 1.0, boxstyle="round,pad=0.05", facecolor=color, alpha=0.25, linewidth=0)
    )
    ax.text(x + width / 2, y, text, ha="center", va="center", fontsize=9.5)


def _arrow(ax: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color="#444444", linewidth=1.2))


def padim(predictions: Predictions) -> plt.Figure:
    """PaDiM in one picture: a Gaussian for each position, and the distance to it."""
    maps, masks = predictions.anomaly_maps.numpy(), predictions.masks.numpy()
    scores = aupimo_scores(maps, masks, BOUNDS).numpy()
    example = nearest(scores, np.flatnonzero(~np.isnan(scores)), 0.8)
    figure, ax = plt.subplots(figsize=(11, 4.0))
    ax.set(xlim=(0, 11), ylim=(0, 4))
    ax.axis("off")
    train = sorted((ROOT / "datasets" / DATASET / "train" / "good").glob("*.png"))
    for k in range(3):
        extent = (0.1 + 0.14 * k, 1.2 + 0.14 * k, 2.45 - 0.1 * k, 3.55 - 0.1 * k)
        ax.imshow(load_image(train[k]), extent=extent, zorder=k)
    ax.text(0.1, 3.75, f"fit: {len(train)} normal images", fontsize=10, fontweight="bold")
    ax.imshow(photograph(predictions.image_paths[example]), extent=(0.2, 1.4, 0.2, 1.4))
    ax.text(0.1, 1.6, "predict: any image", fontsize=10, fontweight="bold")
    for y in (2.95, 0.8):
        _arrow(ax, (1.65, y), (2.05, y))
        _box(ax, 2.15, y, "EfficientNet-Lite0\n(never trained further)", OKABE_ITO[0])
        _arrow(ax, (4.15, y), (4.55, y))
        _box(ax, 4.65, y, "40 features at each of\n32 × 32 positions", OKABE_ITO[0])
        _arrow(ax, (6.65, y), (7.05, y))
    _box(ax, 7.15, 2.95, "one Gaussian for each\nposition: mean, covariance", OKABE_ITO[2], width=2.2)
    _box(ax, 7.15, 0.8, "Mahalanobis distance to\nthe position's Gaussian", OKABE_ITO[1], width=2.2)
    _arrow(ax, (8.25, 2.35), (8.25, 1.4))
    _arrow(ax, (9.45, 0.8), (9.7, 0.8))
    ax.imshow(maps[example], extent=(9.75, 10.95, 0.2, 1.4), cmap=HEATMAP)
    ax.text(9.75, 1.6, "anomaly map", fontsize=10, fontweight="bold")
    ax.set_aspect("equal")
    return figure


FIGURE_MAKERS: dict[str, Callable[[Predictions], plt.Figure]] = {
    "aupimo_at_a_glance.png": aupimo_at_a_glance,
    "padim.png": padim,
}


def main() -> None:
    """Make the named figures, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURE_MAKERS)}; all by default")
    names = parser.parse_args().names or list(FIGURE_MAKERS)
    use_style()
    predictions = predict(DATASET, data_root=ROOT / "datasets", results_dir=ROOT / "results")
    for name in names:
        figure = FIGURE_MAKERS[name](predictions)
        with atomic_file(FIGURES / name) as temporary:
            # No software version or date in the file: the same figure is the same bytes.
            figure.savefig(temporary, dpi=110, metadata={"Software": None})
        plt.close(figure)
        print(f"figures/{name}")


if __name__ == "__main__":
    main()
