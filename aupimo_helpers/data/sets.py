"""The course's data sets: one name, ``SOURCE/CATEGORY``, one folder layout, four sources.

============================  ==========================================================================
``synthetic/leather``         leather made from random numbers, offline, with known severity and size
``photos/brick`` and others   photographs inside scikit-image, cropped and damaged, offline
``mvtec/leather`` and others  MVTec AD, downloaded by anomalib or copied from a local folder
``visa/candle`` and others    VisA, downloaded by anomalib or read from a local folder, as PNG
``own/NAME``                  any folder in MVTec AD's layout, put there by you
============================  ==========================================================================

All lie in ``DATA_ROOT/SOURCE/CATEGORY`` in MVTec AD's layout, so that ``anomalib.data.MVTecAD`` reads each of them::

    train/good/000.png  test/good/000.png  test/cut/000.png  ground_truth/cut/000_mask.png

The embedded sets (synthetic, photos) also have ``defects.csv`` (severity and size of every defect) and
``dataset.json`` (which recipe and seed made them).
"""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aupimo_helpers.data.paths import require_readable_by_anomalib
from aupimo_helpers.data.writing import RECORD, read_record
from aupimo_helpers.errors import InputError, MissingError, did_you_mean
from aupimo_helpers.files import build_once, png_sizes, reading, require_whole

if TYPE_CHECKING:
    import pandas as pd
    from anomalib.data import MVTecAD

EMBEDDED = ("photos/brick", "photos/grass", "photos/gravel", "synthetic/leather")

# anomalib.data.datasets.image.mvtecad.CATEGORIES; repeated so that naming a data set does not import anomalib.
MVTEC_CATEGORIES = (
    *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"),
    *("pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"),
)
# The same of visa.CATEGORIES.
VISA_CATEGORIES = (
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2"),
    *("pcb1", "pcb2", "pcb3", "pcb4", "pipe_fryum"),
)


def available() -> list[str]:
    """Name every data set that :func:`make` can make or fetch.

    Returns:
        Names ``SOURCE/CATEGORY``, embedded ones first.

    Example:
        >>> available()[:4]
        ['photos/brick', 'photos/grass', 'photos/gravel', 'synthetic/leather']
    """
    public = {"mvtec": MVTEC_CATEGORIES, "visa": VISA_CATEGORIES}
    return [*EMBEDDED, *(f"{source}/{category}" for source in public for category in public[source])]


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
        from_folder: For ``mvtec/...`` and ``visa/...`` only: take the category from this folder (an unpacked MVTec
            AD or VisA, or MVTec AD's category itself) and download nothing.

    Returns:
        The category's folder, ``data_root/SOURCE/CATEGORY``.

    Raises:
        InputError: If ``dataset`` is not of the form ``SOURCE/CATEGORY``, the folder that is there has no
            ``train/good``, or the embedded set that is there was made with another seed or by an older recipe.
        MissingError: If there is no such data set.
        WriteError: If the folder cannot be written.
        DownloadError: If MVTec AD or VisA could not be downloaded; the message says what to do by hand.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     sorted(path.name for path in (make("photos/gravel", root) / "test").iterdir())
        ['color', 'cut', 'fold', 'glue', 'good', 'poke']
    """
    source, category = _split(dataset)
    path = Path(data_root) / source / category
    if seed is not None and dataset not in EMBEDDED:
        raise InputError(f"The data set {dataset} is not made from random numbers: leave out the seed {seed}.")
    if from_folder is not None and source not in ("mvtec", "visa"):
        raise InputError(f"Only MVTec AD's and VisA's categories come from a folder; {dataset} is not one of them.")
    if dataset not in available() and not path.is_dir():
        raise MissingError(_not_there(dataset, Path(data_root)))

    def build(folder: Path) -> None:
        from aupimo_helpers.synthesis.dataset import write

        write(dataset, folder, seed=seed or 0)

    if source in ("mvtec", "visa") and not path.is_dir():
        fetch = import_module(f"aupimo_helpers.data.{source}").fetch
        fetch(category, path.parent, from_folder=from_folder)
    return build_once(path, build, accept=lambda folder: _accept(dataset, folder, seed))


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
        raise MissingError(
            f"There is no folder {path}. Make it with: aupimo data make {dataset} --data-root {data_root}"
        )
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
    require_readable_by_anomalib(Path(data_root, dataset))
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


def defects(dataset: str, data_root: str | Path = "datasets") -> "pd.DataFrame | None":
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
    import pandas as pd

    with reading(table_path, "table", "Remove the data set and make it again"):
        table = pd.read_csv(table_path)
    missing = {"image_path", "defect", "severity", "mask_area"} - set(table.columns)
    if missing:
        columns = ", ".join(sorted(missing))
        raise InputError(f"{table_path} has no column {columns}. Remove the data set and make it again.")
    return table


def _split(dataset: str) -> tuple[str, str]:
    """Split ``SOURCE/CATEGORY``."""
    parts = dataset.split("/")
    if len(parts) != 2 or not all(re.fullmatch(r"[^\s./\\][^/\\]*", part) for part in parts):
        raise InputError(
            f"A data set is named SOURCE/CATEGORY, such as synthetic/leather, not {dataset!r}."
            + did_you_mean(dataset, available())
        )
    return parts[0], parts[1]


def _not_there(dataset: str, data_root: Path) -> str:
    """One sentence or two about a data set that neither exists nor can be made."""
    there = sorted(
        f"{path.parent.name}/{path.name}"
        for path in data_root.glob("[!.]*/[!.]*")
        if path.is_dir() and (path / "train").is_dir()
    )
    message = f"There is no data set {dataset}.{did_you_mean(dataset, sorted({*available(), *there}))}"
    message += f" Embedded: {', '.join(EMBEDDED)}; MVTec AD: mvtec/CATEGORY; VisA: visa/CATEGORY"
    if own := sorted(set(there) - set(available())):
        message += f"; in {data_root}: {', '.join(own)}"
    return f"{message}; a folder of your own belongs at {data_root / dataset}."


def _accept(dataset: str, path: Path, seed: int | None) -> None:
    """Refuse an embedded set that is not the one asked for; any folder without ``dataset.json`` is the user's own."""
    if not (path / "train" / "good").is_dir():
        raise InputError(
            f"{path} is not a data set: it has no folder train/good. For details: aupimo data check {path}"
        )
    if (path / RECORD).is_file():
        remedy = f"Import it again after deleting {path}, or keep it as it is by deleting {path / RECORD} only"
        require_whole(path, read_record(path)["files"], remedy)
    record_path = path / "dataset.json"
    if dataset not in EMBEDDED or not record_path.exists():
        return
    from aupimo_helpers.synthesis.dataset import RECIPE

    remedy = f"Remove the folder to have it made again, or give another data root, then: aupimo data make {dataset}"
    with reading(record_path, "record of a data set", remedy.removesuffix(".")):
        record: dict[str, Any] = json.loads(record_path.read_text(encoding="utf-8"))
        recipe, made_with = int(record["recipe"]), int(record["seed"])
        files = dict(record.get("files") or png_sizes(path))
    if recipe != RECIPE:
        raise InputError(f"{path} was made by recipe {recipe}, this version has recipe {RECIPE}. {remedy}")
    if seed is not None and seed != made_with:
        raise InputError(f"{path} was made with seed {made_with}, not {seed}. {remedy} --seed {seed}")
    require_whole(path, files, remedy)
