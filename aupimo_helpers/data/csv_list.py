"""The layout ``csv``: a table of image paths."""

import csv
from pathlib import Path, PureWindowsPath

from aupimo_helpers.data.images import FOREIGN_SUFFIXES
from aupimo_helpers.data.pictures import NORMAL_NAMES, Picture, foreign_message, slug, visible
from aupimo_helpers.errors import InputError, MissingError


def csvs_in(source: Path) -> list[Path]:
    """List the CSV files of a folder that have a column ``image``.

    Args:
        source: A folder.

    Returns:
        The files, sorted.

    Raises:
        InputError: If a CSV file is not UTF-8 text.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "parts.csv").write_text("image;label")
        ...     [path.name for path in csvs_in(Path(folder))]
        ['parts.csv']
    """
    return [p for p in visible(source) if p.suffix.lower() == ".csv" and p.is_file() and "image" in _header(p)[0]]


def csv_of(source: Path) -> Path:
    """Get the CSV file that a source names, or the only one in it.

    Args:
        source: A CSV file, or a folder with one.

    Returns:
        The CSV file.

    Raises:
        InputError: If the folder has none with a column ``image``, or several.

    Example:
        >>> csv_of(Path(__file__)) == Path(__file__)
        True
    """
    if source.is_file():
        return source
    found = csvs_in(source)
    if len(found) != 1:
        msg = f"{source} has {len(found)} CSV files with a column 'image': name the one to use."
        raise InputError(msg)
    return found[0]


def _header(path: Path) -> tuple[list[str], str]:
    """Read the column names in lower case, and find the delimiter (spreadsheets in some countries write ``;``)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline()
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text: save it as 'CSV UTF-8'."
        raise InputError(msg) from error
    delimiter = max(",;\t", key=line.count)
    return [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])], delimiter


def read_csv(path: Path) -> list[Picture]:
    r"""Read a table of pictures.

    Columns, in any order and case, separated by ``,``, ``;`` or tabs: ``image`` (path relative to the CSV file),
    ``label`` or ``defect`` (``good``, ``normal`` or ``ok``, else the defect's name), and, if you like, ``split``
    (``train`` or ``test``) and ``mask`` (path of a mask image or a labelme file).

    Args:
        path: The CSV file, UTF-8.

    Returns:
        One picture per line, in the file's order.

    Raises:
        MissingError: If a file that it names is not there.
        InputError: If a column is missing, or a line is not understood; the message names the line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "1.jpg").touch()
        ...     path = Path(folder, "parts.csv")
        ...     _ = path.write_text("image,label,split\n1.jpg,OK,train\n")
        ...     [(picture.defect, picture.split) for picture in read_csv(path)]
        [('good', 'train')]
    """
    columns, delimiter = _header(path)
    kind = next((name for name in ("defect", "label") if name in columns), None)
    if "image" not in columns or kind is None:
        msg = (
            f"{path} has the columns {', '.join(columns)}: it needs image and label (or defect), and may have split "
            f"and mask."
        )
        raise InputError(msg)
    pictures = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            next(reader)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
                    pictures.append(_csv_picture(row, kind, path, f"{path}, line {reader.line_num}"))
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text: save it as 'CSV UTF-8'."
        raise InputError(msg) from error
    return pictures


def _csv_picture(row: dict[str, str], kind: str, path: Path, where: str) -> Picture:
    image = _listed_file(row.get("image", ""), path, where)
    label = slug(row.get(kind, ""))
    if not label:
        msg = f"{where} has no {kind}: write good for a normal image, or the name of its defect."
        raise InputError(msg)
    defect = "good" if label in NORMAL_NAMES else label
    split = row.get("split", "").lower() or None
    if split not in ("train", "test", None):
        msg = f"{where} has the split {split!r}: write train or test."
        raise InputError(msg)
    if defect != "good" and split == "train":
        msg = f"{where} puts an image with a defect ({label}) into train: only normal images are used for training."
        raise InputError(msg)
    if defect != "good":
        split = "test"
    mask = _listed_file(row["mask"], path, where) if row.get("mask") else None
    return Picture(image, defect, split, mask)


def _listed_file(text: str, path: Path, where: str) -> Path:
    if not text:
        msg = f"{where} names no image."
        raise InputError(msg)
    file = path.parent / PureWindowsPath(text).as_posix()
    if not file.is_file():
        msg = f"{where} names {text}, which does not exist in {path.parent}: paths are relative to the CSV file."
        raise MissingError(msg)
    if file.suffix.lower() in FOREIGN_SUFFIXES:
        raise InputError(foreign_message([file]))
    return file
