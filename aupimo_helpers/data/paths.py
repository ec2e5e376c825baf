"""What the paths of a data set's images say: which file it is, and which kind of defect it shows."""

import os
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path, PurePosixPath

from aupimo_helpers.errors import InputError

NORMAL = "good"

LAYOUTS = (
    "mvtec (train/good, test/good, test/<defect>, ground_truth/<defect>); folders (normal, abnormal or "
    "abnormal/<defect>, masks, and, if you like, normal_test); csv (a file with the columns image, label or defect, "
    "and, if you like, split and mask); labelme (images with JSON polygons beside them); coco (a JSON file of "
    "polygons or run lengths); yolo (images, labels with polygons, data.yaml); voc (JPEGImages, SegmentationClass); "
    "visa (Images/Normal, Images/Anomaly, Masks/Anomaly); beside (a folder for each kind of defect, with a.jpg and "
    "its mask a.png or a_mask.png)"
)


def defect_types(image_paths: Iterable[str], is_anomalous: Iterable[bool]) -> list[str]:
    """Name each image's defect type: its folder (``anomalous`` where there is none), or ``good`` if it is normal."""
    return [
        (PurePosixPath(path).parent.name or "anomalous") if anomalous else NORMAL
        for path, anomalous in zip(image_paths, is_anomalous, strict=True)
    ]


def relative_path(path: str | Path, data_root: str | Path) -> str:
    """Give an image's path relative to the data root, with forward slashes."""
    root, file = (Path(os.path.abspath(each)) for each in (data_root, path))  # noqa: PTH100  it leaves links as they are
    if file.is_relative_to(root):
        return file.relative_to(root).as_posix()
    # The root, a source's folder or a category's may be a link to another disk, and anomalib resolves links.
    file = Path(os.path.realpath(path))
    for place in chain([root], root.glob("*"), root.glob("*/*")):
        if (place == root or place.is_symlink()) and file.is_relative_to(place.resolve()):
            return (place.relative_to(root) / file.relative_to(place.resolve())).as_posix()
    if not Path(path).is_absolute():
        return PurePosixPath(path).as_posix()
    raise InputError(
        f"The image {path} is not below the data root {data_root}: give the folder that the images lie in."
    )


def require_readable_by_anomalib(folder: Path) -> None:
    """Refuse a category's folder whose path anomalib would refuse, deep in a run."""
    if not re.fullmatch(r"[ -~]{1,512}", str(folder)):
        raise InputError(
            f"anomalib reads data only from paths of at most 512 characters of ASCII, not from {folder}: move the "
            f"data set, or rename the folder that has other letters."
        )
