"""The layouts ``voc``, ``visa`` and ``beside``: masks as public data sets keep them, often with a value per class.

::

    voc        JPEGImages  SegmentationClass  and, if you like, labelmap.txt with the names of the colours
    visa       Images/Normal  Images/Anomaly  Masks/Anomaly, in a folder Data or not
    beside     a folder for each kind of defect, with a.jpg and its mask a.png, or a.png and a_mask.png
"""

from pathlib import Path

from aupimo_helpers.data.images import class_colours, load_mask
from aupimo_helpers.data.pictures import (
    NORMAL_NAMES,
    SEVERAL_DEFECTS,
    Picture,
    images_in,
    is_image,
    paired,
    slug,
    strays,
    sub_folders,
    unlabelled,
)
from aupimo_helpers.errors import InputError, Problem, collecting

_ABNORMAL = "abnormal"  # the defect's name where none is given


def is_voc(source: Path) -> bool:
    """Tell by the folders' names."""
    return {"jpegimages", "segmentationclass"} <= sub_folders(source).keys()


def read_voc(source: Path, choice: str, problems: list[Problem]) -> list[Picture]:
    """The images, by the colours that occur in their masks; a black mask is that of a normal image."""
    folders = sub_folders(source)
    if not is_voc(source):
        raise InputError(f"{source} has no folders JPEGImages and SegmentationClass, which the layout voc needs.")
    names = _labelmap(source / "labelmap.txt")
    images, masks = (images_in(folders[name], problems) for name in ("jpegimages", "segmentationclass"))
    found, left = paired(images, masks, problems)
    problems += strays(left)
    pictures: list[Picture] = []
    for image in images:
        if image not in found:
            pictures += unlabelled(image, source, choice, problems)
            continue
        with collecting(problems):
            kinds = {names.get(colour, _ABNORMAL) for colour in class_colours(found[image])}
            defect = SEVERAL_DEFECTS if len(kinds) > 1 else next(iter(kinds), "good")
            pictures.append(Picture(image, defect, "test" if kinds else None, found[image], classes=True))
    return pictures


def _labelmap(path: Path) -> dict[int, str]:
    """Names by colour from the file that CVAT writes: ``dent:128,0,0::``."""
    names = {}
    for line in path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []:
        if line.strip() and not line.startswith("#"):
            try:
                name, colour = line.split(":")[:2]
                red, green, blue = (int(value) for value in colour.split(","))
            except ValueError as error:
                raise InputError(
                    f"{path} has the line {line!r}, which is not NAME:RED,GREEN,BLUE: mend it."
                ) from error
            names[red << 16 | green << 8 | blue] = slug(name) or _ABNORMAL
    return names


def is_visa(source: Path) -> bool:
    """Tell by the folders' names."""
    return all((_visa_data(source) / part).is_dir() for part in ("Images/Normal", "Images/Anomaly", "Masks/Anomaly"))


def _visa_data(source: Path) -> Path:
    return source / "Data" if (source / "Data").is_dir() else source


def read_visa(source: Path, problems: list[Problem]) -> list[Picture]:
    """The images of one category as its authors publish it."""
    if not is_visa(source):
        raise InputError(f"{source} has no folders Images/Normal, Images/Anomaly and Masks/Anomaly, as visa needs.")
    data = _visa_data(source)
    abnormal = images_in(data / "Images" / "Anomaly", problems)
    found, left = paired(abnormal, images_in(data / "Masks" / "Anomaly", problems), problems)
    problems += strays(left)
    pictures = [Picture(image, "good", None) for image in images_in(data / "Images" / "Normal", problems)]
    return pictures + [Picture(image, "anomaly", "test", found.get(image), classes=True) for image in abnormal]


def _folders_beside(source: Path) -> list[tuple[Path, list[Path], list[Path]]]:
    """Folders with their images and the masks beside these."""
    found = []
    for folder in sorted({path.parent for path in source.rglob("*") if is_image(path)}):
        files = images_in(folder, [])
        photographs = [path for path in files if path.suffix.lower() != ".png" and not path.stem.endswith("_mask")]
        if not photographs:
            photographs = [path for path in files if not path.stem.endswith("_mask")]
        found.append((folder, photographs, [path for path in files if path not in set(photographs)]))
    return found


def is_beside(source: Path) -> bool:
    """Tell by images that have a mask beside them."""
    return any(masks and paired(images, masks, [])[0] for _, images, masks in _folders_beside(source))


def read_beside(source: Path, problems: list[Problem]) -> list[Picture]:
    """The images of every folder; one whose masks are all black, or that has a normal name, holds normal images."""
    pictures: list[Picture] = []
    for folder, images, masks in _folders_beside(source):
        found, left = paired(images, masks, problems)
        problems += strays(left)
        kind = slug((folder.relative_to(source).parts or (_ABNORMAL,))[0])
        normal = kind in NORMAL_NAMES
        with collecting(problems):
            normal = normal or (bool(found) and not any(load_mask(mask).any() for mask in found.values()))
        defect, split = ("good", None) if normal else (kind, "test")
        pictures += [Picture(image, defect, split, found.get(image)) for image in images]
    return pictures
