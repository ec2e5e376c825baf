"""Which pictures a folder holds: the four layouts that are understood, each read into one list."""

from collections.abc import Callable, Iterable
from pathlib import Path

from aupimo_helpers.data.csv_list import csv_of, csvs_in, read_csv
from aupimo_helpers.data.images import FOREIGN_SUFFIXES
from aupimo_helpers.data.labelme import read_labelme
from aupimo_helpers.data.pictures import (
    ABNORMAL_NAMES,
    MASK_NAMES,
    NORMAL_NAMES,
    NORMAL_TEST_NAMES,
    Picture,
    foreign_message,
    images_in,
    is_image,
    name_some,
    slug,
    sub_folders,
    visible,
)
from aupimo_helpers.errors import InputError, MissingError

LAYOUTS = ("auto", "mvtec", "folders", "csv", "labelme")

# The defect name of an image that shows several: MVTec AD's word for it.
SEVERAL_DEFECTS = "combined"

UNDERSTOOD = (
    "train/good + test/good + test/<defect> + ground_truth/<defect> (mvtec); normal + abnormal + masks (folders); "
    "a CSV file with the columns image, split, label, mask (csv); or images with labelme JSON beside them (labelme)"
)


def find_pictures(
    source: str | Path, layout: str = "auto", *, unlabelled: str = "error"
) -> tuple[str, list[Picture]]:
    """List the pictures of a source, whatever its layout.

    Args:
        source: A folder, or a CSV file.
        layout: One of `LAYOUTS`.
        unlabelled: In the labelme layout, what an image without a JSON file beside it is: ``normal``, or an
            ``error``.

    Returns:
        The layout's name, and the pictures, sorted by path. Masks are matched but not opened.

    Raises:
        MissingError: If the source, or a file that a CSV names, is not there.
        InputError: If no layout is recognised, or files do not fit together.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("normal/1.png", "abnormal/2.png", "masks/2.png"):
        ...         Path(folder, name).parent.mkdir()
        ...         Path(folder, name).touch()
        ...     layout, pictures = find_pictures(folder)
        >>> layout, [picture.defect for picture in pictures]
        ('folders', ['abnormal', 'good'])
    """
    source = Path(source)
    if layout not in LAYOUTS:
        msg = f"Unknown layout {layout!r}: choose one of {', '.join(LAYOUTS)}."
        raise InputError(msg)
    if unlabelled not in ("error", "normal"):
        msg = f"unlabelled is {unlabelled!r}: choose 'normal' or 'error'."
        raise InputError(msg)
    if not source.exists():
        msg = f"{source} does not exist: give the folder with your images, or a CSV file that lists them."
        raise MissingError(msg)
    if layout == "auto":
        recognised = recognise(source)
        if recognised is None:
            raise InputError(_nothing_recognised(source))
        layout = recognised
    if layout != "csv" and not source.is_dir():
        msg = f"{source} is not a folder, and the layout {layout} needs one."
        raise InputError(msg)
    readers: dict[str, Callable[[], list[Picture]]] = {
        "mvtec": lambda: _read_mvtec(source),
        "folders": lambda: _read_folders(source),
        "csv": lambda: read_csv(csv_of(source)),
        "labelme": lambda: _read_labelme_folder(source, unlabelled),
    }
    pictures = sorted(readers[layout](), key=lambda picture: picture.image)
    return layout, pictures


def recognise(source: Path) -> str | None:
    """Tell the layout of a folder from the names in it.

    Args:
        source: A folder or a file.

    Returns:
        ``mvtec``, ``folders``, ``csv`` or ``labelme``; None if it is none of them.

    Example:
        >>> recognise(Path("a_file_without_meaning.txt")) is None
        True
    """
    if source.is_file():
        return "csv" if source.suffix.lower() == ".csv" else None
    if not source.is_dir():
        return None
    folders = sub_folders(source)
    if {"train", "test"} <= folders.keys():
        return "mvtec"
    if folders.keys() & set(NORMAL_NAMES) and folders.keys() & set(ABNORMAL_NAMES):
        return "folders"
    if len(csvs_in(source)) == 1:
        return "csv"
    if any(path.with_suffix(".json").is_file() for path in visible(source) if is_image(path)):
        return "labelme"
    return None


def candidates(source: Path) -> list[Path]:
    """List the sub-folders that are data sets themselves, as a data root holds them.

    Args:
        source: A folder.

    Returns:
        The sub-folders with a layout that is recognised, sorted.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "screws", "train").mkdir(parents=True)
        ...     Path(folder, "screws", "test").mkdir()
        ...     [path.name for path in candidates(Path(folder))]
        ['screws']
    """
    return [path for path in sub_folders(source).values() if recognise(path)]


def is_ready(source: Path) -> bool:
    """Tell whether anomalib reads a folder as it is, by the names in it.

    anomalib reads PNG only, and pairs images with masks by sorting both lists of names: ``a.png`` comes before
    ``a1.png``, but ``a_mask.png`` behind ``a1_mask.png``, so such folders have to be imported.

    Args:
        source: A folder.

    Returns:
        True for MVTec AD's layout to the letter.

    Example:
        >>> is_ready(Path("nowhere"))
        False
    """
    images = sorted(path.relative_to(source) for path in source.rglob("*") if is_image(path))
    if any(len(path.parts) != 3 or path.suffix not in (".png", ".PNG") for path in images):
        return False
    by_group: dict[tuple[str, str], list[str]] = {}
    for path in images:
        by_group.setdefault((path.parts[0], path.parts[1]), []).append(path.stem)
    if not by_group.keys() >= {("train", "good"), ("test", "good")}:
        return False
    for split, defect in by_group.keys() - {("train", "good"), ("test", "good")}:
        stems, masks = by_group.get(("test", defect), []), by_group.get(("ground_truth", defect), [])
        if split == "train" or len(stems) != len(masks):
            return False
        if any(mask not in (stem, f"{stem}_mask") for stem, mask in zip(stems, masks, strict=True)):
            return False
    return True


def _nothing_recognised(source: Path) -> str:
    if source.is_file():
        return f"{source} is neither a folder nor a CSV file; understood are: {UNDERSTOOD}."
    inside = candidates(source)
    if inside:
        return f"{source} holds several data sets: import one of them, such as {inside[0]}."
    images = [path for path in visible(source) if is_image(path)]
    folders = [path.name for path in sub_folders(source).values()]
    foreign = [path for path in visible(source) if path.suffix.lower() in FOREIGN_SUFFIXES]
    if foreign and not images:
        return foreign_message(foreign)
    found = f"{len(images)} images and " + (f"the folders {', '.join(folders[:8])}" if folders else "no folder")
    return f"{source} has no layout that is understood. Found there: {found}. Understood are: {UNDERSTOOD}."


def _pick(folders: dict[str, Path], names: Iterable[str], source: Path) -> Path | None:
    """Get the one folder with one of the names, None if there is none."""
    found = [folders[name] for name in names if name in folders]
    if len(found) > 1:
        msg = f"{source} has both {found[0].name} and {found[1].name}, which mean the same: keep one of them."
        raise InputError(msg)
    return found[0] if found else None


class _Masks:
    """Mask files of a folder by their image's name, and which of them were asked for."""

    def __init__(self, folder: Path | None) -> None:
        self._by_stem: dict[str, Path] = {}
        self._unused: set[Path] = set()
        for path in images_in(folder) if folder else ():
            if path.stem in self._by_stem:
                msg = f"{path} and {self._by_stem[path.stem].name} are masks of the same name: keep one of them."
                raise InputError(msg)
            self._by_stem[path.stem] = path
            self._unused.add(path)

    def of(self, image: Path) -> Path | None:
        """Find the mask file of an image, or the labelme file beside the image."""
        found = [self._by_stem[stem] for stem in (image.stem, f"{image.stem}_mask") if stem in self._by_stem]
        if len(found) > 1:
            msg = f"{image} has two masks, {found[0].name} and {found[1].name}: keep one of them."
            raise InputError(msg)
        if found:
            self._unused.discard(found[0])
            return found[0]
        annotation = image.with_suffix(".json")
        return annotation if annotation.is_file() else None

    def refuse_strays(self) -> None:
        if self._unused:
            strays = sorted(self._unused)
            msg = (
                f"{name_some(strays)} belongs to no image: a mask has its image's name, or that name and '_mask'; "
                f"rename or remove it."
            )
            raise InputError(msg)


def _read_mvtec(source: Path) -> list[Picture]:
    folders = sub_folders(source)
    missing = [name for name in ("train", "test") if name not in folders]
    if missing:
        msg = f"{source} has no folder {missing[0]}, which the layout mvtec needs."
        raise InputError(msg)
    ground_truth = _pick(folders, MASK_NAMES, source)
    mask_folders = sub_folders(ground_truth) if ground_truth else {}
    pictures = []
    for split in ("train", "test"):
        for name, folder in sub_folders(folders[split]).items():
            normal = name in NORMAL_NAMES
            if split == "train" and not normal:
                msg = (
                    f"{folder} is not a folder of normal images: only train/good is used for training, so remove it."
                )
                raise InputError(msg)
            masks = _Masks(mask_folders.get(name) if split == "test" else None)
            defect = "good" if normal else slug(name)
            pictures += [Picture(image, defect, split, masks.of(image)) for image in images_in(folder)]
            masks.refuse_strays()
        loose = [path for path in visible(folders[split]) if is_image(path)]
        if loose:
            msg = f"{name_some(loose)} lies in {split} itself: move it into {split}/good or {split}/<defect>."
            raise InputError(msg)
    return pictures


def _read_folders(source: Path) -> list[Picture]:
    folders = sub_folders(source)
    normal = _pick(folders, NORMAL_NAMES, source)
    normal_test = _pick(folders, NORMAL_TEST_NAMES, source)
    abnormal = _pick(folders, ABNORMAL_NAMES, source)
    mask_folder = _pick(folders, MASK_NAMES, source)
    if normal is None or abnormal is None:
        msg = (
            f"{source} needs a folder of normal images ({', '.join(NORMAL_NAMES)}) and one of images with defects "
            f"({', '.join(ABNORMAL_NAMES)}) for the layout folders."
        )
        raise InputError(msg)
    known = {normal, normal_test, abnormal, mask_folder}
    unknown = [path for path in folders.values() if path not in known and any(is_image(p) for p in path.rglob("*"))]
    unknown += [path for path in visible(source) if is_image(path)]
    if unknown:
        msg = (
            f"{name_some(unknown)} has no meaning beside {normal.name} and {abnormal.name}: move a kind of defect to "
            f"{abnormal.name}/<defect>, or remove it."
        )
        raise InputError(msg)
    flat_masks = _Masks(mask_folder if mask_folder and not sub_folders(mask_folder) else None)
    mask_folders = sub_folders(mask_folder) if mask_folder else {}

    # With a folder of normal test images nothing is dealt: the other one is for training.
    pictures = [
        Picture(image, "good", "train" if normal_test else None, flat_masks.of(image)) for image in images_in(normal)
    ]
    if normal_test:
        pictures += [Picture(image, "good", "test", flat_masks.of(image)) for image in images_in(normal_test)]
    kinds = sub_folders(abnormal)
    loose = [path for path in visible(abnormal) if is_image(path)]
    if kinds and loose:
        msg = f"{name_some(loose)} lies beside the folders {', '.join(kinds)}: move it into one of them."
        raise InputError(msg)
    for name, folder in kinds.items():
        masks = _Masks(mask_folders[name]) if name in mask_folders else flat_masks
        pictures += [Picture(image, slug(name), "test", masks.of(image)) for image in images_in(folder)]
        if masks is not flat_masks:
            masks.refuse_strays()
    for image in loose:
        mask = flat_masks.of(image)
        annotated = mask is not None and mask.suffix == ".json"
        defect = _defect_of(mask) if mask is not None and annotated else slug(abnormal.name)
        pictures.append(Picture(image, defect or slug(abnormal.name), "test", mask))
    flat_masks.refuse_strays()
    return pictures


def _defect_of(annotation: Path) -> str:
    """Name the defect of a labelme file by its labels; empty if nothing is drawn."""
    labels = {slug(label) for label in read_labelme(annotation).labels}
    bad = sorted(label for label in labels if not label or label in NORMAL_NAMES)
    if bad:
        msg = f"{annotation} has a shape labelled {bad[0]!r}: shapes are drawn around defects; rename or remove it."
        raise InputError(msg)
    return SEVERAL_DEFECTS if len(labels) > 1 else next(iter(labels), "")


def _read_labelme_folder(source: Path, unlabelled: str) -> list[Picture]:
    pictures, without = [], []
    for image in images_in(source):
        annotation = image.with_suffix(".json")
        if annotation.is_file():
            defect = _defect_of(annotation)
            pictures.append(Picture(image, defect or "good", "test" if defect else None, annotation))
        else:
            without.append(image)
    if without and unlabelled == "error":
        msg = (
            f"{name_some(without)} has no annotation: if every image without a JSON file is normal, say so with "
            f"--unlabelled normal (unlabelled='normal'), else draw the defects and save."
        )
        raise InputError(msg)
    return pictures + [Picture(image, "good", None) for image in without]
