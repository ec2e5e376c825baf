"""Files and folders as people bring them."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng(0)


def picture(path, size=(12, 16), mode="RGB", **options):
    """Write a random picture and return its pixels as decoded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if mode == "L" else (*size, 3)
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(path, **options)
    return np.asarray(Image.open(path))


def mask_file(path, size=(12, 16), value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, dtype=np.uint8)
    pixels[2:5, 3:7] = value
    Image.fromarray(pixels).save(path)


def labelme_file(path, size=(12, 16), shapes=None):
    if shapes is None:
        shapes = [{"label": "dent", "shape_type": "rectangle", "points": [[3, 2], [7, 5]]}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"imageHeight": size[0], "imageWidth": size[1], "shapes": shapes}))


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def pixels_of(path):
    return np.asarray(Image.open(path))


@pytest.fixture
def draw():
    """Functions that write files, and two that read them."""
    return SimpleNamespace(
        picture=picture, mask=mask_file, labelme=labelme_file, listing=listing, pixels=pixels_of, rng=RNG
    )


@pytest.fixture
def folders(tmp_path):
    """The layout folders: 5 normal images, 2 with defects."""
    source = tmp_path / "Phone Pictures"
    for number in range(5):
        picture(source / "normal" / f"IMG_{number}.jpg")
    for number in (10, 11):
        picture(source / "abnormal" / f"IMG_{number}.jpg")
        mask_file(source / "masks" / f"IMG_{number}.png")
    return source


@pytest.fixture
def mvtec(tmp_path):
    source = tmp_path / "screws"
    for number in range(3):
        picture(source / "train" / "good" / f"{number:03}.png")
        picture(source / "test" / "good" / f"{number:03}.png")
        picture(source / "test" / "Loose Thread" / f"{number:03}.png")
        mask_file(source / "ground_truth" / "Loose Thread" / f"{number:03}_mask.png")
    return source


class Server:
    """Answers every request with `status` and `body`; counts the requests."""

    def __init__(self, body: bytes) -> None:
        self.body, self.status, self.length, self.requests = body, 200, None, 0
        self.drip = 0.0  # seconds between two bytes
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(outer.length or len(outer.body)))
                self.end_headers()
                for byte in outer.body if outer.drip else b"":
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:  # the other side has had enough
                        return
                    time.sleep(outer.drip)
                self.wfile.write(outer.body)

            def log_message(self, *args):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/archive.tar.xz"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()


@pytest.fixture
def serve():
    """Start servers on this machine."""
    servers = []

    def start(body):
        servers.append(Server(body))
        return servers[-1]

    yield start
    for server in servers:
        server.httpd.shutdown()
        server.httpd.server_close()
