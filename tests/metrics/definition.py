"""The definition of AUPIMO, evaluated literally and slowly, with fractions: what the package is compared with.

Nothing here is shared with the package: it goes through the distinct normal scores one by one, counts with Python's
integers, and adds trapezoids.
"""

import math
from fractions import Fraction


def _share(scores, threshold, strictly=False):
    found = sum(score > threshold if strictly else score >= threshold for score in scores)
    return Fraction(found, len(scores))


def _pixels(image):
    return [value for row in image.tolist() for value in row]


def brute_force_aupimo(maps, masks, lower, upper):
    """AUPIMO of each image; None for a normal one. ``maps``, ``masks``: sequences of (H, W) arrays."""
    normal = [_pixels(image) for image, mask in zip(maps, masks, strict=True) if not mask.any()]
    log_lower, log_upper = math.log(lower), math.log(upper)
    areas = [0.0 if mask.any() else None for mask in masks]
    start_fpr = Fraction(0)
    for score in sorted({value for image in normal for value in image}, reverse=True):
        end_fpr = sum(_share(image, score) for image in normal) / len(normal)
        start = math.log(start_fpr) if start_fpr else -math.inf
        end = math.log(end_fpr)
        left, right = max(start, log_lower), min(end, log_upper)
        if left < right:
            for index, (image, mask) in enumerate(zip(maps, masks, strict=True)):
                if not mask.any():
                    continue
                defect = [a for a, m in zip(_pixels(image), _pixels(mask), strict=True) if m]
                tpr_start, tpr_end = float(_share(defect, score, strictly=True)), float(_share(defect, score))

                def height(x, a=tpr_start, b=tpr_end, start=start, end=end):
                    return b if start == -math.inf else a + (b - a) * (x - start) / (end - start)

                areas[index] += (right - left) * (height(left) + height(right)) / 2
        start_fpr = end_fpr
    return [None if area is None else area / (log_upper - log_lower) for area in areas]


def brute_force_fpr(maps, masks, threshold):
    normal = [_pixels(image) for image, mask in zip(maps, masks, strict=True) if not mask.any()]
    return sum(_share(image, threshold) for image in normal) / len(normal)


def brute_force_tpr(image, mask, threshold):
    return _share([a for a, m in zip(_pixels(image), _pixels(mask), strict=True) if m], threshold)
