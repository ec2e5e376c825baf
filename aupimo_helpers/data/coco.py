"""The layout ``coco``: a JSON file of polygons or run lengths, as CVAT, Roboflow, Label Studio and others export it.

The file, or several of them (one for each split), lies in the folder itself or in a folder in it, and an image is
found by its name wherever it lies. A split that was made for training a detector is passed over: images with a defect
are for the test, and normal ones are dealt.
"""

from collections import Counter
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from aupimo_helpers.data.images import IMAGE_SUFFIXES, shown_size
from aupimo_helpers.data.pictures import Source, read_json, sub_folders, visible
from aupimo_helpers.data.shapes import Annotation
from aupimo_helpers.errors import InputError, Problem, ProblemError, collecting

_EXPORT = "Export the annotations again as COCO instances"


def coco_files(source: Path) -> list[Path]:
    """The COCO files of a source, told by their keys."""
    folders = [source, *sub_folders(source).values()] if source.is_dir() else []
    files = [path for folder in folders for path in visible(folder)] if folders else [source]
    found = [path for path in files if path.suffix.lower() == ".json" and not _is_beside_its_image(path)]
    return [path for path in found if all(key in path.read_bytes() for key in (b'"images"', b'"annot', b'"categor'))]


def _is_beside_its_image(path: Path) -> bool:
    """Tell whether a JSON file is one of many, such as labelme's, which need not be opened."""
    return any(
        path.with_suffix(case(suffix)).is_file() for suffix in IMAGE_SUFFIXES for case in (str.lower, str.upper)
    )


def read_coco(source: Source) -> None:
    """The images that the files list, and those that no file lists."""
    files = coco_files(source.path)
    if not files:
        raise InputError(f"{source.path} has no COCO file, which is JSON with images, annotations and categories.")
    by_name: dict[str, list[Path]] = {}
    left = dict.fromkeys(source.images_below())
    for path in left:
        by_name.setdefault(path.name, []).append(path)
    for file in files:
        with collecting(source.problems):
            for name, size, shapes, faults in _entries(file):
                with collecting(source.problems):
                    image = _find(name, by_name, source.root, file)
                    left.pop(image, None)
                    if faults:
                        raise ProblemError(faults)
                    if shapes:
                        size = size or shown_size(image)
                        source.add_drawn(image, Annotation(file, size, tuple(shapes), f", image {name}"))
                    else:
                        source.add_unlabelled(image)
    for path in left:
        source.add_unlabelled(path)


def _find(name: str, by_name: dict[str, list[Path]], root: Path, file: Path) -> Path:
    """The image of a name that may be a path from somewhere."""
    wanted = PureWindowsPath(name).as_posix()
    found = by_name.get(wanted.rpartition("/")[2], [])
    closer = [path for path in found if f"/{path.as_posix()}".endswith(f"/{wanted}")] or found
    if len(closer) > 1:
        closer = [path for path in closer if path.is_relative_to(file.parent)] or closer
    if len(closer) != 1:
        what = f"is not in {root}" if not closer else f"could be {closer[0]} or {closer[1]}"
        remedy = "Put each image that the file names into the folder"
        raise ProblemError.of(Path(f"{file}, image {name}"), what, remedy)
    return closer[0]


def _entries(file: Path) -> list[tuple[str, tuple[int, int] | None, list[dict[str, Any]], list[Problem]]]:
    """Name, height and width, shapes and faults of each image that a file lists."""
    content = read_json(file)
    try:
        labels = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        names = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
        sizes = {
            entry["id"]: (int(entry["height"]), int(entry["width"])) if entry.get("height") else None
            for entry in content["images"]
        }
        drawn = [(entry["image_id"], entry["category_id"], entry) for entry in content["annotations"]]
        for what in ("categories", "images"):
            repeated = [key for key, count in Counter(entry["id"] for entry in content[what]).items() if count > 1]
            if repeated:
                raise ProblemError.of(file, f"has several {what} with the id {repeated[0]!r}", _EXPORT)
        shapes: dict[Any, list[dict[str, Any]]] = {key: [] for key in names}
        faults: dict[Any, list[Problem]] = {key: [] for key in names}
        for number, (image, category, entry) in enumerate(drawn, start=1):
            where = Path(f"{file}, annotation {entry.get('id', number)} of {names.get(image, 'an unknown image')}")
            if image not in names or category not in labels:
                what = "image" if image not in names else "category"
                fault = f"is about the {what} {entry[f'{what}_id']!r}, which is not listed"
                raise ProblemError.of(where, fault, _EXPORT)
            with collecting(faults[image]):
                shapes[image] += _shapes(entry, labels[category], sizes[image], where)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, ProblemError):
            raise
        raise ProblemError.of(file, f"is not a whole COCO file ({type(error).__name__}: {error})", _EXPORT) from error
    return [(names[key], sizes[key], shapes[key], faults[key]) for key in names]


def _shapes(entry: dict[str, Any], label: str, size: tuple[int, int] | None, where: Path) -> list[dict[str, Any]]:
    """The polygons of an annotation, or its run lengths."""
    drawn = entry.get("segmentation")
    if isinstance(drawn, dict):
        if size is not None and list(size) != drawn.get("size"):
            what = f"has run lengths for {drawn.get('size')}, and its image has height and width {list(size)}"
            raise ProblemError.of(where, what, _EXPORT)
        return [{"label": label, "shape_type": "rle", "points": np.empty((0, 2)), "counts": drawn.get("counts")}]
    if not drawn:
        what = "is a box without an outline" if entry.get("bbox") else "is empty"
        raise ProblemError.of(where, what, "AUPIMO needs the defect's outline: draw polygons and export again")
    try:
        polygons = [np.array(corners, dtype=float).reshape(-1, 2) for corners in drawn]
        if not all(np.isfinite(corners).all() for corners in polygons):
            raise ValueError("a coordinate that is no number")
    except (TypeError, ValueError) as error:
        raise ProblemError.of(where, f"has no polygon of numbers ({error})", _EXPORT) from error
    return [{"label": label, "shape_type": "polygon", "points": corners} for corners in polygons]
