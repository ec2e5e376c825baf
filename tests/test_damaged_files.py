"""Damaged files: what reads a file gives its content or says what is wrong with it, whatever happened to it."""

import io
import json
import resource
import warnings
from base64 import b64encode

import nbformat
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from aupimo_helpers.course.notebook import read
from aupimo_helpers.data.images import read_map, read_mask, read_picture
from aupimo_helpers.data.layouts import find_pictures
from aupimo_helpers.data.shapes import Annotation, draw_mask
from aupimo_helpers.data.writing import RECORD, read_record
from aupimo_helpers.errors import AupimoError, ProblemError, collecting
from aupimo_helpers.model import cache
from aupimo_helpers.scores import load_scores

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
MAP = RNG.random((24, 32)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
MASK = np.zeros((24, 32), dtype=np.uint8)
MASK[5:9, 5:20] = 255
SQUARE = [[3, 3], [9, 3], [9, 9], [3, 9]]


def as_bytes(write, *arguments, **options) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arguments, **options)
    return buffer.getvalue()


def image(pixels, form, **options) -> bytes:
    return as_bytes(Image.fromarray(pixels).save, form, **options)


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


def pictures(path):
    """Import what lies beside a file of annotations as far as reading goes."""
    problems = []
    source = path.parent if path.suffix != ".csv" else path
    _, found = find_pictures(source, "auto", problems, unlabelled="normal")
    for picture in found:
        if isinstance(picture.mask, Annotation) and picture.mask.size == MASK.shape:  # else it is not drawn
            with collecting(problems):
                draw_mask(picture.mask, line_width=2)
    if problems:
        raise ProblemError(problems)


POLYGON = {"label": "dent", "shape_type": "polygon", "points": SQUARE}
PASTED = {"label": "cut", "shape_type": "mask", "points": SQUARE, "mask": b64encode(image(MASK, "png")).decode()}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "height": 24, "width": 32}],
    "categories": [{"id": 1, "name": "dent"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[3, 3, 9, 3, 9, 9]]},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": {"size": [24, 32], "counts": [300, 60, 408]}},
    ],
}
FUZZED = {
    "map.npy": (read_map, as_bytes(np.save, MAP)),
    "stored.npz": (read_map, as_bytes(np.savez, MAP)),
    "map.npz": (read_map, as_bytes(np.savez_compressed, MAP)),
    "map.tif": (read_map, as_bytes(tifffile.imwrite, MAP)),
    "packed.tif": (read_map, as_bytes(tifffile.imwrite, MAP, compression="zlib", tile=(16, 16))),
    "map.png": (read_map, image((MAP * 60_000).astype(np.uint16), "png")),
    "mask.png": (read_mask, image(MASK, "png")),
    "mask.gif": (read_mask, image(MASK, "gif")),
    "mask.tiff": (read_mask, image(MASK, "tiff", compression="tiff_lzw")),
    "picture.png": (read_picture, image(PIXELS, "png")),
    "picture.jpg": (read_picture, image(PIXELS, "jpeg", exif=Image.Exif())),
    "picture.webp": (read_picture, image(PIXELS, "webp")),
    "picture.bmp": (read_picture, image(PIXELS, "bmp")),
    "picture.tif": (read_picture, image(PIXELS, "tiff", compression="tiff_deflate")),
    "a.json": (pictures, json.dumps({"imageHeight": 24, "imageWidth": 32, "shapes": [POLYGON, PASTED]}).encode()),
    "coco.json": (pictures, json.dumps(COCO).encode()),
    "a.txt": (pictures, b"0 0.1 0.1 0.5 0.1 0.5 0.5\n1 0.6 0.6 0.7 0.6 0.7 0.7\n"),
    "data.yaml": (pictures, b"names:\n  0: dent\n  1: cut\nnc: 2\n"),
    "list.csv": (pictures, b"image;label;split;mask\na.png;dent;;b.png\nb.png;good;train;\n"),
    **{name: (reader, content.encode()) for name, (reader, content) in READERS.items()},
}
ANY = st.integers(0, 2**16)
EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "set", "put", "take", "cut"]), ANY, st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, edits) -> bytes:
    for kind, place, new in edits:
        at = place % max(len(content), 1)
        if kind == "flip":
            content = content[:at] + bytes([content[at] ^ new[0]]) + content[at + 1 :] if content else b""
        elif kind == "cut":
            content = content[:at]
        else:
            skipped = {"set": len(new), "put": 0, "take": new[0]}[kind]
            content = content[:at] + (b"" if kind == "take" else new) + content[at + skipped :]
    return content


@pytest.mark.parametrize("name", FUZZED)
def test_whatever_is_done_to_a_file_it_is_read_or_refused(name, tmp_path_factory):
    """A fuzz of each reader: see CONTRIBUTING for how to let it run for longer."""
    reader, whole = FUZZED[name]
    folder = tmp_path_factory.mktemp("fuzz")
    if reader is pictures:
        for other in ("a.png", "b.png"):
            (folder / other).write_bytes(image(MASK, "png"))
    if name == "a.txt":
        (folder / "data.yaml").write_bytes(FUZZED["data.yaml"][1])
    if name == "data.yaml":
        (folder / "a.txt").write_bytes(FUZZED["a.txt"][1])
    (folder / name).write_bytes(whole)
    reader(folder / name)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(deadline=5000, suppress_health_check=list(HealthCheck))
    @given(EDITS)
    @example([("flip", 12, b"\x01")])  # made a TIFF's width a tuple
    @example([("flip", 153, b"\r")])  # made a TIFF's tile larger than the memory
    @example([("put", 189, b"\x95\x14\xc4\xf5\xf0\x13\xbd\x8d\xd1")])  # made tifffile's list of series endless
    def run(edits):
        (folder / name).write_bytes(edited(whole, edits))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader(folder / name)
        except AupimoError as error:
            assert str(folder) in str(error)

    run()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 500_000  # kB


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


def parts_of(value, path=()):
    """The paths of all values in a JSON value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from parts_of(inner, (*path, key))


@pytest.mark.parametrize("name", ["a.json", "coco.json"])
def test_an_annotation_of_another_type_is_read_or_refused(name, tmp_path):
    for other in ("a.png", "b.png"):
        (tmp_path / other).write_bytes(image(MASK, "png"))
    nasty = (*NASTY, *([value] * 3 for value in NASTY), "n" * 300, 1e300, {"size": [24, 32], "counts": ["a"]})
    refused = 0
    for path in parts_of(json.loads(FUZZED[name][1])):
        for value in nasty:
            content = {"all": json.loads(FUZZED[name][1])}
            place = content
            for key in ("all", *path)[:-1]:
                place = place[key]
            place[("all", *path)[-1]] = value
            (tmp_path / name).write_text(json.dumps(content["all"]))
            try:
                pictures(tmp_path / name)
            except AupimoError as error:
                refused += 1
                assert str(tmp_path) in str(error)
    assert refused > 200


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
