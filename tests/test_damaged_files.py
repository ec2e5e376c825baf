"""Damaged files: what reads a file gives its content or says what is wrong with it, whatever happened to it."""

import json

import nbformat
import numpy as np
import pytest

from aupimo_helpers import cache
from aupimo_helpers.course.notebook import read
from aupimo_helpers.data.writing import RECORD, read_record
from aupimo_helpers.errors import AupimoError
from aupimo_helpers.scores import load_scores

SCORES = {
    "shared_fpr_metric": "mean-per-image-fpr",
    "fpr_lower_bound": 1e-5,
    "fpr_upper_bound": 1e-4,
    "num_threshs": None,
    "thresh_lower_bound": 1.0,
    "thresh_upper_bound": 2.0,
    "aupimos": [0.25, 0.5, None],
    "paths": ["t/cut/0.png", "t/cut/1.png", "t/good/0.png"],
}
NOTEBOOK = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")]))
RECORD_TEXT = json.dumps({"format": 1, "images": [{"path": "test/good/0.png"}], "left_out": [], "bits": None})
READERS = {
    "scores.json": (load_scores, json.dumps(SCORES)),
    "01_toy.ipynb": (read, NOTEBOOK),
    RECORD: (lambda path: read_record(path.parent), RECORD_TEXT),
}


def damaged(content: bytes, number: int) -> bytes:
    """Cut a file short, put bytes in, take some out or flip bits, as the number has it."""
    rng = np.random.default_rng(number)
    at = int(rng.integers(len(content)))
    if number % 4 == 0:
        return content[:at]
    if number % 4 == 1:
        return content[:at] + rng.bytes(int(rng.integers(1, 20))) + content[at:]
    if number % 4 == 2:
        return content[:at] + content[at + int(rng.integers(1, 50)) :]
    flipped = bytearray(content)
    for place in rng.integers(len(content), size=3):
        flipped[place] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    reader, content = READERS[name]
    reader_refused = 0
    for number in range(400):
        (tmp_path / name).write_bytes(damaged(content.encode(), number))
        try:
            reader(tmp_path / name)
        except AupimoError as error:
            reader_refused += 1
            assert name in str(error)
            assert "\n" not in str(error)
    assert reader_refused > 200


NASTY = (None, "", "x", True, -1, 10**400, float("nan"), float("inf"), [], {}, [[]], [None], {"a": 1})


@pytest.mark.parametrize("key", SCORES)
def test_a_value_of_another_type_is_read_or_refused(key, tmp_path):
    path = tmp_path / "scores.json"
    for value in (*NASTY, *([value] * 3 for value in NASTY)):
        path.write_text(json.dumps(SCORES | {key: value}))
        try:
            table = load_scores(path)
        except AupimoError as error:
            assert "scores.json" in str(error)
        else:
            assert len(table) == 3
            assert table["aupimo"].dropna().between(0, 1).all()


def test_a_damaged_cache_entry_is_built_anew(tmp_path):
    import torch

    def build():
        return {"maps": torch.arange(6.0)}, {"image_paths": ["a", "b"]}

    cache.load_or_build(tmp_path / "entry", {"seed": 1}, build)
    files = {suffix: (tmp_path / f"entry.{suffix}").read_bytes() for suffix in ("json", "safetensors")}
    hostile = [b"[" * 100_000, b"9" * 10_000, b'{"key": ' + b"9" * 5000 + b"}", b"[]", b"null", b"\xff"]
    for suffix, content in files.items():
        for other in (*hostile, *(damaged(content, number) for number in range(40))):
            for name, whole in files.items():
                (tmp_path / f"entry.{name}").write_bytes(other if name == suffix else whole)
            tensors, extra = cache.load_or_build(tmp_path / "entry", {"seed": 1}, build)
            assert torch.equal(tensors["maps"], torch.arange(6.0))
            assert extra == {"image_paths": ["a", "b"]}
