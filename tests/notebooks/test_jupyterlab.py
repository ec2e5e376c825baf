"""A notebook that is opened in JupyterLab and saved is the same file as before, byte for byte."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def form(path):
    """Give what JupyterLab may rewrite: all metadata, without the values of what was measured."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    measured = notebook["metadata"].pop("aupimo")
    whole = [value for value in measured.values() if isinstance(value, float) and value.is_integer()]
    return notebook["metadata"], notebook["nbformat"], notebook["nbformat_minor"], sorted(measured), whole


def test_all_notebooks_have_metadata_of_one_form():
    assert all(form(path) == form(NOTEBOOKS[0]) for path in NOTEBOOKS)
    assert form(NOTEBOOKS[0])[-1] == [], "JavaScript writes 1.0 as 1"


@pytest.mark.notebook
def test_open_and_save(tmp_path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no Chromium")
    version = ".".join(map(str, sys.version_info[:3]))
    if form(NOTEBOOKS[0])[0]["language_info"]["version"] != version:
        pytest.skip("JupyterLab stores the version of Python, and the notebook was executed with another one")
    from playwright.sync_api import sync_playwright

    path = tmp_path / NOTEBOOKS[0].name
    shutil.copyfile(NOTEBOOKS[0], path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", f"--ServerApp.root_dir={tmp_path}"]
    command = [sys.executable, "-m", "jupyterlab", *options, "--IdentityProvider.token=here"]
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while f"127.0.0.1:{port}" not in (text := (tmp_path / "log").read_text()):
            assert server.poll() is None, text
            time.sleep(0.2)
        before = path.read_bytes()
        with sync_playwright() as playwright:
            page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
            page.goto(f"http://127.0.0.1:{port}/lab/tree/{path.name}?token=here", timeout=60_000)
            page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
            page.wait_for_timeout(3000)  # the kernel's name and language come into the notebook without a sign
            page.click(".jp-Notebook .jp-Cell", position={"x": 20, "y": 10})
            with page.expect_response(
                lambda answer: answer.request.method == "PUT" and path.name in answer.url
            ) as saved:
                page.keyboard.press("Control+s")
            assert saved.value.ok
        assert path.read_bytes() == before
    finally:
        server.terminate()
        server.wait(30)
        log.close()
