"""MVTec AD, fetched by anomalib or copied from a local folder, whole or not at all.

Bergmann, Fauser, Sattlegger, Steger: MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly
Detection, CVPR 2019. Its licence (CC BY-NC-SA 4.0) is non-commercial.
"""

import shutil
from pathlib import Path

from tqdm import tqdm

from aupimo_helpers.data.download import download
from aupimo_helpers.errors import DownloadError, MissingError, Problem, ProblemError
from aupimo_helpers.files import build_once, explain_write_errors, folder_beside, is_plain, locked, walk

HOME_PAGE = "https://www.mvtec.com/company/research/datasets/mvtec-ad"


def fetch(category: str, folder: Path, *, from_folder: str | Path | None = None) -> None:
    """Put a category into a folder: from a local folder, or else from the archive, with all its other categories."""
    if from_folder is not None:
        source = _category_in(Path(from_folder), category)
        build_once(folder / category, lambda temporary: _copy(source, temporary))
        return
    with locked(folder / "mvtec"):  # of all categories: the archive holds them all
        if not (folder / category).is_dir():  # else another process fetched it while this one waited
            _download(category, folder)


def _category_in(source: Path, category: str) -> Path:
    for candidate in (source, source / category):
        parts = candidate / "train" / "good", candidate / "test"
        if all(part.is_dir() for part in parts) and candidate.resolve().name == category:
            return candidate
    raise MissingError(
        f"{source} is not MVTec AD's {category}: neither it nor {source / category} is a folder {category} that "
        f"holds train/good and test. Give the folder into which you unpacked {HOME_PAGE}"
    )


def _copy(source: Path, folder: Path) -> None:
    # File by file: shutil.copytree would collect its errors and lose why the first one happened.
    files = [path for path in walk(source) if not path.is_dir()]
    if odd := [path for path in files if not is_plain(path)]:
        remedy = "Remove it from there, and run again"
        raise ProblemError([Problem(path, "is no plain file of at most 4 GiB", remedy) for path in odd])
    for path in tqdm(files, desc=f"copying {source.name}", unit="file", disable=None):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _download(category: str, folder: Path) -> None:
    """Download the archive into a temporary folder beside the categories and move them out of it."""
    from anomalib.data.datamodules.image.mvtecad import DOWNLOAD_INFO

    by_hand = (
        f"By hand: get the archive from {HOME_PAGE} , unpack it, and run "
        f"aupimo data make mvtec/{category} --from-folder UNPACKED "
        f"(or move its folder {category} to {folder / category})."
    )
    with explain_write_errors(folder), folder_beside(folder / "mvtec") as temporary:
        download(DOWNLOAD_INFO, temporary, "MVTec AD", by_hand)
        found = {path.name: path for path in temporary.iterdir() if (path / "train" / "good").is_dir()}
        if category not in found:
            raise DownloadError(f"The archive {DOWNLOAD_INFO.url} holds no category {category}. {by_hand}")
        for name, path in sorted(found.items()):
            if not (folder / name).exists():
                path.rename(folder / name)
