"""Ctrl-C during ``aupimo run``, and what runs beside what; the rest of it stands in tests/commands/test_run.py."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from aupimo_helpers.course.notebook import read
from aupimo_helpers.course.report import Report
from aupimo_helpers.course.run import run_course

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.ipynb")}


def aupimo(*arguments, cwd, **options):
    command = [sys.executable, "-m", "aupimo_helpers", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        # a test run in the background of a shell inherits that Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


def test_ctrl_c_keeps_what_has_been_run(write, folder, tmp_path, tiny_data):
    write(folder / "01_toy.ipynb", "print('done')")
    write(folder / "02_slow.ipynb", "open('started', 'w').close()\nimport time\ntime.sleep(100)")
    before = digest(folder)
    process = aupimo(
        "run",
        "--notebooks",
        folder,
        "--data-root",
        tiny_data,
        "--dataset",
        "own/tiny",
        "--results",
        "out",
        cwd=tmp_path,
    )
    begin = time.monotonic()
    while not (folder / "started").exists() or not (tmp_path / "out" / "01_toy.ipynb").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < begin + 120
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout + stderr
    assert stderr.strip() == "aupimo: stopped"
    assert (tmp_path / "out" / "book" / "01_toy.html").exists()
    page = (tmp_path / "out" / "book" / "index.html").read_text()
    assert "stopped" in page
    assert '<a href="01_toy.html">' in page
    assert digest(folder) == before


def test_two_run_beside_each_other_and_nothing_before_what_fits_the_model(write, folder, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    meet = """import os, time
    def meet(mine, other):
        open(mine, 'w').close()
        end = time.monotonic() + 60
        while not os.path.exists(other):
            assert time.monotonic() < end, 'alone'
            time.sleep(0.05)""".replace("\n    ", "\n")
    write(folder / "01_toy.ipynb", meet, "meet('one', 'two')")
    write(folder / "02_fits.ipynb", meet, "meet('two', 'one')", "time.sleep(2)\nopen('fitted', 'w').close()")
    order = "open('order', 'a').write(__import__('os').environ['OMP_NUM_THREADS'] + ' NN;')"
    for number, seconds in (("03", 5), ("04", 50), ("05", 7)):
        path = write(folder / f"{number}_reads.ipynb", "open('fitted')", order.replace("NN", number))
        notebook = read(path)
        notebook.metadata["aupimo"] = {"seconds": seconds}
        nbformat.write(notebook, path)
    console = Console(file=io.StringIO())
    run = run_course(sorted(folder.iterdir()), tmp_path, {}, report=Report("a/b"), console=console, at_once=2)
    assert [(row.name[:2], row.message) for row in run.rows] == [(f"0{i}", "") for i in range(1, 6)]
    threads = str(max(1, os.cpu_count() // 2))
    *first, last = (folder / "order").read_text().removesuffix(";").split(";")
    assert sorted(first) == [f"{threads} 04", f"{threads} 05"]
    assert last == f"{threads} 03"


@pytest.fixture
def tiny_data(tmp_path):
    """A folder that `aupimo run` takes for a data set; the toy notebooks do not read it."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    for part in (*(f"train/good/{i}" for i in range(2)), "test/good/0", "test/good/1", "test/cut/0"):
        path = root / "own" / "tiny" / f"{part}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    (root / "own" / "tiny" / "ground_truth" / "cut").mkdir(parents=True)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (20, 20, 40, 40))
    mask.save(root / "own" / "tiny" / "ground_truth" / "cut" / "0.png")
    return root
