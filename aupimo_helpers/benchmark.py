"""The published benchmark: per-image AUPIMO scores of 13 models on the 27 data sets of MVTec AD and VisA.

They are the scores of the paper (Bertoldo et al., BMVC 2024, arXiv 2401.01984), one JSON file per model and data set,
fetched with pooch from the reference repository at one commit, checked against the SHA-256 in
``benchmark_registry.txt`` and kept in a cache, so that they are fetched once.

Where they come from and where they are kept can be changed, by argument or for all calls by environment variable:

- ``source`` or ``AUPIMO_BENCHMARK_DIR``: a folder or a web address that holds the same files
  (``MODEL/COLLECTION/CATEGORY/aupimo/aupimos.json``), such as ``data/experiments/benchmark`` of a clone of the
  reference repository.
- ``cache`` or ``AUPIMO_BENCHMARK_CACHE``: the folder in which fetched files are kept; by default the user's cache.

A table of the means (model x data set) comes with the package, see `packaged_table`, and needs no network.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache as remember
from importlib import resources
from pathlib import Path

import pandas as pd
import requests.exceptions
from tqdm import tqdm

from aupimo_helpers.errors import DownloadError, InputError
from aupimo_helpers.files import explain_write_errors
from aupimo_helpers.scores import load_scores

with warnings.catch_warnings():
    # pooch looks for a notebook's progress bar, which is not used here, and warns where its package is not installed.
    warnings.filterwarnings("ignore", "IProgress not found")
    import pooch

COMMIT = "188ec86b5b7d6badad9aa1ae2bc25f94e98a92ca"
SOURCE = f"https://raw.githubusercontent.com/jpcbertoldo/aupimo/{COMMIT}/data/experiments/benchmark/"

_FILE = "aupimo/aupimos.json"
_TIMEOUT = 10  # seconds without an answer
_CONNECTIONS = 8
_REMEDY = (
    "Connect to the network and try again (what was fetched is kept), or set AUPIMO_BENCHMARK_DIR to a folder that "
    "holds the files, such as data/experiments/benchmark of a clone of github.com/jpcbertoldo/aupimo."
)


@remember
def _registry() -> dict[str, str]:
    """Read the SHA-256 by file name that comes with the package."""
    files = pooch.create(path="", base_url="")
    with resources.files("aupimo_helpers").joinpath("benchmark_registry.txt").open("rb") as file:
        files.load_registry(file)
    return files.registry


def model_names() -> list[str]:
    """List the published models.

    Returns:
        13 names, sorted. The part after the first underscore names the backbone or the variant (``wr50``: Wide
        ResNet-50).

    Example:
        >>> model_names()[:3]
        ['efficientad_wr101_m_ext', 'efficientad_wr101_s_ext', 'fastflow_cait_m48_448']
    """
    return sorted({name.split("/")[0] for name in _registry()})


def dataset_names() -> list[str]:
    """List the published data sets.

    Returns:
        27 names ``COLLECTION/CATEGORY``, sorted: 15 of MVTec AD, 12 of VisA.

    Example:
        >>> dataset_names()[0], dataset_names()[-1], len(dataset_names())
        ('mvtec/bottle', 'visa/pipe_fryum', 27)
    """
    return sorted({"/".join(name.split("/")[1:3]) for name in _registry()})


def _chosen(wanted: str | Iterable[str] | None, known: list[str], kind: str) -> list[str]:
    """Give all known names, or those wanted; an unknown one is refused with the nearest known."""
    if wanted is None:
        return known
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in wanted:
        if name not in known:
            nearest = get_close_matches(name, known, n=1, cutoff=0)[0]
            msg = f"There is no {kind} {name!r} in the published benchmark; did you mean {nearest!r}?"
            raise InputError(msg)
    return wanted


def fetch(
    models: str | Iterable[str] | None = None,
    datasets: str | Iterable[str] | None = None,
    *,
    source: str | Path | None = None,
    cache: str | Path | None = None,
) -> dict[tuple[str, str], Path]:
    """Fetch the published score files that are not in the cache yet, several at once, with a progress bar.

    A file that is in the cache with the right SHA-256 is used as it is, without any connection. A fetched file takes
    its place in the cache when it has arrived whole and with the right SHA-256, not before.

    Args:
        models: Names of models, all by default.
        datasets: Names of data sets, all by default.
        source: Folder or web address to fetch from, see the module's description.
        cache: Folder to keep the files in, see the module's description.

    Returns:
        The file in the cache by (model, data set), in the order asked for.

    Raises:
        InputError: If a model or a data set is unknown; the message suggests the nearest name.
        DownloadError: If a file cannot be fetched: no connection, the server's refusal, or other bytes than
            published. The files in the cache stay as they are.
        WriteError: If the cache cannot be written.

    Example:
        >>> fetch("padim_r81")
        Traceback (most recent call last):
        aupimo_helpers.errors.InputError: There is no model 'padim_r81' in the published benchmark; did you mean ...?
    """
    folder = Path(cache or os.environ.get("AUPIMO_BENCHMARK_CACHE") or pooch.os_cache("aupimo-benchmark"))
    names = {
        (model, dataset): f"{model}/{dataset}/{_FILE}"
        for model in _chosen(models, model_names(), "model")
        for dataset in _chosen(datasets, dataset_names(), "data set")
    }
    missing = [name for name in names.values() if not _is_good(folder, name)]
    if missing:
        _fetch_files(missing, str(source or os.environ.get("AUPIMO_BENCHMARK_DIR") or SOURCE), folder)
    return {key: folder / name for key, name in names.items()}


def _is_good(folder: Path, name: str) -> bool:
    """Tell whether a file of the cache is there with the published bytes."""
    return (folder / name).is_file() and pooch.file_hash(str(folder / name)) == _registry()[name]


def _fetch_files(names: list[str], source: str, folder: Path) -> None:
    """Fetch files into the cache, several at once; the first failure ends it."""
    is_web = source.startswith(("http://", "https://"))
    if not is_web and not Path(source).is_dir():
        msg = f"Cannot fetch the published scores: {source} is neither a folder nor a web address. {_REMEDY}"
        raise DownloadError(msg)
    with explain_write_errors(folder):
        for name in names:
            # pooch makes missing folders too, but two processes that do so at once make it fail.
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # pooch's own refusal does not say what to do
            pass
    files = pooch.create(
        path=folder, base_url=source.rstrip("/") + "/", registry={name: _registry()[name] for name in names}
    )
    download = pooch.HTTPDownloader(timeout=_TIMEOUT) if is_web else _copy
    pooch.get_logger().setLevel("WARNING")  # one line for each of 351 files otherwise
    executor = ThreadPoolExecutor(_CONNECTIONS)

    def fetch_one(name: str) -> None:
        with explain_write_errors(folder), _explain_download_errors(name, source):
            files.fetch(name, downloader=download)

    try:
        tasks = [executor.submit(fetch_one, name) for name in names]
        for task in tqdm(as_completed(tasks), "published scores", total=len(tasks), unit="file", disable=None):
            task.result()
    finally:
        executor.shutdown(cancel_futures=True)


def _copy(url: str, output_file: str, _: pooch.Pooch) -> None:
    """Copy from a folder: a downloader in pooch's sense."""
    shutil.copyfile(url, output_file)


@contextmanager
def _explain_download_errors(name: str, source: str) -> Iterator[None]:
    """Turn what pooch and requests raise into one sentence."""
    cause: Exception
    try:
        yield
        return
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        cause, reason = error, f"the server answered {status} for {name}"
    except requests.exceptions.Timeout as error:
        cause, reason = error, f"no answer within {_TIMEOUT} s"
    except requests.exceptions.RequestException as error:
        cause, reason = error, "no connection"
    except FileNotFoundError as error:
        cause, reason = error, f"there is no {name}"
    except ValueError as error:  # pooch's answer to another hash
        cause, reason = error, f"{name} holds other bytes than were published (its SHA-256 differs), it was not kept"
    msg = f"Cannot fetch the published scores from {source}: {reason}. {_REMEDY}"
    raise DownloadError(msg) from cause


def why_out_of_reach(
    models: str | Iterable[str] | None = None,
    datasets: str | Iterable[str] | None = None,
    *,
    source: str | Path | None = None,
    cache: str | Path | None = None,
) -> str | None:
    """Fetch what is missing, and where that fails say why instead of raising.

    For a lesson that goes on with `packaged_table` without a network and shows this sentence; everywhere else call
    `fetch`.

    Args:
        models: See `fetch`.
        datasets: See `fetch`.
        source: See `fetch`.
        cache: See `fetch`.

    Returns:
        None if all files are in the cache now, else the sentence of the `DownloadError`.

    Raises:
        InputError: If a model or a data set is unknown.
        WriteError: If the cache cannot be written.

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
    models: str | Iterable[str] | None = None,
    datasets: str | Iterable[str] | None = None,
    *,
    source: str | Path | None = None,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Read published per-image scores, fetching them where needed.

    Args:
        models: Names of models, all by default.
        datasets: Names of data sets, all by default.
        source: See `fetch`.
        cache: See `fetch`.

    Returns:
        One row per model, data set and test image: columns ``model``, ``dataset``, ``image_path`` (begins with the
        data set's name, ``mvtec/leather/test/color/000.png``, so that it matches the course's own tables), ``defect``
        and ``aupimo`` (NaN for normal images). ``attrs["fpr_bounds"]`` are the bounds of all of them.

    Raises:
        InputError: If a model or a data set is unknown.
        DownloadError: If a file cannot be fetched.
        WriteError: If the cache cannot be written.

    Example:
        >>> scores = load("padim_r18", "mvtec/leather")  # doctest: +SKIP
        >>> round(scores["aupimo"].mean(), 4)  # doctest: +SKIP
        0.9343
    """
    tables = []
    for (model, dataset), path in fetch(models, datasets, source=source, cache=cache).items():
        table = load_scores(path)
        category = dataset.split("/")[1]
        within = table["image_path"].str.split(f"/{category}/", n=1).str[-1]
        tables.append(table.assign(model=model, dataset=dataset, image_path=f"{dataset}/" + within))
    columns = ["model", "dataset", "image_path", "defect", "aupimo"]
    scores = pd.concat(tables, ignore_index=True)[columns]
    scores.attrs = {"fpr_bounds": tables[0].attrs["fpr_bounds"]}
    return scores


def table(scores: pd.DataFrame) -> pd.DataFrame:
    """Average per-image scores to a table of models and data sets.

    Args:
        scores: Per-image scores, as from `load`.

    Returns:
        Mean AUPIMO over the anomalous images, one row per data set (index ``dataset``), one column per model.

    Example:
        >>> scores = pd.DataFrame({"model": "m", "dataset": "a/b", "aupimo": [0.5, 1.0, float("nan")]})
        >>> table(scores).loc["a/b", "m"]
        np.float64(0.75)
    """
    return scores.pivot_table(index="dataset", columns="model", values="aupimo", aggfunc="mean")


def packaged_table() -> pd.DataFrame:
    """Read the published means that come with the package: `table` of all files, to six decimal places.

    Returns:
        Mean AUPIMO over the anomalous images, 27 data sets (rows) x 13 models (columns).

    Example:
        >>> means = packaged_table()
        >>> round(float(means.loc["mvtec/leather", "padim_r18"]), 4), round(float(means["patchcore_wr101"].mean()), 4)
        (0.9343, 0.6231)
    """
    with resources.files("aupimo_helpers").joinpath("benchmark_means.txt").open(encoding="utf-8") as file:
        return pd.read_csv(file, comment="#", index_col="dataset").rename_axis(columns="model")
