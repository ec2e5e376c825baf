"""The layout ``yolo``: a text file of polygons for each image, as YOLO's segmentation models are trained on.

Images lie in folders ``images``, their text files in folders ``labels`` beside these (or both in one folder); a file
``data.yaml`` or ``classes.txt`` names the classes. An image with an empty text file is normal.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aupimo_helpers.data.images import shown_size
from aupimo_helpers.data.pictures import Source, visible
from aupimo_helpers.data.shapes import Annotation
from aupimo_helpers.errors import InputError, Problem, ProblemError, collecting


def is_yolo(source: Path) -> bool:
    """Tell by a file that names the classes, or by a folder of text files called ``labels``."""
    return _names_file(source) is not None or any(_label_files(source))


def _label_files(source: Path) -> Iterator[Path]:
    folders = [*source.glob("labels"), *source.glob("*/labels")]
    return (path for folder in folders for path in folder.rglob("*.txt") if path.name != "classes.txt")


def _names_file(source: Path) -> Path | None:
    for path in visible(source):
        is_yaml = path.suffix.lower() in (".yaml", ".yml") and path.is_file()
        if path.name == "classes.txt" or (is_yaml and re.search(rb"(?m)^names\s*:", path.read_bytes())):
            return path
    return None


def _class_names(path: Path) -> dict[int, str]:
    """The classes' names by number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = text.split("\n") if path.suffix == ".txt" else yaml.safe_load(text)["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(number): str(name).strip() for number, name in pairs}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} does not name the classes: give it a list 'names' in YAML.") from error


def read_yolo(source: Source) -> None:
    """All images of a folder, by their text files."""
    names_file = _names_file(source.path)
    names = _class_names(names_file) if names_file else None
    used = set()
    for image in source.images_below():
        parts = list(image.relative_to(source.path).with_suffix(".txt").parts)
        if "images" in parts:
            parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        file = source.path.joinpath(*parts)
        file = file if file.is_file() else image.with_suffix(".txt")
        if not file.is_file():
            source.add_unlabelled(image)
            continue
        used.add(file)
        with collecting(source.problems):
            source.add_drawn(image, _read(file, shown_size(image), names))
    left = sorted(path for path in _label_files(source.path) if path not in used)
    source.refuse(left, "belongs to no image", "Add its image, or remove it")


def _read(file: Path, size: tuple[int, int], names: dict[int, str] | None) -> Annotation:
    shapes: list[dict[str, Any]] = []
    problems: list[Problem] = []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ProblemError.of(file, "is not text", "Export the labels again") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            with collecting(problems):
                shapes.append(_shape(line.split(), size, names, Path(f"{file}, line {number}")))
    if problems:
        raise ProblemError(problems)
    return Annotation(file, size, tuple(shapes))


def _shape(words: list[str], size: tuple[int, int], names: dict[int, str] | None, where: Path) -> dict[str, Any]:
    """One line: the class's number, then x and y of each corner as shares of the width and height."""
    export = "Export the labels again, as YOLO segmentation"
    try:
        kind, numbers = int(words[0]), np.array(words[1:], dtype=float)
    except ValueError as error:
        raise ProblemError.of(where, "is not a class and numbers", export) from error
    if len(numbers) == 4:
        what = "is a box without an outline"
        raise ProblemError.of(where, what, "AUPIMO needs the defect's outline: draw polygons and export again")
    if len(numbers) < 6 or len(numbers) % 2:
        raise ProblemError.of(where, f"has {len(numbers)} numbers, which are no corners of a polygon", export)
    if not ((numbers >= 0) & (numbers <= 1)).all():
        outside = next(number for number in numbers if not 0 <= number <= 1)
        raise ProblemError.of(where, f"has the coordinate {outside:g}, which is not a share of the image", export)
    if names is not None and kind not in names:
        what = f"is of the class {kind}, which has no name"
        raise ProblemError.of(where, what, "Name it in data.yaml or classes.txt")
    label = names[kind] if names else f"class_{kind}"
    return {"label": label, "shape_type": "polygon", "points": numbers.reshape(-1, 2) * [size[1], size[0]]}
