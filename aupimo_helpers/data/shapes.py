"""Shapes that people draw around defects, whatever tool wrote them down, as masks.

The one rule for all of them: a pixel belongs to a shape when its centre lies inside.
"""

import base64
import binascii
import io
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from aupimo_helpers.data.images import require_memory
from aupimo_helpers.errors import Problem, ProblemError, collecting

_AGAIN = "Draw it again, or remove it"
_EXPORT = "Export the annotations again"


@dataclass(frozen=True)
class Annotation:
    """What is drawn on one image.

    Attributes:
        path: The file that says so.
        size: Height and width in pixels of the image that was annotated, as it was seen (upright).
        shapes: As labelme writes them, each a dict with ``label``, ``points`` (N, 2) of x and y, and ``shape_type``;
            an ``rle`` has ``counts`` instead of points.
        part: Which part of the file it is, where the file is about several images.
    """

    path: Path
    size: tuple[int, int]
    shapes: tuple[dict[str, Any], ...]
    part: str = ""

    @property
    def where(self) -> Path:
        """The place to name in messages."""
        return Path(f"{self.path}{self.part}")

    @property
    def labels(self) -> list[str]:
        """The different labels of the shapes, sorted."""
        return sorted({shape["label"] for shape in self.shapes})


def draw_mask(annotation: Annotation, line_width: float | None = None) -> NDArray[np.bool_]:
    """Fill the shapes of an annotation; what lies outside the image is cut off.

    Pixel (0, 0) reaches from 0 to 1 in both directions, so a rectangle from 10 to 20 covers 10 pixels.

    Args:
        annotation: Shapes and the size of their image.
        line_width: Width in pixels given to lines, which have no area of their own.

    Returns:
        Boolean array of shape (H, W), true inside any shape.

    Raises:
        InputError: If a shape has no area (a point, a line without ``line_width``, fewer than three corners),
            crosses itself, covers no pixel's centre, or is of an unknown kind.

    Example:
        >>> square = {"label": "dent", "shape_type": "rectangle", "points": np.array([[1.0, 1.0], [3.0, 2.0]])}
        >>> draw_mask(Annotation(Path("a.json"), (3, 4), (square,))).astype(int)
        array([[0, 0, 0, 0],
               [0, 1, 1, 0],
               [0, 0, 0, 0]])
    """
    mask = np.zeros(annotation.size, dtype=bool)
    height, width = annotation.size
    problems: list[Problem] = []
    for number, shape in enumerate(annotation.shapes, start=1):
        where = Path(f"{annotation.where}, shape {number} ({shape['label']}, {shape['shape_type']})")
        with collecting(problems):
            filled = _fill(shape, annotation.size, line_width, where)
            if not filled.any():
                raise ProblemError.of(where, f"covers no pixel of the {width} x {height} image", _AGAIN)
            mask |= filled
    if problems:
        raise ProblemError(problems)
    return mask


def _fill(shape: dict[str, Any], size: tuple[int, int], line_width: float | None, where: Path) -> NDArray[np.bool_]:
    from skimage.draw import disk, polygon

    mask = np.zeros(size, dtype=bool)
    kind, points = shape["shape_type"], shape["points"]
    corners = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "mask": 2, "rle": 0}
    if kind not in corners:
        raise ProblemError.of(where, "has no area", "Draw a polygon, rectangle or circle around the defect")
    if len(points) < corners[kind]:
        raise ProblemError.of(where, f"has {len(points)} points and needs {corners[kind]}", _AGAIN)
    if kind == "polygon":
        if _crosses_itself(points):
            raise ProblemError.of(where, "crosses itself, so what is inside is not clear", _AGAIN)
        columns, rows = (points - 0.5).T  # a pixel's centre is at 0.5 here, and at 0 in array indices
        mask[polygon(rows, columns, shape=size)] = True
        return mask
    if kind == "rle":
        return _decode(size, shape["counts"], where)
    if kind == "mask":
        return _paste(size, shape, where)
    if kind == "rectangle":
        low, high = np.sort(points[:2], axis=0)
        x, y = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
        return np.outer((low[1] <= y) & (y < high[1]), (low[0] <= x) & (x < high[0]))
    if kind == "circle":
        column, row = points[0] - 0.5
        mask[disk((row, column), max(float(np.hypot(*(points[1] - points[0]))), 1e-9), shape=size)] = True
        return mask
    if line_width is None:
        remedy = "Draw a polygon around the defect, or set a line width in pixels"
        raise ProblemError.of(where, "is a line, which has no area", remedy)
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).line([(a, b) for a, b in points - 0.5], 1, max(1, round(line_width)), joint="curve")
    return np.array(canvas)


def _crosses_itself(points: NDArray[np.float64]) -> bool:
    """Tell whether two edges of a closed polygon cross in a point that is inside both; touching is no crossing."""
    following = np.roll(points, -1, axis=0)
    order = np.argsort(np.minimum(points, following)[:, 0])
    start, end = points[order], following[order]
    low, high = np.minimum(start, end), np.maximum(start, end)
    # From left to right, an edge can meet those only that begin before it ends: few of them, if edges are short.
    last = np.searchsorted(low[:, 0], high[:, 0], side="right")
    for first in range(0, len(points), 1024):
        counts = last[first : first + 1024] - np.arange(first, min(first + 1024, len(points))) - 1
        i = np.repeat(np.arange(first, first + len(counts)), counts)
        j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts) + i + 1
        near = (low[i, 1] <= high[j, 1]) & (low[j, 1] <= high[i, 1])
        a, b, c, d = start[i[near]], end[i[near]], start[j[near]], end[j[near]]
        if ((_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)).any():
            return True
    return False


def _side(a: NDArray, b: NDArray, c: NDArray) -> NDArray:
    """On which side of the line from a to b the point c lies."""
    return np.sign((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])


def _decode(size: tuple[int, int], counts: Any, where: Path) -> NDArray[np.bool_]:  # noqa: ANN401
    """COCO's run lengths, down the columns, as a list or a text; pycocotools reads on where they are too short."""
    try:
        runs = _runs(counts) if isinstance(counts, str) else [operator.index(run) for run in counts]
    except TypeError as error:
        raise ProblemError.of(where, "holds no run lengths", _EXPORT) from error
    if min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
        what = f"has run lengths of {sum(runs)} pixels in all, and its image has {size[1]} x {size[0]}"
        raise ProblemError.of(where, what, _EXPORT)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T


def _runs(text: str) -> list[int]:
    """Decompress run lengths: five bits in a letter, lowest first, as the difference to the run before the last."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) // 16 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _paste(size: tuple[int, int], shape: dict[str, Any], where: Path) -> NDArray[np.bool_]:
    """The pixels of labelme's shape type ``mask``: a PNG in base64, and the corners of its place."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as image:
            require_memory(where, image.size, 8)
            piece = np.asarray(image.convert("L")) > 0
    except (KeyError, TypeError, SyntaxError, binascii.Error, UnidentifiedImageError, OSError) as error:
        remedy = "Save it again in labelme, or draw a polygon"
        raise ProblemError.of(where, "holds no readable mask", remedy) from error
    mask = np.zeros(size, dtype=bool)
    left, top = (round(value) for value in shape["points"].min(axis=0))
    rows, columns = np.nonzero(piece)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    mask[rows[inside], columns[inside]] = True
    return mask
