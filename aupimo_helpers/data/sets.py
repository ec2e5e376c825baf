"""The course's data sets: one name, ``SOURCE/CATEGORY``, one folder layout, three sources.

============================  ==========================================================================
``synthetic/leather``         leather made from random numbers, offline, with known severity and size
``photos/brick`` and others   photographs inside scikit-image, cropped and damaged, offline
``mvtec/leather`` and others  MVTec AD, downloaded by anomalib or copied from a local folder
``own/NAME``                  any folder in MVTec AD's layout, put there by you
============================  ==========================================================================

All lie in ``DATA_ROOT/SOURCE/CATEGORY`` in MVTec AD's layout, so that ``anomalib.data.MVTecAD`` reads each of them::

    train/good/000.png  test/good/000.png  test/cut/000.png  ground_truth/cut/000_mask.png

The embedded sets (synthetic, photos) also have ``defects.csv`` (severity and size of every defect) and
``dataset.json`` (which recipe and seed made them).
"""

import difflib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import FileLock

from aupimo_helpers.errors import InputError, MissingError, WriteError
from aupimo_helpers.files import atomic_folder, explain_write_errors

if TYPE_CHECKING:
    from anomalib.data import MVTecAD


EMBEDDED = ("photos/brick", "photos/grass", "photos/gravel", "synthetic/leather")

# anomalib.data.datasets.image.mvtecad.CATEGORIES; repeated so that naming a data set does not import anomalib.
MVTEC_CATEGORIES = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
)


def available() -> list[str]:
    """Name every data set that :func:`make` can make or fetch.

    Returns:
        Names ``SOURCE/CATEGORY``, embedded ones first.

    Example:
        >>> available()[:4]
        ['photos/brick', 'photos/grass', 'photos/gravel', 'synthetic/leather']
    """
    return [*EMBEDDED, *(f"mvtec/{category}" for category in MVTEC_CATEGORIES)]


def make(
    dataset: str,
    data_root: str | Path = "datasets",
    *,
    seed: int | None = None,
    from_folder: str | Path | None = None,
) -> Path:
    """Make, fetch or find a data set.

    What is there is left untouched: an embedded set of the same recipe, or any folder of your own. The folder appears
    whole or not at all, also when the run is interrupted, and two processes that ask for it at once make it once.

    Args:
        dataset: ``SOURCE/CATEGORY``, see :func:`available`; or a folder of your own below ``data_root``.
        data_root: Where data sets lie.
        seed: Seed of an embedded set. ``None``: whichever set is there, or seed 0 if it has to be made.
        from_folder: For ``mvtec/...`` only: copy the category from this folder (the category's own, or one that
            holds it, such as an unpacked MVTec AD) and download nothing.

    Returns:
        The category's folder, ``data_root/SOURCE/CATEGORY``.

    Raises:
        InputError: If ``dataset`` is not of the form ``SOURCE/CATEGORY``, the folder that is there has no
            ``train/good``, or the embedded set that is there was made with another seed or by an older recipe.
        MissingError: If there is no such data set.
        WriteError: If the folder cannot be written.
        DownloadError: If MVTec AD could not be downloaded; the message says what to do by hand.

    Example:
        >>> import tempfile
        >>> root = tempfile.mkdtemp()
        >>> path = make("photos/gravel", root)
        >>> path.relative_to(root).as_posix(), sorted(p.name for p in (path / "test").iterdir())
        ('photos/gravel', ['color', 'cut', 'fold', 'glue', 'good', 'poke'])
        >>> shutil.rmtree(root)
    """
    source, category = _split(dataset)
    path = Path(data_root) / source / category
    if seed is not None and dataset not in EMBEDDED:
        msg = f"The data set {dataset} is not made from random numbers: leave out the seed {seed}."
        raise InputError(msg)
    if from_folder is not None and source != "mvtec":
        msg = f"Only MVTec AD's categories are copied from a folder; {dataset} is not one of them."
        raise InputError(msg)
    if path.is_dir():
        _accept(dataset, path, seed)
        return path
    if dataset not in available():
        raise MissingError(_not_there(dataset, Path(data_root)))
    for part in (path, path.parent, Path(data_root)):
        if part.exists():  # a folder would have been accepted above, or is a parent to put it into
            if not part.is_dir():
                msg = (
                    f"Cannot write {path}: {part} is a file, not a folder. Move it away or choose another data root."
                )
                raise WriteError(msg)
            break
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, never in it: the folder appears by one rename.
        with FileLock(path.parent / f".{'mvtec' if source == 'mvtec' else category}.lock"):
            if path.is_dir():  # another process made it while this one waited
                _accept(dataset, path, seed)
                return path
            for debris in path.parent.glob(f".{category}.*.tmp"):  # of a run that was killed
                shutil.rmtree(debris, ignore_errors=True)
            if source == "mvtec":
                from aupimo_helpers.data.mvtec import fetch

                fetch(category, path.parent, from_folder=from_folder)
            else:
                from aupimo_helpers.synthesis.dataset import write

                with atomic_folder(path) as temporary:
                    write(dataset, temporary, seed=seed or 0)
    return path


def folder(dataset: str, data_root: str | Path = "datasets") -> Path:
    """Say where a data set lies, without making it.

    Args:
        dataset: ``SOURCE/CATEGORY``.
        data_root: Where data sets lie.

    Returns:
        The category's folder.

    Raises:
        InputError: If ``dataset`` is not of the form ``SOURCE/CATEGORY``.
        MissingError: If it is not there; the message says how to make it, or names the nearest data set that exists.

    Example:
        >>> folder("synthetic/lether", "nowhere")
        Traceback (most recent call last):
        aupimo_helpers.errors.MissingError: There is no data set synthetic/lether. Did you mean synthetic/leather? ...
    """
    source, category = _split(dataset)
    path = Path(data_root) / source / category
    if path.is_dir():
        return path
    if dataset in available():
        msg = f"There is no folder {path}. Make it with: aupimo data make {dataset} --data-root {data_root}"
        raise MissingError(msg)
    raise MissingError(_not_there(dataset, Path(data_root)))


def datamodule(
    dataset: str,
    data_root: str | Path = "datasets",
    *,
    image_size: tuple[int, int] = (256, 256),
    batch_size: int = 4,
    num_workers: int = 0,
) -> "MVTecAD":
    """Make anomalib's datamodule for a data set, and the data set itself when it is missing.

    Images and masks are resized as they are read, so that images of different sizes fit into one batch.

    Args:
        dataset: ``SOURCE/CATEGORY``.
        data_root: Where data sets lie.
        image_size: Height and width in pixels that images and masks are resized to.
        batch_size: Images per batch, in training and testing. On a CPU few are several times as fast as many, because
            their activations fit into memory that is used again.
        num_workers: Processes that read images; 0 reads them in this one, quickest for small sets.

    Returns:
        The datamodule, not yet set up. Its validation set is the test set, as anomalib's post-processor expects.

    Raises:
        AupimoError: As :func:`make`.
    """
    path = make(dataset, data_root)
    from anomalib.data import MVTecAD
    from torchvision.transforms.v2 import Resize

    return MVTecAD(
        root=path.parent,
        category=path.name,
        train_batch_size=batch_size,
        eval_batch_size=batch_size,
        num_workers=num_workers,
        augmentations=Resize(image_size, antialias=True),
    )


def defects(dataset: str, data_root: str | Path = "datasets") -> pd.DataFrame | None:
    """Read what is known of each defect.

    Args:
        dataset: ``SOURCE/CATEGORY``.
        data_root: Where data sets lie.

    Returns:
        One row per anomalous test image: ``image_path`` (relative to the category's folder, ``test/cut/000.png``),
        ``defect``, ``severity`` (contrast, 0.1 to 1), ``mask_area`` (pixels). ``None`` if the set has no such table,
        as MVTec AD and your own folders.

    Raises:
        MissingError: If the data set is not there.
        InputError: If the table cannot be read or lacks a column.
    """
    table_path = folder(dataset, data_root) / "defects.csv"
    if not table_path.exists():
        return None
    try:
        table = pd.read_csv(table_path)
    except (ValueError, UnicodeDecodeError) as error:
        msg = f"{table_path} is not a table: {str(error).splitlines()[0]}. Remove the data set and make it again."
        raise InputError(msg) from error
    missing = {"image_path", "defect", "severity", "mask_area"} - set(table.columns)
    if missing:
        msg = f"{table_path} has no column {', '.join(sorted(missing))}. Remove the data set and make it again."
        raise InputError(msg)
    return table


def _split(dataset: str) -> tuple[str, str]:
    """Split ``SOURCE/CATEGORY``."""
    parts = dataset.split("/")
    if len(parts) != 2 or not all(re.fullmatch(r"[^\s./\\][^/\\]*", part) for part in parts):
        msg = f"A data set is named SOURCE/CATEGORY, such as synthetic/leather, not {dataset!r}."
        if near := difflib.get_close_matches(dataset, available(), n=1, cutoff=0.5):
            msg += f" Did you mean {near[0]}?"
        raise InputError(msg)
    return parts[0], parts[1]


def _not_there(dataset: str, data_root: Path) -> str:
    """One sentence or two about a data set that neither exists nor can be made."""
    there = sorted(
        f"{path.parent.name}/{path.name}"
        for path in data_root.glob("[!.]*/[!.]*")
        if path.is_dir() and (path / "train").is_dir()
    )
    known = sorted({*available(), *there})
    message = f"There is no data set {dataset}."
    if near := difflib.get_close_matches(dataset, known, n=1, cutoff=0.5):
        message += f" Did you mean {near[0]}?"
    message += f" Embedded: {', '.join(EMBEDDED)}; MVTec AD: mvtec/CATEGORY"
    if own := sorted(set(there) - set(available())):
        message += f"; in {data_root}: {', '.join(own)}"
    return f"{message}; a folder of your own belongs at {data_root / dataset}."


def _accept(dataset: str, path: Path, seed: int | None) -> None:
    """Refuse an embedded set that is not the one asked for; any folder without ``dataset.json`` is the user's own."""
    if not (path / "train" / "good").is_dir():
        msg = f"{path} is not a data set: it has no folder train/good. For details: aupimo data check {path}"
        raise InputError(msg)
    record_path = path / "dataset.json"
    if dataset not in EMBEDDED or not record_path.exists():
        return
    from aupimo_helpers.synthesis.dataset import RECIPE

    remedy = f"Remove the folder to have it made again, or give another data root, then: aupimo data make {dataset}"
    try:
        record: dict[str, Any] = json.loads(record_path.read_text(encoding="utf-8"))
        recipe, made_with = int(record["recipe"]), int(record["seed"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{record_path} is damaged. {remedy}"
        raise InputError(msg) from error
    if recipe != RECIPE:
        msg = f"{path} was made by recipe {recipe}, this version has recipe {RECIPE}. {remedy}"
        raise InputError(msg)
    if seed is not None and seed != made_with:
        msg = f"{path} was made with seed {made_with}, not {seed}. {remedy} --seed {seed}"
        raise InputError(msg)
