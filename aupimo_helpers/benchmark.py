"""The published benchmark: per-image AUPIMO scores of 13 models on the 27 data sets of MVTec AD and VisA.

They are the scores of the paper (Bertoldo et al., BMVC 2024, arXiv 2401.01984), one JSON file per model and data set,
fetched once from the reference repository at one commit, checked against the SHA-256 in ``benchmark_registry.txt``
and kept in a cache. A table of the means (model x data set), the per-image scores of two data sets, and what other
metrics say of all models and data sets, come with the package and need no network.

``models`` and ``datasets`` are names, all by default; an unknown one is an ``InputError``. ``source``, or for all
calls the environment variable ``AUPIMO_BENCHMARK_DIR``, is a folder or a web address that holds the same files
(``MODEL/COLLECTION/CATEGORY/aupimo/aupimos.json``); ``cache``, or ``AUPIMO_BENCHMARK_CACHE``, is the folder in which
fetched files are kept, by default the user's cache.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache as remember
from importlib import resources
from pathlib import Path

import pandas as pd
import requests.exceptions
from tqdm import tqdm

from aupimo_helpers.errors import DownloadError, InputError, did_you_mean
from aupimo_helpers.files import explain_write_errors, is_plain, watched
from aupimo_helpers.scores import load_scores

with warnings.catch_warnings():
    # pooch looks for a notebook's progress bar, which is not used here, and warns where its package is not installed.
    warnings.filterwarnings("ignore", "IProgress not found")
    import pooch

Names = str | Iterable[str] | None

_COMMIT = "188ec86b5b7d6badad9aa1ae2bc25f94e98a92ca"
_SOURCE = f"https://raw.githubusercontent.com/jpcbertoldo/aupimo/{_COMMIT}/data/experiments/benchmark/"
_TIMEOUT = 10  # seconds without an answer
_REMEDY = (
    "Connect to the network and try again (what was fetched is kept), or set AUPIMO_BENCHMARK_DIR to a folder that "
    "holds the files, such as data/experiments/benchmark of a clone of github.com/jpcbertoldo/aupimo."
)


@remember
def _registry() -> dict[str, str]:
    """Read the SHA-256 by file name that comes with the package."""
    text = resources.files("aupimo_helpers").joinpath("benchmark_registry.txt").read_text(encoding="utf-8")
    return dict(line.split() for line in text.splitlines() if line and not line.startswith("#"))


def model_names() -> list[str]:
    """List the 13 published models, sorted; ``wr50`` and the like name the backbone (Wide ResNet-50)."""
    return sorted({name.split("/")[0] for name in _registry()})


def dataset_names() -> list[str]:
    """List the 27 published data sets ``COLLECTION/CATEGORY``, sorted: 15 of MVTec AD, 12 of VisA."""
    return sorted({"/".join(name.split("/")[1:3]) for name in _registry()})


def _chosen(wanted: Names, known: list[str], kind: str) -> list[str]:
    """Give all known names, or those wanted; an unknown one is refused with the nearest known."""
    wanted = [wanted] if isinstance(wanted, str) else known if wanted is None else list(wanted)
    for name in wanted:
        if name not in known:
            raise InputError(f"There is no {kind} {name!r} in the published benchmark.{did_you_mean(name, known, 0)}")
    return wanted


def fetch(
    models: Names = None, datasets: Names = None, *, source: str | Path | None = None, cache: str | Path | None = None
) -> dict[tuple[str, str], Path]:
    """Fetch the published score files that are not in the cache yet, several at once, with a progress bar.

    A file in the cache with the right SHA-256 is used as it is, without any connection; a fetched one takes its place
    there when it has arrived whole. Returns the files in the cache by (model, data set), in the order asked for.

    Raises:
        DownloadError: If a file cannot be fetched, or holds other bytes than published; the cache stays as it is.
        WriteError: If the cache cannot be written.

    Example:
        >>> fetch("padim_r81")
        Traceback (most recent call last):
        aupimo_helpers.errors.InputError: There is no model 'padim_r81' in the published benchmark. Did you mean ...?
    """
    names = {
        (model, dataset): f"{model}/{dataset}/aupimo/aupimos.json"
        for model in _chosen(models, model_names(), "model")
        for dataset in _chosen(datasets, dataset_names(), "data set")
    }
    source = str(source or os.environ.get("AUPIMO_BENCHMARK_DIR") or _SOURCE)
    env = None if cache else "AUPIMO_BENCHMARK_CACHE"
    files = pooch.create(cache or pooch.os_cache("aupimo-benchmark"), source, env=env, registry=_registry())
    folder = Path(files.path)
    missing = [name for name in names.values() if not _is_good(folder / name, _registry()[name])]
    if missing:
        _fetch_files(missing, files, source, folder)
    return {key: folder / name for key, name in names.items()}


def _is_good(path: Path, digest: str) -> bool:
    return path.is_file() and pooch.file_hash(str(path)) == digest


def _fetch_files(names: list[str], files: pooch.Pooch, source: str, folder: Path) -> None:
    """Fetch files into the cache, several at once; the first failure ends it."""
    is_web = source.startswith(("http://", "https://"))
    if not is_web and not Path(source).is_dir():
        raise DownloadError(
            f"Cannot fetch the published scores: {source} is neither a folder nor a web address. {_REMEDY}"
        )
    with explain_write_errors(folder):
        for name in names:
            # pooch makes missing folders too, but two processes that do so at once make it fail.
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # pooch's own refusal does not say what to do

    def download(url: str, file: str, _: pooch.Pooch) -> None:
        if is_web:
            watched(lambda: pooch.HTTPDownloader(timeout=_TIMEOUT)(url, file, files), Path(file))
        elif is_plain(Path(url)):
            shutil.copyfile(url, file)
        else:
            raise FileNotFoundError

    pooch.get_logger().setLevel("WARNING")  # one line for each of 351 files otherwise

    def fetch_one(name: str) -> None:
        with explain_write_errors(folder):
            try:
                files.fetch(name, downloader=download)
            except (requests.exceptions.RequestException, TimeoutError, FileNotFoundError, ValueError) as error:
                why = _reason(error, name)
                raise DownloadError(f"Cannot fetch the published scores from {source}: {why}. {_REMEDY}") from error

    with ThreadPoolExecutor(8) as executor:
        fetched = executor.map(fetch_one, names)  # an error cancels those that are still waiting
        list(tqdm(fetched, "published scores", total=len(names), unit="file", disable=None))


def _reason(error: Exception, name: str) -> str:
    """Say in words what pooch and requests raised."""
    if isinstance(error, requests.exceptions.HTTPError):
        return f"the server answered {getattr(error.response, 'status_code', 'an error')} for {name}"
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {_TIMEOUT} s"
    if isinstance(error, requests.exceptions.RequestException | TimeoutError):
        return "no connection" if isinstance(error, requests.exceptions.RequestException) else str(error)
    if isinstance(error, FileNotFoundError):
        return f"there is no {name}"
    return f"{name} holds other bytes than were published (its SHA-256 differs), it was not kept"


def why_out_of_reach(
    models: Names = None, datasets: Names = None, *, source: str | Path | None = None, cache: str | Path | None = None
) -> str | None:
    """Fetch what is missing, and where that fails return the sentence of the ``DownloadError`` instead of raising it.

    For a lesson that shows it and goes on with `packaged_table` and `packaged_scores`; everywhere else call `fetch`.

    Example:
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     why_out_of_reach("padim_r18", "mvtec/leather", source=empty, cache=Path(empty, "cache"))
        'Cannot fetch the published scores from ...: there is no padim_r18/mvtec/leather/aupimo/aupimos.json. ...'
    """
    try:
        fetch(models, datasets, source=source, cache=cache)
    except DownloadError as error:
        return str(error)
    return None


def load(
    models: Names = None, datasets: Names = None, *, source: str | Path | None = None, cache: str | Path | None = None
) -> pd.DataFrame:
    """Read published per-image scores, one row per model, data set and test image, fetching them as `fetch` does.

    The columns are ``model``, ``dataset``, ``image_path`` (begins with the data set's name, as in the course's own
    tables), ``defect`` and ``aupimo`` (NaN for normal images); ``attrs["fpr_bounds"]`` are the bounds of all of them.

    Example:
        >>> load("padim_r18", "mvtec/leather")["aupimo"].mean().round(4)  # doctest: +SKIP
        0.9343
    """
    tables = []
    for (model, dataset), path in fetch(models, datasets, source=source, cache=cache).items():
        table = load_scores(path)
        within = table["image_path"].str.split(f"/{dataset.split('/')[1]}/", n=1).str[-1]
        tables.append(table.assign(model=model, dataset=dataset, image_path=f"{dataset}/" + within))
    columns = ["model", "dataset", "image_path", "defect", "aupimo"]
    scores = pd.concat(tables, ignore_index=True)[columns]
    scores.attrs = {"fpr_bounds": tables[0].attrs["fpr_bounds"]}
    return scores


def table(scores: pd.DataFrame) -> pd.DataFrame:
    """Average the anomalous images' scores, as from `load`: one row per data set, one column per model.

    Example:
        >>> scores = pd.DataFrame({"model": "m", "dataset": "a/b", "aupimo": [0.5, 1.0, float("nan")]})
        >>> table(scores).loc["a/b", "m"]
        np.float64(0.75)
    """
    return scores.pivot_table(index="dataset", columns="model", values="aupimo", aggfunc="mean")


def packaged_table() -> pd.DataFrame:
    """Read the published means that come with the package: `table` of all files, to six decimal places.

    Example:
        >>> packaged_table().shape
        (27, 13)
    """
    with resources.files("aupimo_helpers").joinpath("benchmark_means.txt").open(encoding="utf-8") as file:
        return pd.read_csv(file, comment="#", index_col="dataset").rename_axis(columns="model")


def packaged_metrics() -> pd.DataFrame:
    """Read the published pixel AUROC, AUPRO and AUPR (average precision), and the means, that come with the package.

    One row per data set and model, columns ``dataset``, ``model``, ``auroc``, ``aupro``, ``aupr`` and ``aupimo``, the
    mean AUPIMO of `packaged_table`; all in [0, 1].

    Example:
        >>> packaged_metrics()[["auroc", "aupro", "aupr", "aupimo"]].median().round(3).tolist()
        [0.984, 0.915, 0.474, 0.486]
    """
    with resources.files("aupimo_helpers").joinpath("benchmark_other_metrics.txt").open(encoding="utf-8") as file:
        other = pd.read_csv(file, comment="#")
    means = packaged_table().reset_index().melt("dataset", value_name="aupimo")
    return other.merge(means, on=["dataset", "model"], validate="one_to_one")


def packaged_scores() -> pd.DataFrame:
    """Read the published per-image scores that come with the package, as `load` gives them, to six decimal places.

    They are those of all models on ``mvtec/cable`` and ``mvtec/leather``.

    Example:
        >>> packaged_scores().groupby("dataset")["image_path"].nunique().to_dict()
        {'mvtec/cable': 150, 'mvtec/leather': 124}
    """
    with resources.files("aupimo_helpers").joinpath("benchmark_images.txt").open(encoding="utf-8") as file:
        wide = pd.read_csv(file, comment="#")
    scores = wide.melt(["dataset", "image_path", "defect"], var_name="model", value_name="aupimo")
    scores = scores[["model", "dataset", "image_path", "defect", "aupimo"]]
    scores.attrs = {"fpr_bounds": (1e-5, 1e-4)}
    return scores
