"""Your own pictures as a data set that the whole course reads.

`import_folder` takes a folder in any of four layouts and writes MVTec AD's layout::

    mvtec      train/good  test/good  test/<defect>  ground_truth/<defect>
    folders    normal  abnormal[/<defect>]  masks[/<defect>]  and, if you like, normal_test
    csv        a CSV file with the columns image, label (or defect), and, if you like, split and mask
    labelme    images in one folder, with labelme's JSON beside those that show a defect

Folder names may also be ``good`` or ``ok`` for ``normal``; ``anomalous``, ``anomaly``, ``defect``, ``defective``,
``bad``, ``ng``, ``nok`` or ``ko`` (and some plurals) for ``abnormal``; ``ground_truth``, ``mask`` or ``gt`` for
``masks``. A mask has its image's name, with or without ``_mask``; a labelme file beside an image counts as its mask
where there is no mask image. Pictures may be PNG, JPEG, BMP, TIFF or WebP, and each of another size.
"""

import shutil
from pathlib import Path

from filelock import FileLock

from aupimo_helpers.data.layouts import candidates, find_pictures, is_ready, recognise
from aupimo_helpers.data.pictures import slug
from aupimo_helpers.data.record import Options, make_record, require_same
from aupimo_helpers.data.selection import deal, refuse_gaps, target_names, with_masks
from aupimo_helpers.data.writing import write_data_set
from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.files import atomic_folder, explain_write_errors

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
) -> Path:
    """Copy your own pictures into MVTec AD's layout, as the data set ``own/NAME``.

    Pixels keep their values (see `pixels.read_picture` for what happens to rotated, 16-bit and other special
    pictures), sizes may differ from picture to picture, and masks become 0 and 255. The source is only read. The new
    folder appears when it is complete, with a record of where everything came from in ``own.json``. Importing an
    unchanged source again does nothing.

    Normal images are dealt to training and test, at random with the seed, unless the source says which are for
    the test. Every image with a defect needs a mask with at least one pixel: AUPIMO measures how much of the mask is
    found.

    Args:
        source: A folder in one of the layouts above, or a CSV file.
        name: Name of the new data set; by default made from the source's name.
        data_root: Folder of all data sets; the new one becomes ``data_root/own/NAME``.
        layout: ``auto`` to tell from the folder's names, or one of `LAYOUTS`.
        test_share: Share of the normal images that goes into the test set (at least one image), where the source
            does not say.
        seed: Seed of that draw.
        mask_threshold: Grey value from which a mask's pixel is defect, for masks with smooth edges; without it such
            masks are refused.
        line_width: Width in pixels for lines drawn in labelme; without it lines are refused.
        without_mask: What to do with an image in a defect folder that has no mask: ``error``, or ``skip`` it.
        unlabelled: In the labelme layout, what an image without JSON is: ``error``, or ``normal``.

    Returns:
        The folder ``data_root/own/NAME``.

    Raises:
        MissingError: If the source, or a file that a CSV lists, is not there.
        InputError: If nothing is recognised, files do not fit together, a file cannot be used, or the target exists
            with other content.
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
    options = Options(test_share, seed, mask_threshold, line_width, without_mask)
    options.validate()
    found, pictures = find_pictures(source, layout, unlabelled=unlabelled)
    everything = pictures
    pictures = with_masks(everything, without_mask)
    left_out = [picture for picture in everything if picture not in pictures]
    refuse_gaps(pictures, source)
    pictures = deal(pictures, test_share, seed)
    targets = target_names(pictures)
    name = _name(source, name)
    target = Path(data_root) / SOURCE / name
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        msg = f"{target} would lie inside the source {source}: choose another place with --data-root."
        raise InputError(msg)
    with explain_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.parent / f".{name}.lock")
        lock.acquire()
    try:
        record = make_record(source, found, options, pictures, targets, left_out)
        if target.exists():
            require_same(target, record)
        else:
            for debris in target.parent.glob(f".{name}.????????.tmp"):  # of a run that was killed
                shutil.rmtree(debris, ignore_errors=True)
            with atomic_folder(target) as temporary:
                write_data_set(temporary, pictures, targets, options, record)
    finally:
        lock.release()
    return target


def locate(path: str | Path, category: str | None = None, data_root: str | Path = "datasets") -> tuple[str, Path]:
    """Turn the folder that a user names into a data set that the course reads, importing it if need be.

    A folder in MVTec AD's layout to the letter (PNG only, masks that stay paired when names are sorted), such as one
    that was imported before, is used where it lies; any other is imported.

    Args:
        path: A folder of pictures in one of the layouts, a CSV file, or a folder that holds several of these.
        category: Which one, where ``path`` holds several; else the name for the data set.
        data_root: Where an import goes.

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
            msg = f"{path} holds several categories ({', '.join(names)}): choose one with --category."
            raise InputError(msg)
        if category is not None and category not in names:
            msg = f"There is no category {category} in {path}: it has {', '.join(names)}."
            raise MissingError(msg)
        source, name = inside[names.index(category) if category else 0], None
    if source.is_dir() and name is None and is_ready(source):
        source = source.resolve()
        return f"{source.parent.name}/{source.name}", source.parent.parent
    folder = import_folder(source, name, data_root)
    return f"{SOURCE}/{folder.name}", Path(data_root)


def _name(source: Path, name: str | None) -> str:
    if name is None:
        resolved = source.resolve()
        name = slug(resolved.stem if resolved.is_file() else resolved.name)
        if not name:
            msg = f"{source} gives no name for the data set: choose one with --name."
            raise InputError(msg)
    elif slug(name) != name.lower():
        msg = (
            f"{name!r} cannot be a data set's name: use letters, digits, '-', '_' and '.', "
            f"such as {slug(name) or 'parts'!r}."
        )
        raise InputError(msg)
    return name
