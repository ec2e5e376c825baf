"""The layout ``labelme``: JSON beside the images, as https://github.com/wkentaro/labelme writes it."""

from pathlib import Path

import numpy as np

from aupimo_helpers.data.pictures import Source, read_json
from aupimo_helpers.data.shapes import Annotation as Annotation
from aupimo_helpers.data.shapes import draw_mask as draw_mask
from aupimo_helpers.errors import ProblemError, collecting


def read_labelme(path: Path) -> Annotation:
    """Read a labelme file: its shapes and the size of its image."""
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        what = "is not a labelme file (it has no list 'shapes')"
        raise ProblemError.of(path, what, "Export the annotation as labelme JSON")
    try:
        size = int(content["imageHeight"]), int(content["imageWidth"])
        shapes = tuple(
            {
                **shape,
                "label": str(shape["label"]),
                "shape_type": str(shape.get("shape_type") or "polygon"),
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


def read_labelme_folder(source: Source) -> None:
    """The images of a folder, by the labelme files beside them."""
    for image in source.images_in(source.path):
        if image.with_suffix(".json").is_file():
            with collecting(source.problems):
                source.add_drawn(image, read_labelme(image.with_suffix(".json")))
        else:
            source.add_unlabelled(image)
