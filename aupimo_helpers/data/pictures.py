"""The entry for one picture of a source, and the names by which folders, files and labels are known."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aupimo_helpers.data.images import FOREIGN_SUFFIXES, IMAGE_SUFFIXES
from aupimo_helpers.errors import InputError

# Folder names, and labels in a CSV file; capital letters make no difference.
NORMAL_NAMES = ("normal", "good", "ok")
NORMAL_TEST_NAMES = ("normal_test", "good_test", "ok_test")
ABNORMAL_NAMES = (
    "abnormal",
    "anomalous",
    "anomaly",
    "anomalies",
    "defect",
    "defects",
    "defective",
    "bad",
    "ng",
    "nok",
    "ko",
)
MASK_NAMES = ("ground_truth", "masks", "mask", "gt")


@dataclass(frozen=True)
class Picture:
    """One image of the source.

    Attributes:
        image: The image file.
        defect: Name of the defect, ``good`` for a normal image.
        split: ``train`` or ``test``; None for a normal image that is still to be dealt to one of them.
        mask: Mask image or labelme file, None where there is none.
    """

    image: Path
    defect: str
    split: str | None
    mask: Path | None = None


def slug(text: str) -> str:
    """Make a label or a folder's name into a name that is safe on every file system.

    Args:
        text: Any text.

    Returns:
        Lower case, with ``_`` for everything but letters, digits, ``-`` and ``.``.

    Example:
        >>> slug("Loose Screw #2")
        'loose_screw_2'
    """
    return re.sub(r"[^\w.-]+", "_", text.strip().lower()).strip("._")


def name_some(paths: Sequence[Path], limit: int = 3) -> str:
    """List a few files for a message.

    Args:
        paths: At least one file.
        limit: How many to name.

    Returns:
        The first ones, and how many more there are.

    Example:
        >>> name_some([Path("a.png"), Path("b.png")], limit=1)
        'a.png and 1 more'
    """
    named = ", ".join(str(path) for path in paths[:limit])
    return named + (f" and {len(paths) - limit} more" if len(paths) > limit else "")


def visible(folder: Path) -> list[Path]:
    """List a folder without hidden files and what operating systems leave behind.

    Args:
        folder: A folder.

    Returns:
        Its files and folders, sorted.

    Example:
        >>> Path(__file__) in visible(Path(__file__).parent)
        True
    """
    clutter = ("__MACOSX", "Thumbs.db", "desktop.ini")
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in clutter)


def sub_folders(folder: Path) -> dict[str, Path]:
    """List the sub-folders by their name in lower case.

    Args:
        folder: A folder.

    Returns:
        Path by name, sorted.

    Raises:
        InputError: If two names differ in capital letters only.

    Example:
        >>> list(sub_folders(Path(__file__).parent))
        [...]
    """
    found: dict[str, Path] = {}
    for path in visible(folder):
        if path.is_dir() and path.name.lower() in found:
            msg = f"{path} and {found[path.name.lower()].name} differ in capital letters only: put them together."
            raise InputError(msg)
        if path.is_dir():
            found[path.name.lower()] = path
    return found


def is_image(path: Path) -> bool:
    """Tell by its suffix whether a file is an image that is read.

    Args:
        path: Any path.

    Returns:
        True for an existing file with one of `pixels.IMAGE_SUFFIXES`, in any case.

    Example:
        >>> is_image(Path("not_there.png"))
        False
    """
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def foreign_message(paths: Sequence[Path]) -> str:
    """Say what to do with pictures in a format that is not read.

    Args:
        paths: At least one file.

    Returns:
        One sentence.

    Example:
        >>> foreign_message([Path("IMG_1.HEIC")]).split(":")[0]
        'IMG_1.HEIC cannot be read'
    """
    return (
        f"{name_some(paths)} cannot be read: export the pictures as JPEG or PNG (phones: choose 'most compatible' "
        f"as the camera's format)."
    )


def images_in(folder: Path) -> list[Path]:
    """List a folder's images; pictures that would be passed over in silence are an error.

    Args:
        folder: A folder.

    Returns:
        The image files, sorted.

    Raises:
        InputError: If it holds pictures in a format that is not read, or folders with images.

    Example:
        >>> images_in(Path(__file__).parent)
        []
    """
    foreign = [path for path in visible(folder) if path.suffix.lower() in FOREIGN_SUFFIXES]
    if foreign:
        raise InputError(foreign_message(foreign))
    nested = [path for path in sub_folders(folder).values() if any(is_image(file) for file in path.rglob("*"))]
    if nested:
        msg = f"{nested[0]} is a folder with images where only images are expected: move them up into {folder}."
        raise InputError(msg)
    return [path for path in visible(folder) if is_image(path)]
