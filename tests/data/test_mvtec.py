"""MVTec AD: downloaded from a server on this machine, or copied from a folder; whole or not at all."""

import dataclasses
import errno
import hashlib
import io
import os
import socket
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers import data, files
from aupimo_helpers.data import check, mvtec
from aupimo_helpers.errors import DownloadError, InputError, MissingError, WriteError


def draw_category(folder: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for split in ("train/good", "test/good", "test/cut", "ground_truth/cut"):
        (folder / split).mkdir(parents=True)
        name = "000_mask.png" if split.startswith("ground") else "000.png"
        pixels = np.full((16, 16), 255, np.uint8) if split.startswith("ground") else rng.integers(0, 255, (16, 16, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name)
    return folder


def sound(folder: Path) -> bool:
    return check(folder, fpr_bounds=(0.01, 0.1), image_size=(16, 16)) == []


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("archive")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as tar:
        for number, category in enumerate(("leather", "tile")):
            tar.add(draw_category(folder / category, seed=number), arcname=category)
        (folder / "license.txt").write_text("free for research")
        tar.add(folder / "license.txt", arcname="license.txt")
    return stream.getvalue()


@pytest.fixture
def server(archive, serve, monkeypatch):
    server = serve(archive)
    point_to(monkeypatch, server.url, hashlib.sha256(archive).hexdigest())
    return server


def point_to(monkeypatch, url: str, digest: str = "") -> None:
    from anomalib.data.datamodules.image import mvtecad

    info = dataclasses.replace(mvtecad.DOWNLOAD_INFO, url=url, hashsum=digest or mvtecad.DOWNLOAD_INFO.hashsum)
    monkeypatch.setattr(mvtecad, "DOWNLOAD_INFO", info)


# --- download


def test_the_archive_is_downloaded_once_for_all_categories(server, tmp_path):
    folder = data.make("mvtec/leather", tmp_path)
    assert folder == tmp_path / "mvtec" / "leather"
    assert sound(folder)
    assert sound(data.make("mvtec/tile", tmp_path))
    assert server.requests == 1
    assert {path.name for path in folder.parent.iterdir()} == {"leather", "tile", ".mvtec.lock"}


@pytest.mark.usefixtures("server")
def test_a_category_that_is_there_stays_as_it_is(tmp_path):
    mine = draw_category(tmp_path / "mvtec" / "tile", seed=99)
    before = (mine / "train" / "good" / "000.png").read_bytes()
    data.make("mvtec/leather", tmp_path)
    assert (mine / "train" / "good" / "000.png").read_bytes() == before


def failed(dataset: str, root: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        data.make(dataset, root)
    message = str(caught.value)
    assert "\n" not in message
    assert mvtec.HOME_PAGE in message
    assert f"aupimo data make {dataset} --from-folder UNPACKED" in message
    assert str(root / dataset) in message
    assert files_in(root) == set()
    assert not (root / dataset).exists()
    assert not list(root.rglob("*.tmp"))
    return message


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_server_s_refusal(status, server, tmp_path):
    server.status = status
    message = failed("mvtec/leather", tmp_path)
    assert server.url in message


def test_a_wrong_checksum(server, tmp_path):
    server.body = b"<html>We moved. Please log in.</html>"
    assert "is not MVTec AD's archive (wrong checksum)" in failed("mvtec/leather", tmp_path)


def test_a_broken_connection(server, tmp_path):
    server.length = len(server.body) + 1000
    assert "could not be downloaded" in failed("mvtec/leather", tmp_path)


def test_a_damaged_archive_with_the_right_checksum(server, tmp_path, monkeypatch):
    server.body = server.body[: len(server.body) // 2]
    point_to(monkeypatch, server.url, hashlib.sha256(server.body).hexdigest())
    assert "is not MVTec AD's archive" in failed("mvtec/leather", tmp_path)


@pytest.mark.usefixtures("server")
def test_an_archive_without_the_category(tmp_path):
    assert "holds no category zipper" in failed("mvtec/zipper", tmp_path)


def test_nobody_listens(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    point_to(monkeypatch, f"http://127.0.0.1:{port}/mvtec.tar.xz")
    assert "(Connection refused)" in failed("mvtec/leather", tmp_path)


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        point_to(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/mvtec.tar.xz")
        assert "only 0 bytes came in" in failed("mvtec/leather", tmp_path)


def test_a_dripping_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.5)
    server.drip = 0.1
    started = time.monotonic()
    assert "only 0 bytes came in" in failed("mvtec/leather", tmp_path)
    assert time.monotonic() - started < 20


def test_a_name_that_does_not_resolve(tmp_path, monkeypatch):
    point_to(monkeypatch, "http://no-such-host.invalid/mvtec.tar.xz")
    failed("mvtec/leather", tmp_path)


@pytest.mark.usefixtures("server")
def test_a_full_disk_is_not_called_a_failed_download(tmp_path, monkeypatch):
    from anomalib.data.utils import download as anomalib_download

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(anomalib_download, "extract", full)
    with pytest.raises(WriteError, match=r"Cannot write .*mvtec: the disk is full"):
        data.make("mvtec/leather", tmp_path)
    assert files_in(tmp_path) == set()


@pytest.mark.usefixtures("server")
def test_a_killed_download_leaves_no_debris_for_the_next(tmp_path):
    left = tmp_path / "mvtec" / ".mvtec.a1b2c3d4.tmp"
    draw_category(left / "leather")
    assert sound(data.make("mvtec/leather", tmp_path))
    assert not left.exists()


# --- a local folder


@pytest.mark.parametrize("given", ["unpacked", "unpacked/leather"])
def test_a_local_folder_is_copied_without_a_download(given, server, tmp_path):
    draw_category(tmp_path / "unpacked" / "leather")
    folder = data.make("mvtec/leather", tmp_path / "data", from_folder=tmp_path / given)
    assert sound(folder)
    assert server.requests == 0
    assert sound(tmp_path / "unpacked" / "leather")


@pytest.mark.parametrize("given", ["nowhere", "empty", "tile"])
def test_a_local_folder_without_the_category_is_named(given, server, tmp_path):
    (tmp_path / "empty").mkdir()
    draw_category(tmp_path / "tile")
    with pytest.raises(MissingError, match=rf"{given} is not MVTec AD's leather"):
        data.make("mvtec/leather", tmp_path / "data", from_folder=tmp_path / given)
    assert files_in(tmp_path / "data") == set()
    assert server.requests == 0


def test_a_full_disk_leaves_no_half_copy(tmp_path, monkeypatch):
    draw_category(tmp_path / "unpacked" / "leather")

    def full(_source, target):
        Path(target).write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mvtec.shutil, "copyfile", full)
    with pytest.raises(WriteError, match=r"Cannot write .*leather: the disk is full"):
        data.make("mvtec/leather", tmp_path / "data", from_folder=tmp_path / "unpacked")
    assert files_in(tmp_path / "data") == set()


def test_only_plain_files_of_a_sane_size_are_copied(tmp_path):
    source = draw_category(tmp_path / "unpacked" / "leather")
    (source / "train" / "good" / "001.png").symlink_to("/dev/zero")
    os.mkfifo(source / "test" / "pipe")
    with (source / "backup.tar").open("wb") as file:
        file.truncate(2**40)  # a hole, which takes no space
    with pytest.raises(
        InputError, match=r"(?s)3 problems.*backup\.tar.*pipe.*001\.png is no plain file of at most 4"
    ):
        data.make("mvtec/leather", tmp_path / "data", from_folder=tmp_path / "unpacked")
    assert files_in(tmp_path / "data") == set()


def test_links_are_followed(tmp_path):
    source = draw_category(tmp_path / "unpacked" / "leather")
    (source / "test" / "cut").rename(tmp_path / "elsewhere")
    (source / "test" / "cut").symlink_to(tmp_path / "elsewhere")
    folder = data.make("mvtec/leather", tmp_path / "data", from_folder=source)
    assert sound(folder)
    assert not (folder / "test" / "cut").is_symlink()
