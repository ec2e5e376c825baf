"""The layout ``csv``: a table of image paths.

Columns, in any order and case, separated by ``,``, ``;`` or tabs: ``image`` (path relative to the CSV file),
``label`` or ``defect`` (``good``, ``normal`` or ``ok``, else the defect's name), and, if you like, ``split``
(``train`` or ``test``) and ``mask`` (path of a mask image or a labelme file).
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import TextIO

from aupimo_helpers.data.labelme import read_labelme
from aupimo_helpers.data.pictures import NORMAL_NAMES, Picture, Source, foreign, slug, visible
from aupimo_helpers.data.shapes import Annotation
from aupimo_helpers.errors import InputError, ProblemError, collecting


def csvs_in(source: Path) -> list[Path]:
    """The CSV files of a folder that have a column ``image``, sorted."""
    return [p for p in visible(source) if p.suffix.lower() == ".csv" and p.is_file() and "image" in _header(p)[0]]


@contextmanager
def _read(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: save it as 'CSV UTF-8'.") from error
    except csv.Error as error:
        raise InputError(f"{path} cannot be read ({error}): save it as CSV again.") from error


def _header(path: Path) -> tuple[list[str], str]:
    """Read the column names in lower case, and find the delimiter (spreadsheets in some countries write ``;``)."""
    with _read(path) as file:
        line = file.readline()
        delimiter = max(",;\t", key=line.count)
        return [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])], delimiter


def read_csv(source: Source) -> None:
    """One picture per line of the CSV file that a source names, or of the only one in it."""
    path = source.path
    if not path.is_file():
        found = csvs_in(path)
        if len(found) != 1:
            raise InputError(f"{path} has {len(found)} CSV files with a column 'image': name the one to use.")
        path = found[0]
    columns, delimiter = _header(path)
    kind = next((name for name in ("defect", "label") if name in columns), None)
    if "image" not in columns or kind is None:
        raise InputError(
            f"{path} has the columns {', '.join(columns)}: it needs image and label (or defect), and may have split "
            f"and mask."
        )
    if len(set(columns)) < len(columns):
        raise InputError(f"{path} has two columns of one name ({', '.join(columns)}): keep one of them.")
    with _read(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        next(reader)
        for cells in ([cell.strip() for cell in line] for line in reader):
            if any(cells):
                row, where = dict(zip(columns, cells, strict=False)), Path(f"{path}, line {reader.line_num}")
                with collecting(source.problems):
                    source.pictures.append(_picture(row, kind, path.parent, where))


def _picture(row: dict[str, str], kind: str, base: Path, where: Path) -> Picture:
    image = _listed_file(row.get("image", ""), base, where)
    label, split = slug(row.get(kind, "")), row.get("split", "").lower()
    normal = label in NORMAL_NAMES
    if not label:
        fault = f"has no {kind}", "Write good for a normal image, or the name of its defect"
    elif split not in ("train", "test", ""):
        fault = f"has the split {split!r}", "Write train or test"
    elif not normal and split == "train":
        fault = f"puts an image with a defect ({label}) into train", "Only normal images are used for training"
    else:
        mask: Path | Annotation | None = _listed_file(row["mask"], base, where) if row.get("mask") else None
        if isinstance(mask, Path) and mask.suffix.lower() == ".json":
            mask = read_labelme(mask)
        return Picture(image, "good" if normal else label, mask, split or None)
    raise ProblemError.of(where, *fault)


def _listed_file(text: str, base: Path, where: Path) -> Path:
    file = base / PureWindowsPath(text).as_posix()
    if not text:
        raise ProblemError.of(where, "names no image", "Write the path of an image, relative to the CSV file")
    if not file.is_file():
        what = f"names {text}, which does not exist in {base}"
        raise ProblemError.of(where, what, "Paths are relative to the CSV file")
    if unread := foreign([file]):
        raise ProblemError(unread)
    return file
