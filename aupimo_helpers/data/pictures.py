"""The source of an import, the entry for one picture of it, and the names by which folders and labels are known."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Picture:
    """One image of the source and its mask, a file or what is drawn; ``defect`` is ``good`` if it is normal."""

    image: Path
    defect: str
    mask: Path | Annotation | None = None
    split: str | None = None  # None until it is dealt to train or test
    classes: bool = False  # whether the mask's values are classes, all of them anomalous

    @property
    def mask_file(self) -> Path | None:
        """The file in which the mask is."""
        return self.mask.path if isinstance(self.mask, Annotation) else self.mask

    @property
    def target(self) -> str:
        """The path of the new image in its data set, such as ``test/dent/1.png``."""
        return f"{self.split}/{self.defect}/{self.image.stem}.png"

    @property
    def mask_target(self) -> str:
        """The path of the new mask."""
        # It gets its image's very name: anomalib pairs the two lists by sorting them, and "_mask" would sort
        # "a_mask" behind "a1_mask" although "a" comes before "a1".
        return self.target.replace("test", "ground_truth", 1)


@dataclass
class Source:
    """A folder or file to import, and what the reader of its layout has found there so far."""

    path: Path
    unlabelled: str  # what an image without annotation is where defects are drawn: "error" or "normal"
    problems: list[Problem]
    pictures: list[Picture] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The folder in which the images lie: a file's own, or the one above its folder ``annotations``."""
        if self.path.is_dir():
            return self.path
        return self.path.parents[1 if self.path.parent.name == "annotations" else 0]

    def refuse(self, files: Iterable[Path], what: str, remedy: str) -> None:
        """Note the same problem of several files."""
        self.problems += [Problem(file, what, remedy) for file in files]

    def refuse_strays(self, masks: Iterable[Path]) -> None:
        """Note masks that nobody asks for."""
        remedy = "A mask has its image's name, or that name and '_mask': rename or remove it"
        self.refuse(masks, "belongs to no image", remedy)

    def loose_images(self, folder: Path) -> list[Path]:
        """The images that lie in a folder itself, sorted; those that are not read are problems."""
        self.problems += foreign(visible(folder))
        return loose_images(folder)

    def images_in(self, folder: Path) -> list[Path]:
        """A folder's images, sorted; pictures that would be passed over in silence are problems."""
        below = [path for path in sub_folders(folder).values() if any(map(is_image, visible_below(path)))]
        what = f"is a folder with images in {folder}, where only images are expected"
        self.refuse(below, what, "Move its images up, or the folder away")
        return self.loose_images(folder)

    def images_below(self) -> list[Path]:
        """The images in all folders of the source, sorted; those that are not read are problems."""
        files = visible_below(self.root)
        self.problems += foreign(files)
        return [path for path in files if is_image(path)]

    def pair(self, images: Iterable[Path], masks: Iterable[Path]) -> tuple[dict[Path, Path], list[Path]]:
        """The mask of each image that has one, by their names without folders; and the masks that are left."""
        found, left, unclear = pair_masks(*([(path.stem, path) for path in paths] for paths in (images, masks)))
        self.problems += unclear
        return found, left

    def pair_all(self, images: Iterable[Path], masks: Iterable[Path]) -> dict[Path, Path]:
        """The mask of each image that has one; the masks that are left are problems."""
        found, left = self.pair(images, masks)
        self.refuse_strays(left)
        return found

    def add_drawn(self, image: Path, annotation: Annotation) -> None:
        """Add an image on which shapes are drawn, or none: then it is normal."""
        self.pictures.append(Picture(image, drawn_defect(annotation), annotation))

    def add_unlabelled(self, image: Path) -> None:
        """Add an image without annotation: normal if its folder's name or the user says so, else a problem."""
        names = {part.lower() for part in image.relative_to(self.root).parts[:-1]}
        if self.unlabelled == "normal" or names & {*NORMAL_NAMES, *NORMAL_TEST_NAMES}:
            self.pictures.append(Picture(image, "good"))
            return
        remedy = (
            "If every image without an annotation is normal, say so with --unlabelled normal (unlabelled='normal'), "
            "else draw the defects and save"
        )
        self.problems.append(Problem(image, "has no annotation", remedy))


def slug(text: str) -> str:
    """A label or a folder's name, safe on every file system: ``Loose Screw #2`` is ``loose_screw_2``."""
    return re.sub(r"[^\w.-]+", "_", text.strip().lower()).strip("._")


def _is_visible(name: str) -> bool:
    """Tell by its name whether a file is neither hidden nor something that an operating system left behind."""
    return not name.startswith(".") and not is_clutter(name)


def visible(folder: Path) -> list[Path]:
    """A folder's visible entries, sorted."""
    return sorted(path for path in folder.iterdir() if _is_visible(path.name))


def visible_below(folder: Path) -> list[Path]:
    """The visible entries of a folder and of all folders in it, sorted."""
    return sorted(path for path in folder.rglob("*") if all(map(_is_visible, path.relative_to(folder).parts)))


def sub_folders(folder: Path) -> dict[str, Path]:
    """The sub-folders by their name in lower case, sorted."""
    found: dict[str, Path] = {}
    for path in filter(Path.is_dir, visible(folder)):
        if (other := found.setdefault(path.name.lower(), path)) != path:
            raise InputError(f"{path} and {other.name} differ in capital letters only: put them together.")
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


def loose_images(folder: Path) -> list[Path]:
    """The images that lie in a folder itself, sorted."""
    return [path for path in visible(folder) if is_image(path)]


def foreign(paths: Iterable[Path]) -> list[Problem]:
    """Pictures in a format that is not read."""
    remedy = "Export such pictures as JPEG or PNG (phones: choose 'most compatible' as the camera's format)"
    unread = [path for path in paths if path.suffix.lower() in FOREIGN_SUFFIXES]
    return [Problem(path, "is in a format that is not read", remedy) for path in unread]


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ProblemError.of(path, f"is not valid JSON ({error})", "Export it again from its tool") from error


def one_defect(names: set[str]) -> str:
    """The defect of an image that shows the ones of these names; several are MVTec AD's ``combined``."""
    return "combined" if len(names) > 1 else next(iter(names), "good")


def drawn_defect(annotation: Annotation) -> str:
    """The defect of an image on which these shapes are drawn."""
    names = {slug(label) for label in annotation.labels}
    if bad := sorted(name for name in names if not name or name in NORMAL_NAMES):
        remedy = "Shapes are drawn around defects: rename or remove it"
        raise ProblemError.of(annotation.where, f"has a shape labelled {bad[0]!r}", remedy)
    return one_defect(names)
