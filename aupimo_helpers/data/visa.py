"""VisA, fetched by anomalib or read from a local folder: its one-class split, in MVTec AD's layout, as PNG.

Zou, Jeong, Pemula, Zhang, Dabeer: SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and
Segmentation, ECCV 2022. Its licence is CC BY 4.0.
"""

import csv
from pathlib import Path

from aupimo_helpers.data.download import download
from aupimo_helpers.data.pictures import Picture
from aupimo_helpers.data.writing import Import, Options
from aupimo_helpers.errors import MissingError, ProblemError
from aupimo_helpers.files import build_once

HOME_PAGE = "https://github.com/amazon-science/spot-diff"
_SPLIT = Path("split_csv", "1cls.csv")


def fetch(category: str, folder: Path, *, from_folder: str | Path | None = None) -> None:
    """Put a category into a folder: from a local folder, or else from the archive, which is kept for the others."""
    by_hand = (
        f"By hand: get the archive by the link on {HOME_PAGE} , unpack it, and run aupimo data make visa/{category} "
        f"--from-folder UNPACKED."
    )

    def unpack(temporary: Path) -> None:
        from anomalib.data.datamodules.image.visa import DOWNLOAD_INFO

        download(DOWNLOAD_INFO, temporary, "VisA", by_hand)
        (temporary / DOWNLOAD_INFO.url.rpartition("/")[2]).unlink(missing_ok=True)

    source = Path(from_folder) if from_folder is not None else build_once(folder / ".archive", unpack)
    if not (source / _SPLIT).is_file() or not (source / category).is_dir():
        raise MissingError(
            f"{source} is not VisA with {category}: it has no {_SPLIT} or no folder {category}. {by_hand}"
        )
    build_once(folder / category, lambda temporary: _convert(source, category, temporary))


def _convert(source: Path, category: str, folder: Path) -> None:
    pictures = []
    with (source / _SPLIT).open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if row.get("object") == category:
                defect = "good" if row.get("label") == "normal" else "bad"
                image, mask = source / str(row.get("image")), source / row["mask"] if row.get("mask") else None
                pictures.append(Picture(image, defect, mask, row.get("split"), classes=True))
    if not pictures:
        raise ProblemError.of(source / _SPLIT, f"lists no image of {category}", "Unpack the archive again")
    Import(source, "visa", Options(test_share=0.5), pictures, problems=[]).write(folder)
