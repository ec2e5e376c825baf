"""The entry for one picture of a source, and the names by which folders, files and labels are known."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aupimo_helpers.data.images import FOREIGN_SUFFIXES, IMAGE_SUFFIXES, is_clutter, pair_masks
from aupimo_helpers.data.shapes import Annotation
from aupimo_helpers.errors import InputError, Problem, ProblemError

# Folder names, and labels in a CSV file; capital letters make no difference.
NORMAL_NAMES = ("normal", "good", "ok")
NORMAL_TEST_NAMES = ("normal_test", "good_test", "ok_test")
ABNORMAL_NAMES = (
    *("abnormal", "anomalous", "anomaly", "anomalies", "defect", "defects", "defective"),
    *("bad", "ng", "nok", "ko"),
)
MASK_NAMES = ("ground_truth", "masks", "mask", "gt")


# The defect name of an image that shows several: MVTec AD's word for it.
SEVERAL_DEFECTS = "combined"


@dataclass(frozen=True)
class Picture:
    """One image of the source and its mask, a file or what is drawn; ``defect`` is ``good`` if it is normal."""

    image: Path
    defect: str
    split: str | None  # None until it is dealt to train or test
    mask: Path | Annotation | None = None
    classes: bool = False  # whether the mask's values are classes, all of them anomalous

    @property
    def mask_file(self) -> Path | None:
        """The file in which the mask is."""
        return self.mask.path if isinstance(self.mask, Annotation) else self.mask


def slug(text: str) -> str:
    """A label or a folder's name, safe on every file system: ``Loose Screw #2`` is ``loose_screw_2``."""
    return re.sub(r"[^\w.-]+", "_", text.strip().lower()).strip("._")


def visible(folder: Path) -> list[Path]:
    """A folder's entries, sorted, without hidden files and what operating systems leave behind."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not is_clutter(path.name))


def sub_folders(folder: Path) -> dict[str, Path]:
    """The sub-folders by their name in lower case, sorted."""
    found: dict[str, Path] = {}
    for path in visible(folder):
        if path.is_dir() and path.name.lower() in found:
            raise InputError(
                f"{path} and {found[path.name.lower()].name} differ in capital letters only: put them together."
            )
        if path.is_dir():
            found[path.name.lower()] = path
    return found


def pick(folders: dict[str, Path], names: Iterable[str], source: Path) -> Path | None:
    """The one folder with one of the names, None if there is none."""
    found = [folders[name] for name in names if name in folders]
    if len(found) > 1:
        raise InputError(
            f"{source} has both {found[0].name} and {found[1].name}, which mean the same: keep one of them."
        )
    return found[0] if found else None


def is_image(path: Path) -> bool:
    """Tell by its suffix whether a file is an image that is read."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


def loose_images(folder: Path, problems: list[Problem] | None = None) -> list[Path]:
    """The images that lie in a folder itself, sorted; those that are not read are problems."""
    if problems is not None:
        problems += foreign(visible(folder))
    return [path for path in visible(folder) if is_image(path)]


def foreign(paths: Iterable[Path]) -> list[Problem]:
    """Pictures in a format that is not read."""
    remedy = "Export such pictures as JPEG or PNG (phones: choose 'most compatible' as the camera's format)"
    unread = [path for path in paths if path.suffix.lower() in FOREIGN_SUFFIXES]
    return [Problem(path, "is in a format that is not read", remedy) for path in unread]


def images_in(folder: Path | None, problems: list[Problem]) -> list[Path]:
    """A folder's images, sorted; pictures that would be passed over in silence are problems."""
    if folder is None:
        return []
    for path in sub_folders(folder).values():
        if any(is_image(file) for file in path.rglob("*")):
            what = f"is a folder with images in {folder}, where only images are expected"
            problems.append(Problem(path, what, "Move its images up, or the folder away"))
    return loose_images(folder, problems)


def paired(
    images: Iterable[Path], masks: Iterable[Path], problems: list[Problem]
) -> tuple[dict[Path, Path], list[Path]]:
    """The mask of each image that has one, by their names without folders; and the masks that are left."""
    found, left, unclear = pair_masks([(path.stem, path) for path in images], [(path.stem, path) for path in masks])
    problems += unclear
    return found, left


def strays(masks: Iterable[Path]) -> list[Problem]:
    """Masks that nobody asks for."""
    remedy = "A mask has its image's name, or that name and '_mask': rename or remove it"
    return [Problem(path, "belongs to no image", remedy) for path in masks]


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ProblemError.of(path, f"is not valid JSON ({error})", "Export it again from its tool") from error


def labelled(image: Path, annotation: Annotation) -> Picture:
    """The entry of an image on which shapes are drawn, or none: then it is normal."""
    labels = {slug(label) for label in annotation.labels}
    if bad := sorted(label for label in labels if not label or label in NORMAL_NAMES):
        remedy = "Shapes are drawn around defects: rename or remove it"
        raise ProblemError.of(annotation.where, f"has a shape labelled {bad[0]!r}", remedy)
    defect = SEVERAL_DEFECTS if len(labels) > 1 else next(iter(labels), "good")
    return Picture(image, defect, "test" if labels else None, annotation)


def unlabelled(image: Path, source: Path, choice: str, problems: list[Problem]) -> list[Picture]:
    """The entry of an image without annotation: normal if its folder's name or the user says so, else a problem."""
    names = {part.lower() for part in image.relative_to(source).parts[:-1]}
    if choice == "normal" or names & {*NORMAL_NAMES, *NORMAL_TEST_NAMES}:
        return [Picture(image, "good", None)]
    remedy = (
        "If every image without an annotation is normal, say so with --unlabelled normal (unlabelled='normal'), else "
        "draw the defects and save"
    )
    problems.append(Problem(image, "has no annotation", remedy))
    return []
