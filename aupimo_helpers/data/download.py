"""Archives of public data sets, fetched by anomalib, with an explanation when that fails."""

import http.client
import lzma
import tarfile
import time
import urllib.error
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from aupimo_helpers.errors import DownloadError

if TYPE_CHECKING:
    from anomalib.data.utils import DownloadInfo

# A server that sends fewer bytes per second than this, or none, is given up after so many seconds.
SLOWEST, PATIENCE = 10_000, 30.0


def download(info: "DownloadInfo", folder: Path, name: str, by_hand: str) -> None:
    """Download an archive, check it and unpack it into a folder; ``by_hand`` says what to do where that fails."""
    from anomalib.data.utils import download_and_extract

    failure: list[Exception] = []

    def work() -> None:
        try:
            download_and_extract(folder, info)
        except Exception as error:  # raised again below, in the thread that waits
            failure.append(error)

    try:
        _watched(work, folder / (info.filename or info.url.rpartition("/")[2]))
        if failure:
            raise failure[0]
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = _short(getattr(error, "reason", None) or error)
        raise DownloadError(f"{name} could not be downloaded from {info.url} ({reason}). {by_hand}") from error
    except (ValueError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DownloadError(f"What {info.url} sent is not {name}'s archive ({_short(error)}). {by_hand}") from error


def _watched(work: Callable[[], None], file: Path) -> None:
    """Do the work that downloads a file; give up on a server that sends next to nothing, byte by byte."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    started, size = time.monotonic(), 0
    while thread.is_alive():
        thread.join(min(1, PATIENCE))
        seconds = time.monotonic() - started
        with suppress(FileNotFoundError):  # it is removed after it was unpacked
            size = max(size, file.stat().st_size)
        if thread.is_alive() and seconds > PATIENCE and size < SLOWEST * seconds:
            raise TimeoutError(f"only {size} bytes came in {seconds:.0f} seconds")


def _short(error: object) -> str:
    """The first line of an error, without the temporary path that anomalib's wrong-hash message holds."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = text.splitlines()[0]
    return "wrong checksum" if "required hash" in text else text
