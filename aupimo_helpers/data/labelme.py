"""Polygon annotations of labelme (JSON beside the images, https://github.com/wkentaro/labelme) as masks."""

import base64
import binascii
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from aupimo_helpers.errors import Problem, ProblemError, collecting

_AGAIN = "Draw it again, or remove it"


@dataclass(frozen=True)
class Annotation:
    """What one labelme file says.

    Attributes:
        path: The JSON file.
        size: Height and width in pixels of the image that was annotated, as it was seen (upright).
        shapes: The file's shapes, each a dict with ``label``, ``points`` (N, 2) and ``shape_type``.
    """

    path: Path
    size: tuple[int, int]
    shapes: tuple[dict[str, Any], ...]

    @property
    def labels(self) -> list[str]:
        """The different labels of the shapes, sorted."""
        return sorted({shape["label"] for shape in self.shapes})


def read_labelme(path: str | Path) -> Annotation:
    """Read a labelme file: its shapes and the size of its image."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ProblemError.of(path, f"is not valid JSON ({error})", "Export it again from labelme") from error
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        what = "is not a labelme file (it has no list 'shapes')"
        raise ProblemError.of(path, what, "Export the annotation as labelme JSON")
    try:
        size = int(content["imageHeight"]), int(content["imageWidth"])
        shapes = tuple(
            {
                **shape,
                "label": str(shape["label"]),
                "shape_type": shape.get("shape_type") or "polygon",
                "points": np.array(shape["points"], dtype=float).reshape(-1, 2),
            }
            for shape in content["shapes"]
        )
        if not all(np.isfinite(shape["points"]).all() for shape in shapes):
            raise ValueError("a point that is no number")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"is not a whole labelme file ({type(error).__name__}: {error})"
        remedy = "It needs imageHeight, imageWidth, and a label and points for every shape"
        raise ProblemError.of(path, what, remedy) from error
    return Annotation(path, size, shapes)


def draw_mask(annotation: Annotation, line_width: float | None = None) -> NDArray[np.bool_]:
    """Fill the shapes of an annotation.

    A pixel belongs to a shape when its centre lies inside (pixel (0, 0) reaches from 0 to 1 in both directions, as
    labelme draws it), so a rectangle from 10 to 20 covers 10 pixels and the area is right on average. What lies
    outside the image is cut off.

    Args:
        annotation: Shapes and the size of their image.
        line_width: Width in pixels given to lines, which have no area of their own.

    Returns:
        Boolean array of shape (H, W), true inside any shape.

    Raises:
        InputError: If a shape has no area (a point, a line without ``line_width``, fewer than three corners),
            covers no pixel's centre, or is of a kind that labelme does not know.

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
        where = Path(f"{annotation.path}, shape {number} ({shape['label']}, {shape['shape_type']})")
        with collecting(problems):
            filled = _fill(shape, annotation.size, line_width, where)
            if not filled.any():
                raise ProblemError.of(where, f"covers no pixel of the {width} x {height} image", _AGAIN)
            mask |= filled
    if problems:
        raise ProblemError(problems)
    return mask


def fill_polygon(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a polygon of corners (x, y), (N, 2), in a mask of a size: pixels whose centre lies inside."""
    from skimage.draw import polygon

    mask = np.zeros(size, dtype=bool)
    # To array indices, where a pixel's centre is at 0, from coordinates where it is at 0.5.
    columns, rows = (points - 0.5).T
    mask[polygon(rows, columns, shape=size)] = True
    return mask


def _fill(shape: dict[str, Any], size: tuple[int, int], line_width: float | None, where: Path) -> NDArray[np.bool_]:
    from skimage.draw import disk

    kind, points = shape["shape_type"], shape["points"]
    corners = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "mask": 2}
    if kind not in corners:
        raise ProblemError.of(where, "has no area", "Draw a polygon, rectangle or circle around the defect")
    if len(points) < corners[kind]:
        raise ProblemError.of(where, f"has {len(points)} points and needs {corners[kind]}", _AGAIN)
    if kind == "polygon":
        return fill_polygon(points, size)
    if kind == "mask":
        return _paste(size, shape, where)
    if kind == "rectangle":
        low, high = np.sort(points[:2], axis=0)
        x, y = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
        return np.outer((low[1] <= y) & (y < high[1]), (low[0] <= x) & (x < high[0]))
    if kind == "circle":
        mask = np.zeros(size, dtype=bool)
        column, row = points[0] - 0.5
        mask[disk((row, column), max(float(np.hypot(*(points[1] - points[0]))), 1e-9), shape=size)] = True
        return mask
    if line_width is None:
        remedy = "Draw a polygon around the defect, or set a line width in pixels"
        raise ProblemError.of(where, "is a line, which has no area", remedy)
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).line([(a, b) for a, b in points - 0.5], 1, max(1, round(line_width)), joint="curve")
    return np.array(canvas)


def _paste(size: tuple[int, int], shape: dict[str, Any], where: Path) -> NDArray[np.bool_]:
    """The pixels of labelme's shape type ``mask``: a PNG in base64, and the corners of its place."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as image:
            piece = np.asarray(image.convert("L")) > 0
    except (KeyError, TypeError, SyntaxError, binascii.Error, UnidentifiedImageError, OSError) as error:
        raise ProblemError.of(
            where, "holds no readable mask", "Save it again in labelme, or draw a polygon"
        ) from error
    mask = np.zeros(size, dtype=bool)
    left, top = (round(value) for value in shape["points"].min(axis=0))
    rows, columns = np.nonzero(piece)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    mask[rows[inside], columns[inside]] = True
    return mask
