"""The course's plots.

``style``: colours and defaults; ``images``: images, masks, maps and what lies above a threshold; ``gallery``:
representative images; ``curves``: PIMO curves; ``scores``: distributions of per-image scores; ``models``:
comparisons.
"""

from aupimo_helpers.plots.curves import (
    add_no_skill,
    add_threshold_axis,
    plot_band,
    plot_images_with_curves,
    plot_pimo_curve,
    plot_pimo_curves,
)
from aupimo_helpers.plots.gallery import plot_gallery, save_gallery, show_detection
from aupimo_helpers.plots.images import (
    as_jpeg,
    fpr_contour_handles,
    heatmap_grid,
    image_grid,
    load_image,
    load_mask,
    plot_fpr_contours,
    show_image,
)
from aupimo_helpers.plots.models import (
    POINTS,
    critical_difference,
    dataset_ranges,
    difference_intervals,
    paired_scatter,
    score_matrix,
    sorted_differences,
)
from aupimo_helpers.plots.scores import score_boxes, score_histogram, scores_against, scores_by_defect
from aupimo_helpers.plots.style import (
    MASK_COLOR,
    NORMAL_COLOR,
    OKABE_ITO,
    PERCENT,
    ZONE_COLOR,
    colors,
    percent,
    use_style,
    wrap,
)

__all__ = [
    "MASK_COLOR",
    "NORMAL_COLOR",
    "OKABE_ITO",
    "PERCENT",
    "POINTS",
    "ZONE_COLOR",
    "add_no_skill",
    "add_threshold_axis",
    "as_jpeg",
    "colors",
    "critical_difference",
    "dataset_ranges",
    "difference_intervals",
    "fpr_contour_handles",
    "heatmap_grid",
    "image_grid",
    "load_image",
    "load_mask",
    "paired_scatter",
    "percent",
    "plot_band",
    "plot_fpr_contours",
    "plot_gallery",
    "plot_images_with_curves",
    "plot_pimo_curve",
    "plot_pimo_curves",
    "save_gallery",
    "score_boxes",
    "score_histogram",
    "score_matrix",
    "scores_against",
    "scores_by_defect",
    "show_detection",
    "show_image",
    "sorted_differences",
    "use_style",
    "wrap",
]
