"""Polygon annotations of labelme (JSON beside the images) as masks."""

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
from skimage.draw import disk, polygon

from aupimo_helpers.errors import InputError


@dataclass(frozen=True)
class Annotation:
    """What one labelme file says.

    Attributes:
        path: The JSON file.
        size: Height and width in pixels of the image that was annotated, as it was seen (upright).
        shapes: The file's shapes, each a dict with ``label``, ``points`` and ``shape_type``.
    """

    path: Path
    size: tuple[int, int]
    shapes: tuple[dict[str, Any], ...]

    @property
    def labels(self) -> list[str]:
        """The different labels of the shapes, sorted."""
        return sorted({shape["label"] for shape in self.shapes})


def read_labelme(path: str | Path) -> Annotation:
    """Read a labelme file.

    Args:
        path: A JSON file as labelme (https://github.com/wkentaro/labelme) and tools that export to it write it.

    Returns:
        Its shapes and the size of its image.

    Raises:
        InputError: If the file is not JSON, or not labelme's.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.json")
        ...     content = {"imageHeight": 4, "imageWidth": 6, "shapes": [
        ...         {"label": "dent", "shape_type": "rectangle", "points": [[1, 1], [3, 2]]}]}
        ...     _ = path.write_text(json.dumps(content))
        ...     read_labelme(path).labels
        ['dent']
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        msg = f"{path} is not valid JSON ({error}): export it again from labelme."
        raise InputError(msg) from error
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        msg = f"{path} is not a labelme file (it has no list 'shapes'): export the annotation as labelme JSON."
        raise InputError(msg)
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
    except (KeyError, TypeError, ValueError) as error:
        msg = (
            f"{path} is not a whole labelme file ({type(error).__name__}: {error}): it needs imageHeight, "
            f"imageWidth, and a label and points for every shape."
        )
        raise InputError(msg) from error
    return Annotation(path, size, shapes)


def draw_mask(annotation: Annotation, line_width: float | None = None) -> NDArray[np.bool_]:
    """Fill the shapes of an annotation.

    A pixel belongs to a shape when its centre lies inside (pixel (0, 0) reaches from 0 to 1 in both directions, as
    labelme draws it), so a rectangle from 10 to 20 covers 10 pixels and the area is right on average. What lies
    outside the image is cut off.

    Args:
        annotation: From `read_labelme`.
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
    for number, shape in enumerate(annotation.shapes, start=1):
        where = f"{annotation.path}: shape {number} ({shape['label']}, {shape['shape_type']})"
        filled = _fill(shape, annotation.size, line_width, where)
        if not filled.any():
            msg = f"{where} covers no pixel of the {_size(annotation.size)} image: draw it again, or remove it."
            raise InputError(msg)
        mask |= filled
    return mask


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def _fill(shape: dict[str, Any], size: tuple[int, int], line_width: float | None, where: str) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    kind, points = shape["shape_type"], shape["points"]
    # From labelme's coordinates, where a pixel's centre is at 0.5, to array indices, where it is at 0.
    columns, rows = (points - 0.5).T
    corners = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "mask": 2}
    if kind not in corners:
        msg = f"{where} has no area: draw a polygon, rectangle or circle around the defect."
        raise InputError(msg)
    if len(points) < corners[kind]:
        msg = f"{where} has {len(points)} points and needs {corners[kind]}: draw it again, or remove it."
        raise InputError(msg)
    if kind == "polygon":
        mask[polygon(rows, columns, shape=size)] = True
    elif kind == "rectangle":
        low, high = np.sort(points[:2], axis=0)
        x = np.arange(size[1]) + 0.5
        y = np.arange(size[0]) + 0.5
        mask[:] = np.outer((low[1] <= y) & (y < high[1]), (low[0] <= x) & (x < high[0]))
    elif kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        mask[disk((rows[0], columns[0]), max(radius, 1e-9), shape=size)] = True
    elif kind == "mask":
        _paste(mask, shape, where)
    elif line_width is None:
        msg = (
            f"{where} is a line, which has no area: draw a polygon around the defect, or set a line width in pixels."
        )
        raise InputError(msg)
    else:
        canvas = Image.new("1", (size[1], size[0]))
        xy = [(float(x), float(y)) for x, y in zip(columns, rows, strict=True)]
        ImageDraw.Draw(canvas).line(xy, fill=1, width=max(1, round(line_width)), joint="curve")
        mask[:] = np.asarray(canvas)
    return mask


def _paste(mask: NDArray[np.bool_], shape: dict[str, Any], where: str) -> None:
    """Set the pixels of labelme's shape type ``mask``: a PNG in base64, and the corners of its place."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as image:
            piece = np.asarray(image.convert("L")) > 0
    except (KeyError, TypeError, binascii.Error, UnidentifiedImageError) as error:
        msg = f"{where} holds no readable mask: save it again in labelme, or draw a polygon."
        raise InputError(msg) from error
    left, top = (round(value) for value in shape["points"].min(axis=0))
    height, width = mask.shape
    rows, columns = np.nonzero(piece)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    mask[rows[inside], columns[inside]] = True
