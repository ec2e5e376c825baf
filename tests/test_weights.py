import http.server
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from aupimo_helpers import model
from aupimo_helpers.errors import DownloadError
from aupimo_helpers.model import PadimSettings, make_padim

ROOT = Path(__file__).resolve().parents[1]


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        check=False,
    )


WEIGHTS = """
    from aupimo_helpers.errors import DownloadError
    from aupimo_helpers.model import PadimSettings, make_padim
    try:
        make_padim(PadimSettings(pre_trained=True))
    except DownloadError as error:
        print(error)
"""


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("status", [404, 500, None])
def test_weights_that_cannot_be_had_are_one_sentence_at_once(tmp_path, status):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.status, server.asked = status, 0
    address = f"http://127.0.0.1:{server.server_port}"
    if status is None:
        server.server_close()  # nobody listens at that port any more
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = run_python(WEIGHTS, HF_ENDPOINT=address, HF_HUB_CACHE=str(tmp_path), NO_PROXY="127.0.0.1")
    finally:
        if status is not None:
            server.shutdown()
            server.server_close()
    assert done.returncode == 0, done.stderr
    (message,) = done.stdout.splitlines()
    assert server.asked <= 2, "huggingface_hub's retries go on for 45 s"
    assert "ImageNet weights of resnet18 could not be downloaded" in message
    assert address in message
    assert "PRE_TRAINED = False" in message
    assert "hf download timm/resnet18.a1_in1k" in message
    assert str(tmp_path) in message
    assert status is None or str(status) in message


def test_a_download_that_breaks_off_is_the_same_sentence(monkeypatch):
    from anomalib.models import Padim

    def breaks_off(*_, **__):
        raise ConnectionResetError("Connection reset by peer")

    monkeypatch.setattr(model, "require_weights", lambda _: None)
    monkeypatch.setattr(Padim, "__init__", breaks_off)
    with pytest.raises(DownloadError, match=r"resnet18 could not be .*Connection reset by peer.*PRE_TRAINED"):
        make_padim(PadimSettings(pre_trained=True))
