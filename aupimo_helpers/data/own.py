"""Your own pictures as a data set that the whole course reads.

`import_folder` takes a folder in any of the layouts of `paths.LAYOUTS` and writes MVTec AD's.

Folder names may also be ``good`` or ``ok`` for ``normal``; ``anomalous``, ``anomaly``, ``defect``, ``defective``,
``bad``, ``ng``, ``nok`` or ``ko`` (and some plurals) for ``abnormal``; ``ground_truth``, ``mask`` or ``gt`` for
``masks``. A mask has its image's name, with or without ``_mask``; a labelme file beside an image counts as its mask
where there is no mask image. Pictures may be PNG, JPEG, BMP, GIF, TIFF or WebP, and each of another size.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from aupimo_helpers.data.layouts import candidates, find_pictures, recognise
from aupimo_helpers.data.pictures import Picture, is_image, slug
from aupimo_helpers.data.problems import check
from aupimo_helpers.data.writing import Import, Options
from aupimo_helpers.errors import InputError, MissingError, Problem
from aupimo_helpers.files import build_once

SOURCE = "own"


def import_folder(
    source: str | Path,
    name: str | None = None,
    data_root: str | Path = "datasets",
    *,
    layout: str = "auto",
    test_share: float = 0.3,
    seed: int = 0,
    mask_threshold: float | None = None,
    line_width: float | None = None,
    without_mask: str = "error",
    unlabelled: str = "error",
    skip_problems: bool = False,
) -> Path:
    """Copy your own pictures into MVTec AD's layout, as the data set ``own/NAME``.

    Pixels keep their values, upright as people see them and without colour profiles (those of more than 8 bits are
    divided by a power of two, the same for all), sizes may differ from picture to picture, and masks become 0 and
    255. The source is only read. The new folder appears when it is complete, with a record of where everything came
    from in ``own.json``. Importing an unchanged source again does nothing.

    Normal images are dealt to training and test, at random with the seed, unless the source says which are for
    the test. Every image with a defect needs a mask with at least one pixel: AUPIMO measures how much of the mask is
    found.

    Args:
        source: A folder in one of the layouts (`paths.LAYOUTS`), or a CSV or COCO file.
        name: Name of the new data set; by default made from the source's name.
        data_root: Folder of all data sets; the new one becomes ``data_root/own/NAME``.
        layout: ``auto`` to tell from the folder's names, or a layout's name.
        test_share: Share of the normal images that goes into the test set (at least one image), where the source
            does not say.
        seed: Seed of that draw.
        mask_threshold: Grey value from which a mask's pixel is defect, for masks with smooth edges; without it such
            masks are refused.
        line_width: Width in pixels for lines drawn in labelme; without it lines are refused.
        without_mask: What to do with an image in a defect folder that has no mask: ``error``, or ``skip`` it.
        skip_problems: Leave out files that cannot be used, and images that `check` names, rather than refuse all;
            what was skipped is in the record.
        unlabelled: What an image without annotation is where defects are drawn: ``error``, or ``normal``.

    Returns:
        The folder ``data_root/own/NAME``.

    Raises:
        MissingError: If the source is not there.
        InputError: If nothing is recognised, the target exists with other content, or files do not fit together or
            cannot be used; all such files are named.
        WriteError: If the target cannot be written. Nothing half-written is left.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for part, value in (("normal/1", 9), ("normal/2", 8), ("abnormal/3", 7), ("masks/3", 255)):
        ...         path = Path(folder, "screws", f"{part}.png")
        ...         path.parent.mkdir(parents=True, exist_ok=True)
        ...         Image.new("L", (4, 4), value).save(path)
        ...     imported = import_folder(Path(folder, "screws"), data_root=Path(folder, "datasets"))
        ...     sorted(path.relative_to(imported).as_posix() for path in imported.rglob("*.png"))
        ['ground_truth/abnormal/3.png', 'test/abnormal/3.png', 'test/good/2.png', 'train/good/1.png']
    """
    source = Path(source)
    options = Options(test_share, seed, mask_threshold, line_width, without_mask, skip_problems)
    name = _name(source, name)
    target = Path(data_root) / SOURCE / name
    problems: list[Problem] = []
    layout, pictures = find_pictures(source, layout, problems, unlabelled=unlabelled)
    left_out = [picture for picture in pictures if picture.defect != "good" and picture.mask is None]
    if without_mask == "error":
        remedy = "AUPIMO needs the masks: draw the defects (labelme saves JSON beside the image), or say"
        remedy += " --without-mask skip to leave such images out"
        problems += [Problem(picture.image, "shows a defect and has no mask", remedy) for picture in left_out]
        left_out = []  # named as problems already
    pictures = [picture for picture in pictures if picture.defect == "good" or picture.mask is not None]
    if not problems or skip_problems:
        _refuse_gaps(pictures, source)
    pictures = _deal(pictures, test_share, seed)
    _name_clashes(pictures, problems)
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{target} would lie inside the source {source}: choose another place with --data-root.")
    importing = Import(source, layout, options, pictures, problems, left_out)
    if problems and not skip_problems:
        importing.write(target)  # names what else is wrong, and writes nothing
    return build_once(
        target, lambda folder: _refuse_gaps(importing.write(folder), source), accept=importing.require_same
    )


def locate(
    path: str | Path, category: str | None = None, data_root: str | Path = "datasets", *, skip_problems: bool = False
) -> tuple[str, Path]:
    """Turn the folder that a user names into a data set that the course reads, importing it if need be.

    A folder in MVTec AD's layout to the letter (PNG only, masks that stay paired when names are sorted), such as one
    that was imported before, is used where it lies; any other is imported.

    Args:
        path: A folder of pictures in one of the layouts, a CSV file, or a folder that holds several of these.
        category: Which one, where ``path`` holds several; else the name for the data set.
        data_root: Where an import goes.
        skip_problems: Import without the files that cannot be used; a folder that could be used where it lies is
            imported, too, if `check` finds something.

    Returns:
        The data set's name and its data root: ``("own/screws", Path("datasets"))``.

    Raises:
        MissingError: If the path is not there, or has no such category.
        InputError: If it holds several data sets and no category is given, or cannot be imported.

    Example:
        >>> locate("nowhere/at/all")
        Traceback (most recent call last):
        aupimo_helpers.errors.MissingError: ...nowhere/at/all does not exist: give the folder with your images...
    """
    source, name = Path(path), category
    if source.is_dir() and recognise(source) is None and (inside := candidates(source)):
        names = [folder.name for folder in inside]
        if category is None and len(inside) > 1:
            raise InputError(f"{path} holds several categories ({', '.join(names)}): choose one with --category.")
        if category is not None and category not in names:
            raise MissingError(f"There is no category {category} in {path}: it has {', '.join(names)}.")
        source, name = inside[names.index(category) if category else 0], None
    if source.is_dir() and name is None and _is_ready(source) and not (skip_problems and check(source)):
        source = source.resolve()
        return f"{source.parent.name}/{source.name}", source.parent.parent
    folder = import_folder(source, name, data_root, skip_problems=skip_problems)
    return f"{SOURCE}/{folder.name}", Path(data_root)


def _is_ready(source: Path) -> bool:
    """Tell by the names in it whether anomalib reads a folder as it is: PNG only, and sorting keeps masks paired."""
    images = sorted(path.relative_to(source) for path in source.rglob("*") if is_image(path))
    if any(len(path.parts) != 3 or path.suffix not in (".png", ".PNG") for path in images):
        return False
    good = [path.parts[0] for path in images if path.parts[:2] in (("train", "good"), ("test", "good"))]
    damaged = [path for path in images if path.parts[0] == "test" and path.parts[1] != "good"]
    masks = [path for path in images if path.parts[0] == "ground_truth"]
    if len(set(good)) < 2 or len(damaged) != len(masks) or len(good) + 2 * len(masks) < len(images):
        return False
    return all(
        mask.parts[1] == image.parts[1] and mask.stem in (image.stem, f"{image.stem}_mask")
        for image, mask in zip(damaged, masks, strict=True)
    )


def _name(source: Path, name: str | None) -> str:
    if name is None:
        resolved = source.resolve()
        text = resolved.stem if resolved.is_file() else resolved.name
        name = slug(normalize("NFKD", text).encode("ascii", "ignore").decode())  # anomalib takes no other letters
        if not name:
            raise InputError(f"{source} gives no name for the data set: choose one with --name.")
    elif not name or slug(name) != name.lower() or not name.isascii():
        raise InputError(
            f"{name!r} cannot be a data set's name: use letters, digits, '-', '_' and '.', such as "
            f"{slug(name) or 'parts'!r}."
        )
    return name


def _refuse_gaps(pictures: Sequence[Picture], source: Path) -> None:
    """Refuse a data set without a group of images that cannot be done without."""
    normal = [picture for picture in pictures if picture.defect == "good"]
    splits = Counter(picture.split for picture in normal)
    if not normal:
        gap = "no normal images: the model learns from them, and AUPIMO counts its false alarms on them"
    elif not splits["train"] and splits[None] < 2:
        gap = "too few normal images for training: at least one, and one more for the test"
    elif not splits["test"] and (splits[None] < 1 or len(normal) < 2):
        gap = "no normal test image, on which false alarms are counted: move some of the training images to the test"
    elif len(normal) == len(pictures):
        gap = "no image with a defect and a mask: AUPIMO is the recall of defects, so add at least one"
    else:
        return
    raise InputError(f"{source} has {gap}.")


def _deal(pictures: Sequence[Picture], test_share: float, seed: int) -> list[Picture]:
    """Deal the normal images that have no split yet, at random, at least one to each; defects are for the test."""
    normal = [i for i, picture in enumerate(pictures) if picture.defect == "good"]
    splits = Counter(pictures[i].split for i in normal)
    open_ones = [i for i in normal if pictures[i].split is None]
    wanted = round(test_share * len(open_ones))
    most = len(open_ones) - (0 if splits["train"] else 1)
    least = 0 if splits["test"] else 1
    chosen = set(random.Random(seed).sample(open_ones, max(0, min(max(wanted, least), most))))
    rest = set(open_ones) - chosen
    return [replace(p, split="train" if i in rest else p.split or "test") for i, p in enumerate(pictures)]


def _name_clashes(pictures: Sequence[Picture], problems: list[Problem]) -> None:
    """Note images that would get the same path."""
    first: dict[str, Path] = {}
    for picture in pictures:
        # Compared without case, because some file systems do.
        if (other := first.setdefault(picture.target.lower(), picture.image)) != picture.image:
            what = f"and {other} would both become {picture.target}"
            problems.append(Problem(picture.image, what, "Rename one of them"))
