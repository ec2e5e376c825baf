"""Archives of public data sets, fetched by anomalib, with an explanation when that fails."""

import http.client
import lzma
import tarfile
import urllib.error
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from aupimo_helpers.errors import DownloadError
from aupimo_helpers.files import watched

if TYPE_CHECKING:
    from anomalib.data.utils import DownloadInfo


def download(info: "DownloadInfo", folder: Path, name: str, by_hand: str) -> None:
    """Download an archive, check it and unpack it into a folder; ``by_hand`` says what to do where that fails."""
    from anomalib.data.utils import download_and_extract

    file = folder / (info.filename or info.url.rpartition("/")[2])
    try:
        watched(lambda: download_and_extract(folder, info), file)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = _short(getattr(error, "reason", None) or error)
        raise DownloadError(f"{name} could not be downloaded from {info.url} ({reason}). {by_hand}") from error
    except (ValueError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DownloadError(f"What {info.url} sent is not {name}'s archive ({_short(error)}). {by_hand}") from error


def _short(error: object) -> str:
    """The first line of an error, without the temporary path that anomalib's wrong-hash message holds."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = text.splitlines()[0]
    return "wrong checksum" if "required hash" in text else text
