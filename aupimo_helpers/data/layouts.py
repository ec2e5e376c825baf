"""Which pictures a folder holds: the layouts that are understood, each read into one list.

Readers add to the problems what they do not understand; a file that is named in a problem is in no picture.
"""

from itertools import chain
from pathlib import Path

from aupimo_helpers.data.class_masks import is_beside, is_visa, is_voc, read_beside, read_visa, read_voc
from aupimo_helpers.data.coco import coco_files, read_coco
from aupimo_helpers.data.csv_list import csvs_in, read_csv
from aupimo_helpers.data.labelme import read_labelme, read_labelme_folder
from aupimo_helpers.data.paths import LAYOUTS
from aupimo_helpers.data.pictures import (
    ABNORMAL_NAMES,
    MASK_NAMES,
    NORMAL_NAMES,
    NORMAL_TEST_NAMES,
    Picture,
    Source,
    drawn_defect,
    foreign,
    is_image,
    loose_images,
    pick,
    slug,
    sub_folders,
    visible,
    visible_below,
)
from aupimo_helpers.data.shapes import Annotation
from aupimo_helpers.data.yolo import is_yolo, read_yolo
from aupimo_helpers.errors import InputError, MissingError, Problem, collecting, listed


def find_pictures(path: Path, layout: str, problems: list[Problem], *, unlabelled: str) -> tuple[str, list[Picture]]:
    """The layout's name, and the pictures sorted by path; masks are matched but not opened."""
    readers = {
        "mvtec": _read_mvtec,
        "folders": _read_folders,
        "csv": read_csv,
        "coco": read_coco,
        "yolo": read_yolo,
        "voc": read_voc,
        "visa": read_visa,
        "beside": read_beside,
        "labelme": read_labelme_folder,
    }
    if layout not in ("auto", *readers):
        raise InputError(f"Unknown layout {layout!r}: choose one of auto, {', '.join(readers)}.")
    if unlabelled not in ("error", "normal"):
        raise InputError(f"unlabelled is {unlabelled!r}: choose 'normal' or 'error'.")
    if not path.exists():
        raise MissingError(f"{path} does not exist: give the folder with your images, or a CSV file that lists them.")
    if layout == "auto":
        layout = recognise(path) or ""
        if not layout:
            raise InputError(_nothing_recognised(path))
    if layout not in ("csv", "coco") and not path.is_dir():
        raise InputError(f"{path} is not a folder, and the layout {layout} needs one.")
    readers[layout](source := Source(path, unlabelled, problems))
    pictures = sorted(source.pictures, key=lambda picture: picture.image)
    unclear = {problem.file for problem in problems}
    images: dict[Path, Picture] = {}
    owners: dict[Path, Path] = {}
    for picture in pictures:
        mask = picture.mask if picture.defect != "good" and isinstance(picture.mask, Path) else None
        if images.setdefault(picture.image, picture) is not picture:
            problems.append(Problem(picture.image, "is listed twice", "Keep one of the entries"))
        elif mask and mask not in unclear and (other := owners.setdefault(mask, picture.image)) != picture.image:
            what = f"is given as the mask of {other} and of {picture.image}"
            problems.append(Problem(mask, what, "Give each image a mask of its own"))
    unusable = {problem.file for problem in problems}
    return layout, [picture for picture in pictures if not {picture.image, picture.mask_file} & unusable]


def recognise(source: Path) -> str | None:
    """Tell the layout of a folder or file from the names in it; None if it is none that is understood."""
    if layout := _told_by_names(source):
        return layout
    return "beside" if source.is_dir() and not candidates(source) and is_beside(source) else None


def candidates(source: Path) -> list[Path]:
    """The sub-folders that are data sets themselves, as a data root holds them, sorted."""
    return [path for path in sub_folders(source).values() if _told_by_names(path)]


def _told_by_names(source: Path) -> str | None:
    if source.is_file():
        return "csv" if source.suffix.lower() == ".csv" else "coco" if coco_files(source) else None
    if not source.is_dir():
        return None
    folders = sub_folders(source)
    if not folders.keys() & set(MASK_NAMES) and coco_files(source):
        return "coco"
    for layout, is_it in {"visa": is_visa, "voc": is_voc, "yolo": is_yolo}.items():
        if is_it(source):
            return layout
    if {"train", "test"} <= folders.keys():
        return "mvtec"
    if folders.keys() & set(NORMAL_NAMES) and folders.keys() & set(ABNORMAL_NAMES):
        return "folders"
    if len(csvs_in(source)) == 1:
        return "csv"
    return "labelme" if any(path.with_suffix(".json").is_file() for path in loose_images(source)) else None


def _nothing_recognised(source: Path) -> str:
    files = [source] if source.is_file() else visible(source)
    if advice := next(filter(None, map(_other_format, files)), None):
        return advice
    if source.is_file():
        return f"{source} is neither a folder nor a CSV nor a COCO file; understood are: {LAYOUTS}."
    if inside := candidates(source):
        return f"{source} holds several data sets: import one of them, such as {inside[0]}."
    images, folders = loose_images(source), [path.name for path in sub_folders(source).values()]
    if not images and (unread := foreign(files)):
        return listed(unread)
    found = f"{len(images)} images and " + (f"the folders {', '.join(folders[:8])}" if folders else "no folder")
    return f"{source} has no layout that is understood. Found there: {found}. Understood are: {LAYOUTS}."


def _other_format(file: Path) -> str | None:
    """Name the format of annotations that are not read, and what to export instead."""
    if file.suffix.lower() not in (".json", ".xml") or not file.is_file():
        return None
    content = file.read_bytes()
    signs = {
        "CVAT's XML": (b"<annotations>", b"<image "),
        "Pascal VOC's XML, which has boxes and no outlines": (b"<annotation>", b"<bndbox>"),
        "Label Studio's JSON": (b'"annotations"', b'"data"', b'"result"'),
        "VGG Image Annotator's JSON": (b'"shape_attributes"', b'"regions"'),
    }
    for name, texts in signs.items():
        if all(text in content for text in texts):
            return f"{file} is {name}, which is not read: export the annotations as COCO (polygons) instead."
    return None


def _with_labelme(
    source: Source, images: list[Path], masks: list[Path]
) -> tuple[dict[Path, Path | Annotation], list[Path]]:
    """The mask of each image, or what the labelme file beside it says; and the masks that are left."""
    files, left = source.pair(images, masks)
    found: dict[Path, Path | Annotation] = {**files}
    for image in images:
        if image not in found and image.with_suffix(".json").is_file():
            with collecting(source.problems):
                found[image] = read_labelme(image.with_suffix(".json"))
    return found, left


def _masks_below(source: Source, folder: Path | None) -> tuple[list[Path], dict[str, list[Path]]]:
    """The masks that lie in a folder itself, and those in its sub-folders by their names."""
    if folder is None:
        return [], {}
    return source.loose_images(folder), {name: source.images_in(inner) for name, inner in sub_folders(folder).items()}


def _read_mvtec(source: Source) -> None:
    folders = sub_folders(source.path)
    if missing := [name for name in ("train", "test") if name not in folders]:
        raise InputError(f"{source.path} has no folder {missing[0]}, which the layout mvtec needs.")
    left, masks_of = _masks_below(source, pick(folders, MASK_NAMES, source.path))
    for split in ("train", "test"):
        for name, folder in sub_folders(folders[split]).items():
            normal = name in NORMAL_NAMES
            if split == "train" and not normal:
                remedy = "Only train/good is used for training: remove it"
                source.refuse([folder], "is not a folder of normal images", remedy)
                continue
            images = source.images_in(folder)
            masks, extra = _with_labelme(source, images, masks_of.pop(name, []) if split == "test" else [])
            left += extra
            defect = "good" if normal else slug(name)
            source.pictures += [Picture(image, defect, masks.get(image), split) for image in images]
        remedy = f"Move it into {split}/good or {split}/<defect>"
        source.refuse(source.loose_images(folders[split]), f"lies in {split} itself", remedy)
    source.refuse_strays([*left, *chain(*masks_of.values())])


def _read_folders(source: Source) -> None:
    folders = sub_folders(source.path)
    normal, normal_test, abnormal, mask_folder = (
        pick(folders, names, source.path) for names in (NORMAL_NAMES, NORMAL_TEST_NAMES, ABNORMAL_NAMES, MASK_NAMES)
    )
    if normal is None or abnormal is None:
        raise InputError(
            f"{source.path} needs a folder of normal images ({', '.join(NORMAL_NAMES)}) and one of images with "
            f"defects ({', '.join(ABNORMAL_NAMES)}) for the layout folders."
        )
    others = [path for path in folders.values() if path not in {normal, normal_test, abnormal, mask_folder}]
    unknown = [path for path in others if any(map(is_image, visible_below(path)))]
    why, remedy = f"has no meaning beside {normal.name} and {abnormal.name}", "Move a kind of defect to"
    source.refuse(
        [*unknown, *source.loose_images(source.path)], why, f"{remedy} {abnormal.name}/<defect>, or remove it"
    )

    left, masks_of = _masks_below(source, mask_folder)
    kinds = sub_folders(abnormal)
    without_folder = dict.fromkeys(source.loose_images(abnormal), slug(abnormal.name))
    if kinds:
        source.refuse(without_folder, f"lies beside the folders {', '.join(kinds)}", "Move it into one of them")
        without_folder = {}
    for name, folder in kinds.items():
        images = source.images_in(folder)
        if name in masks_of:
            masks, extra = _with_labelme(source, images, masks_of.pop(name))
            source.refuse_strays(extra)
            source.pictures += [Picture(image, slug(name), masks.get(image)) for image in images]
        else:
            without_folder |= dict.fromkeys(images, slug(name))
    masks, left = _with_labelme(source, list(without_folder), left)
    for image, defect in without_folder.items():
        mask = masks.get(image)
        with collecting(source.problems):
            if isinstance(mask, Annotation) and mask.shapes and not kinds:
                defect = drawn_defect(mask)
            source.pictures.append(Picture(image, defect, mask))
    # With a folder of normal test images nothing is dealt: the other one is for training. Normal images may have
    # masks, which must be empty; where the numbering starts anew in each folder, a mask is that of the defect.
    split_of = dict.fromkeys(source.images_in(normal), "train" if normal_test else None)
    split_of |= dict.fromkeys(source.images_in(normal_test) if normal_test else [], "test")
    masks, left = _with_labelme(source, list(split_of), left)
    source.pictures += [Picture(image, "good", masks.get(image), split) for image, split in split_of.items()]
    source.refuse_strays([*left, *chain(*masks_of.values())])
