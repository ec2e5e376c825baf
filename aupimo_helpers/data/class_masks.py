"""The layouts ``voc``, ``visa`` and ``beside``: masks as public data sets keep them, often with a value per class.

::

    voc        JPEGImages  SegmentationClass  and, if you like, labelmap.txt with the names of the colours
    visa       Images/Normal  Images/Anomaly  Masks/Anomaly, in a folder Data or not
    beside     a folder for each kind of defect, with a.jpg and its mask a.png, or a.png and a_mask.png
"""

from pathlib import Path

from aupimo_helpers.data.images import class_colours, load_mask
from aupimo_helpers.data.pictures import NORMAL_NAMES, Picture, Source, one_defect, slug, sub_folders
from aupimo_helpers.errors import InputError, collecting

_ABNORMAL = "abnormal"  # the defect's name where none is given


def is_voc(source: Path) -> bool:
    """Tell by the folders' names."""
    return {"jpegimages", "segmentationclass"} <= sub_folders(source).keys()


def read_voc(source: Source) -> None:
    """The images, by the colours that occur in their masks; a black mask is that of a normal image."""
    if not is_voc(source.path):
        raise InputError(
            f"{source.path} has no folders JPEGImages and SegmentationClass, which the layout voc needs."
        )
    names = _labelmap(source.path / "labelmap.txt")
    folders = sub_folders(source.path)
    images = source.images_in(folders["jpegimages"])
    found = source.pair_all(images, source.images_in(folders["segmentationclass"]))
    for image in images:
        if image not in found:
            source.add_unlabelled(image)
            continue
        with collecting(source.problems):
            defect = one_defect({names.get(colour, _ABNORMAL) for colour in class_colours(found[image])})
            source.pictures.append(Picture(image, defect, found[image], classes=True))


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


def read_visa(source: Source) -> None:
    """The images of one category as its authors publish it."""
    if not is_visa(source.path):
        raise InputError(
            f"{source.path} has no folders Images/Normal, Images/Anomaly and Masks/Anomaly, as visa needs."
        )
    data = _visa_data(source.path)
    abnormal = source.images_in(data / "Images" / "Anomaly")
    found = source.pair_all(abnormal, source.images_in(data / "Masks" / "Anomaly"))
    source.pictures += [Picture(image, "good") for image in source.images_in(data / "Images" / "Normal")]
    source.pictures += [Picture(image, "anomaly", found.get(image), classes=True) for image in abnormal]


def _folders_beside(source: Source) -> list[tuple[Path, list[Path], list[Path]]]:
    """Folders with their images and the masks beside these."""
    by_folder: dict[Path, list[Path]] = {}
    for file in source.images_below():
        by_folder.setdefault(file.parent, []).append(file)
    found = []
    for folder, files in by_folder.items():
        images = [file for file in files if not file.stem.endswith("_mask")]
        images = [file for file in images if file.suffix.lower() != ".png"] or images
        found.append((folder, images, sorted({*files} - {*images})))
    return found


def is_beside(path: Path) -> bool:
    """Tell by images that have a mask beside them."""
    source = Source(path, "error", [])
    return any(source.pair(images, masks)[0] for _, images, masks in _folders_beside(source))


def read_beside(source: Source) -> None:
    """The images of every folder; one whose masks are all black, or that has a normal name, holds normal images."""
    for folder, images, masks in _folders_beside(source):
        found = source.pair_all(images, masks)
        kind = slug((folder.relative_to(source.path).parts or (_ABNORMAL,))[0])
        normal = kind in NORMAL_NAMES
        with collecting(source.problems):
            normal = normal or (bool(found) and not any(load_mask(mask).any() for mask in found.values()))
        source.pictures += [Picture(image, "good" if normal else kind, found.get(image)) for image in images]
