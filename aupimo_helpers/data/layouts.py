"""Which pictures a folder holds: the layouts that are understood, each read into one list.

Readers add to the problems what they do not understand; a file that is named in a problem is in no picture.
"""

from collections.abc import Callable
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
    foreign,
    images_in,
    is_image,
    labelled,
    loose_images,
    paired,
    pick,
    slug,
    strays,
    sub_folders,
    visible,
)
from aupimo_helpers.data.shapes import Annotation
from aupimo_helpers.data.yolo import is_yolo, read_yolo
from aupimo_helpers.errors import InputError, MissingError, Problem, collecting, listed


def find_pictures(
    source: Path, layout: str, problems: list[Problem], *, unlabelled: str
) -> tuple[str, list[Picture]]:
    """The layout's name, and the pictures sorted by path; masks are matched but not opened."""
    readers: dict[str, Callable[[], list[Picture]]] = {
        "mvtec": lambda: _read_mvtec(source, problems),
        "folders": lambda: _read_folders(source, problems),
        "csv": lambda: read_csv(source, problems),
        "coco": lambda: read_coco(source, unlabelled, problems),
        "yolo": lambda: read_yolo(source, unlabelled, problems),
        "voc": lambda: read_voc(source, unlabelled, problems),
        "visa": lambda: read_visa(source, problems),
        "beside": lambda: read_beside(source, problems),
        "labelme": lambda: read_labelme_folder(source, unlabelled, problems),
    }
    if layout not in ("auto", *readers):
        raise InputError(f"Unknown layout {layout!r}: choose one of auto, {', '.join(readers)}.")
    if unlabelled not in ("error", "normal"):
        raise InputError(f"unlabelled is {unlabelled!r}: choose 'normal' or 'error'.")
    if not source.exists():
        raise MissingError(
            f"{source} does not exist: give the folder with your images, or a CSV file that lists them."
        )
    if layout == "auto":
        layout = recognise(source) or ""
        if not layout:
            raise InputError(_nothing_recognised(source))
    if layout not in ("csv", "coco") and not source.is_dir():
        raise InputError(f"{source} is not a folder, and the layout {layout} needs one.")
    pictures = sorted(readers[layout](), key=lambda picture: picture.image)
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
    if source.is_file():
        files, place = [source], f"{source} is neither a folder nor a CSV nor a COCO file"
    else:
        files, place = visible(source), f"{source} has no layout that is understood"
    if advice := next(filter(None, map(_other_format, files)), None):
        return advice
    if source.is_file():
        return f"{place}; understood are: {LAYOUTS}."
    inside = candidates(source)
    if inside:
        return f"{source} holds several data sets: import one of them, such as {inside[0]}."
    images, folders = loose_images(source), [path.name for path in sub_folders(source).values()]
    if not images and (unread := foreign(visible(source))):
        return listed(unread)
    found = f"{len(images)} images and " + (f"the folders {', '.join(folders[:8])}" if folders else "no folder")
    return f"{place}. Found there: {found}. Understood are: {LAYOUTS}."


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


def _misplaced(paths: list[Path], why: str, remedy: str) -> list[Problem]:
    return [Problem(path, why, remedy) for path in paths]


def _with_labelme(
    images: list[Path], masks: list[Path], problems: list[Problem]
) -> tuple[dict[Path, Path | Annotation], list[Path]]:
    """The mask of each image, or what the labelme file beside it says; and the masks that are left."""
    files, left = paired(images, masks, problems)
    found: dict[Path, Path | Annotation] = {**files}
    for image in images:
        if image not in found and image.with_suffix(".json").is_file():
            with collecting(problems):
                found[image] = read_labelme(image.with_suffix(".json"))
    return found, left


def _read_mvtec(source: Path, problems: list[Problem]) -> list[Picture]:
    folders = sub_folders(source)
    missing = [name for name in ("train", "test") if name not in folders]
    if missing:
        raise InputError(f"{source} has no folder {missing[0]}, which the layout mvtec needs.")
    ground_truth = pick(folders, MASK_NAMES, source)
    mask_folders = sub_folders(ground_truth) if ground_truth else {}
    pictures = []
    left = loose_images(ground_truth, problems) if ground_truth else []
    for split in ("train", "test"):
        for name, folder in sub_folders(folders[split]).items():
            normal = name in NORMAL_NAMES
            if split == "train" and not normal:
                remedy = "Only train/good is used for training: remove it"
                problems.append(Problem(folder, "is not a folder of normal images", remedy))
                continue
            images = images_in(folder, problems)
            mask_files = images_in(mask_folders.pop(name, None) if split == "test" else None, problems)
            masks, extra = _with_labelme(images, mask_files, problems)
            left += extra
            pictures += [
                Picture(image, "good" if normal else slug(name), split, masks.get(image)) for image in images
            ]
        remedy = f"Move it into {split}/good or {split}/<defect>"
        problems += _misplaced(loose_images(folders[split], problems), f"lies in {split} itself", remedy)
    problems += strays([*left, *(path for folder in mask_folders.values() for path in images_in(folder, problems))])
    return pictures


def _read_folders(source: Path, problems: list[Problem]) -> list[Picture]:
    folders = sub_folders(source)
    normal, normal_test, abnormal, mask_folder = (
        pick(folders, names, source) for names in (NORMAL_NAMES, NORMAL_TEST_NAMES, ABNORMAL_NAMES, MASK_NAMES)
    )
    if normal is None or abnormal is None:
        raise InputError(
            f"{source} needs a folder of normal images ({', '.join(NORMAL_NAMES)}) and one of images with defects "
            f"({', '.join(ABNORMAL_NAMES)}) for the layout folders."
        )
    known = {normal, normal_test, abnormal, mask_folder}
    unknown = [path for path in folders.values() if path not in known and any(is_image(p) for p in path.rglob("*"))]
    why, remedy = f"has no meaning beside {normal.name} and {abnormal.name}", "Move a kind of defect to"
    problems += _misplaced(
        [*unknown, *loose_images(source, problems)], why, f"{remedy} {abnormal.name}/<defect>, or remove it"
    )

    mask_folders = sub_folders(mask_folder) if mask_folder else {}
    left = loose_images(mask_folder, problems) if mask_folder else []
    kinds = sub_folders(abnormal)
    loose = loose_images(abnormal, problems)
    if kinds:
        why = f"lies beside the folders {', '.join(kinds)}"
        problems += _misplaced(loose, why, "Move it into one of them")
        loose = []
    pictures, without_folder = [], {image: slug(abnormal.name) for image in loose}
    for name, folder in kinds.items():
        images = images_in(folder, problems)
        if name in mask_folders:
            masks, extra = _with_labelme(images, images_in(mask_folders.pop(name), problems), problems)
            problems += strays(extra)
            pictures += [Picture(image, slug(name), "test", masks.get(image)) for image in images]
        else:
            without_folder |= dict.fromkeys(images, slug(name))
    masks, left = _with_labelme(list(without_folder), left, problems)
    for image, defect in without_folder.items():
        mask = masks.get(image)
        with collecting(problems):
            if isinstance(mask, Annotation) and mask.shapes and not kinds:
                defect = labelled(image, mask).defect
            pictures.append(Picture(image, defect, "test", mask))
    # With a folder of normal test images nothing is dealt: the other one is for training. Normal images may have
    # masks, which must be empty; where the numbering starts anew in each folder, a mask is that of the defect.
    groups = [(normal, "train" if normal_test else None), (normal_test, "test")]
    images_of = {split: images_in(folder, problems) for folder, split in groups}
    masks, left = _with_labelme([image for images in images_of.values() for image in images], left, problems)
    pictures += [
        Picture(image, "good", split, masks.get(image)) for split, images in images_of.items() for image in images
    ]
    problems += strays([*left, *(path for folder in mask_folders.values() for path in images_in(folder, problems))])
    return pictures
