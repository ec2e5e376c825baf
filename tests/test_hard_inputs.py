"""Hostile and unlucky inputs: each ends in one sentence and exit code 1 or 2, without a traceback and without debris.

A line of ``CASES`` is one input: the command, what is done to a sound set of files first, and words of the answer.
"""

import builtins
import csv
import io
import json
import os
import re
import resource
import shlex
import zlib
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

import aupimo_helpers.course.report  # noqa: F401  # with PyTorch, whose memory is no input's
from aupimo_helpers.commands import main
from aupimo_helpers.scores import load_scores

RNG = np.random.default_rng(0)
DEEP = "[" * 100_000
HUGE = "1" + "0" * 400
LONG = "n" * 300


def as_bytes(writer, *arguments, **options) -> bytes:
    buffer = io.BytesIO()
    writer(buffer, *arguments, **options)
    return buffer.getvalue()


def png(size=(64, 64), value=None) -> bytes:
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8) if value is None else np.full(size, value, np.uint8)
    return as_bytes(Image.fromarray(pixels).save, format="png")


def npy(shift=0.0, size=(64, 64)) -> bytes:
    return as_bytes(np.save, RNG.random(size, dtype=np.float32) + np.float32(shift))


def scores(**changes) -> str:
    content = {
        "shared_fpr_metric": "mean-per-image-fpr",
        "fpr_lower_bound": 1e-5,
        "fpr_upper_bound": 1e-4,
        "num_threshs": None,
        "thresh_lower_bound": 1.0,
        "thresh_upper_bound": 2.0,
        "aupimos": [*RNG.random(8).tolist(), None],
        "paths": [*(f"t/cut/{i}.png" for i in range(8)), "t/good/0.png"],
    }
    return json.dumps(content | changes)


def notebook() -> str:
    cells = [
        nbformat.v4.new_markdown_cell("# 01 · A toy\n\n**Does it run?**"),
        nbformat.v4.new_code_cell("SEED = 0  # seed", metadata={"tags": ["parameters"]}),
    ]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells))


def layout(normal: str, test: str, defect: str, masks: str) -> dict[str, bytes]:
    files = {f"{normal}/{i}.png": png() for i in range(2)} | {f"{test}/{i}.png": png() for i in (3, 4)}
    return files | {f"{defect}/0.png": png(), f"{masks}/0.png": png(value=255)}


@cache
def sound(command: str) -> dict[str, bytes | str]:
    """The files that a command works on, by path."""
    if command in ("score", "threshold"):
        maps = {"maps/good/0.npy": npy(), "maps/good/1.npy": npy(), "maps/cut/0.npy": npy(0.5)}
        return maps | {"masks/cut/0.png": png(value=255)}
    if command == "compare":
        return {"a.json": scores(), "b.json": scores(), "c.json": scores()}
    if command in ("run", "refresh"):
        return {"notebooks/01_toy.ipynb": notebook()} | layout(
            *(f"root/own/x/{part}" for part in ("train/good", "test/good", "test/cut", "ground_truth/cut"))
        )
    if command == "leather":
        return layout(*(f"leather/{part}" for part in ("train/good", "test/good", "test/cut", "ground_truth/cut")))
    parts = layout("parts/normal", "parts/normal_test", "parts/abnormal", "parts/masks")
    return parts | layout("x/train/good", "x/test/good", "x/test/cut", "x/ground_truth/cut")


def promising(height: int, width: int) -> bytes:
    """The beginning of a PNG, which says how large it is."""
    header = b"IHDR" + height.to_bytes(4, "big") + width.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    rest = len(b"x").to_bytes(4, "big") + b"IDATx" + zlib.crc32(b"IDATx").to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + header + zlib.crc32(header).to_bytes(4, "big") + rest


def lying(shape) -> bytes:
    """An array whose header promises more, or less, than there is."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00v\x00" + header + bytes(64 * 64 * 4)


def packed(*names) -> bytes:
    return as_bytes(np.savez_compressed, **dict.fromkeys(names, np.ones((64, 64), np.float32)))


# ----------------------------------------------------------------------------------- what is done to the files


def put(path, content=""):
    """Write a file in place of whatever is there."""

    def change(folder, _):
        remove(path)(folder, _)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def remove(*paths):
    def change(folder, _):
        for path in paths:
            if (folder / path).is_dir():
                for inner in sorted((folder / path).rglob("*"), reverse=True):
                    inner.rmdir() if inner.is_dir() else inner.unlink()
                (folder / path).rmdir()
            (folder / path).unlink(missing_ok=True)

    return change


def directory(path):
    """Put a folder where a file is."""

    def change(folder, _):
        remove(path)(folder, _)
        (folder / path).mkdir(parents=True)

    return change


def loop(path):
    """Put a link that leads to itself."""

    def change(folder, _):
        remove(path)(folder, _)
        (folder / path).symlink_to(folder / path)

    return change


def link(path, target):
    def change(folder, _):
        remove(path)(folder, _)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target if target.startswith("/") else folder / target)

    return change


def pipe(path):
    def change(folder, _):
        remove(path)(folder, _)
        os.mkfifo(folder / path)

    return change


def hole(path, size=2**40):
    """A file that says to be huge and takes no space."""

    def change(folder, _):
        with (folder / path).open("wb") as file:
            file.truncate(size)

    return change


def both(*changes):
    def change(folder, monkeypatch):
        for each in changes:
            each(folder, monkeypatch)

    return change


def deny(name):
    """Make the system refuse to open or list what has this name, whoever runs the tests."""

    def refusing(function):
        def refused(path=".", *arguments, **options):
            if isinstance(path, str | Path) and Path(path).name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *arguments, **options)

        return refused

    def change(_, monkeypatch):
        for module, function in ((builtins, "open"), (io, "open"), (os, "listdir"), (os, "scandir")):
            monkeypatch.setattr(module, function, refusing(getattr(module, function)))

    change.leaves_files = True
    return change


def record(content):
    """Make a data set with a record of this content."""

    def change(folder, _):
        put("d/photos/brick/train/good/0.png")(folder, _)
        put("d/photos/brick/dataset.json", content)(folder, _)

    return change


def renamed(old, new):
    def change(folder, _):
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(folder / new)

    return change


def cut_short(path, share=0.5):
    def change(folder, _):
        content = (folder / path).read_bytes()
        (folder / path).write_bytes(content[: int(len(content) * share)])

    return change


# ------------------------------------------------------------------------------------------- the table

SCORE = "score --maps maps --masks masks --missing-mask normal --fpr-bounds 0.01 0.1 -o o.json"
THRESHOLD = "threshold --maps maps --masks masks --missing-mask normal --fpr 0.1"
COMPARE = "compare a.json b.json -o o.png"
IMPORT = "data import parts --name p --data-root d"
CHECK = "data check x"
MAKE = "data make photos/brick --data-root d"
LEATHER = "data make mvtec/leather --data-root d --from-folder leather"
RUN = "run --notebooks notebooks --results r --data-root root --dataset own/x"

# fmt: off
CASES = [
    (SCORE + " -o o.txt", None, "end in .json"),
    (SCORE + " -o o", None, "end in .json"),
    (SCORE, directory("o.json"), "o.json: a folder is where a file must be"),
    (SCORE, directory("o.csv"), "o.csv: a folder is where a file must be"),
    (SCORE + " -o maps/good/0.npy/o.json", None, "a file is where a folder must be"),
    (SCORE + f" -o {LONG}.json", None, "the name is too long"),
    (SCORE + f" -o {LONG}/o.json", None, "the name is too long"),
    (SCORE + " -o l/o.json", loop("l"), "a file is where a folder must be"),
    (SCORE + f" --maps {LONG}", None, "the name is too long"),
    (SCORE + " --maps nowhere", None, "no folder nowhere"),
    (SCORE + " --maps ''", None, "an argument is empty"),
    (SCORE + " --maps maps/cut/0.npy", None, "no folder maps/cut/0.npy"),
    (SCORE + " --masks nowhere", None, "no folder nowhere"),
    (SCORE + " --maps l", loop("l"), "no folder l"),
    (SCORE, remove("maps/good", "maps/cut"), "No score maps in maps"),
    (SCORE, remove("masks/cut"), "No masks in masks"),
    (SCORE, remove("maps/cut/0.npy"), "masks/cut/0.png has no score map"),
    (SCORE, remove("maps/good"), "at least one normal image"),
    (SCORE, put("masks/cut/0.png", png(value=0)), "at least one anomalous image"),
    (SCORE, put("maps/cut/0.npy", npy(size=(3, 3))), "its mask masks/cut/0.png has 64 x 64"),
    (SCORE, put("maps/cut/0.npy", ""), "maps/cut/0.npy"),
    (SCORE, put("maps/cut/0.npy", "no array"), "maps/cut/0.npy"),
    (SCORE, cut_short("maps/cut/0.npy"), "maps/cut/0.npy"),
    (SCORE, cut_short("maps/good/0.npy", 0.01), "maps/good/0.npy"),
    (SCORE, put("maps/cut/0.npy", npy(np.nan)), "maps/cut/0.npy"),
    (SCORE, put("maps/cut/0.npy", npy(np.inf)), "maps/cut/0.npy"),
    (SCORE, put("maps/cut/0.npy", as_bytes(np.save, np.array([{}], dtype=object))), "maps/cut/0.npy"),
    (SCORE, put("maps/cut/0.npy", as_bytes(np.save, np.array("text"))), "maps/cut/0.npy"),
    (SCORE, put("maps/cut/0.npy", as_bytes(np.save, np.ones((64, 64), dtype=complex))), "maps/cut/0.npy"),
    (SCORE, put("maps/cut/0.npy", as_bytes(np.save, np.ones((0, 64)))), "maps/cut/0.npy"),
    (SCORE, put("masks/cut/0.png", ""), "masks/cut/0.png"),
    (SCORE, put("masks/cut/0.png", "no picture"), "masks/cut/0.png"),
    (SCORE, cut_short("masks/cut/0.png"), "masks/cut/0.png"),
    (SCORE, deny("0.npy"), "0.npy"),
    (SCORE, deny("0.png"), "masks/cut/0.png"),
    (SCORE, put("maps/cut/0.npz", "PK"), "same name"),
    (SCORE + " --fpr-bounds 1e-320 0.1", None, "too small to be measured"),
    (SCORE + " --fpr-bounds 0.01 1e-320", None, "too small to be measured"),
    (SCORE + " --fpr-bounds 0 0.1", None, "(0, 1]"),
    (SCORE + " --fpr-bounds -1 0.1", None, "(0, 1]"),
    (SCORE + " --fpr-bounds 0.1 0.01", None, "order"),
    (SCORE + " --fpr-bounds 0.01 2", None, "(0, 1]"),
    (SCORE + " --fpr-bounds nan 0.1", None, "(0, 1]"),
    (SCORE + " --fpr-bounds 0.01 inf", None, "(0, 1]"),
    (SCORE + " --fpr-bounds low 0.1", None, "invalid float value: 'low'"),
    (SCORE + " --fpr-bounds 1e-9 0.1", None, "1000000000"),
    (SCORE + " --missing-mask", None, "expected one argument"),
    ("score --maps maps", None, "the following arguments are required"),
    ("threshold", None, "one of the arguments --maps --scores is required"),
    ("threshold --maps maps", None, "--maps needs --masks"),
    (THRESHOLD + " --scores a.json", None, "not allowed with argument"),
    ("threshold --scores a.json --fpr 0.1", None, "leave out --masks and --fpr"),
    ("threshold --scores a.json", None, "no file of scores at a.json"),
    ("threshold --scores maps/good/0.npy", None, "maps/good/0.npy is not a file of scores"),
    (THRESHOLD + " --fpr 0", None, "Expected --fpr to lie in (0, 1]"),
    (THRESHOLD + " --fpr 10%", None, "invalid float value: '10%'"),
    (THRESHOLD + " --fpr 1e-9", None, "add normal images or raise"),
    (THRESHOLD, remove("maps/good"), "at least one normal image"),
    (THRESHOLD, put("masks/cut/0.png", png(value=0)), "at least one anomalous image"),
    (THRESHOLD, put("maps/good/0.npy", as_bytes(np.save, np.ones((64, 64), np.float32))), "use the raw, unclipped"),
    (THRESHOLD, put("maps/cut/0.npy", npy(size=(3, 3))), "its mask masks/cut/0.png has 64 x 64"),
    (SCORE, renamed("masks/cut", "masks/.cut"), "No masks in masks"),
    (SCORE, put("masks/.dent/0.png", png(value=255)), "masks/.dent/0.png is hidden"),
    (SCORE, put("masks/dent/0.npy", npy()), "masks/dent/0.npy is no image file that could be a mask"),
    (SCORE, put("masks/dent.json", "{}"), "masks/dent.json is no image file that could be a mask"),
    (SCORE, put("masks/dent/0.jp2"), "masks/dent/0.jp2 is no image file that could be a mask"),
    (SCORE, directory("masks/dent"), "masks/dent is an empty folder"),
    (SCORE, link("masks/dent", "nowhere"), "masks/dent is no image file that could be a mask"),
    (SCORE, link("masks/cut/x", "masks"), "masks/cut/x is a link to a folder that it lies in"),
    (SCORE, link("maps/cut/x", "maps"), "maps/cut/x is a link to a folder that it lies in"),
    (SCORE, renamed("masks/cut/0.png", "masks/0.png"), "could be that of maps/cut/0.npy and maps/good/0.npy"),
    (SCORE, put("maps/dent/0.npy", npy()), "confirm it with --normal-folder dent"),
    (SCORE, put("maps/a b/0.npy", npy()), "confirm it with --normal-folder 'a b'"),
    (SCORE + " --normal-folder dent", None, "none of the score maps lies in such a folder"),
    (SCORE + " --normal-folder", None, "expected one argument"),
    (SCORE, deny("cut"), "permission was denied"),
    (SCORE, put("maps/cut/0.npy", b"\x80\x04noise"), "neither .npy nor .npz"),
    (SCORE, put("maps/cut/0.npy", lying((100_000, 100_000))), "promises 40000000000 bytes"),
    (SCORE, put("maps/cut/0.npy", lying((-1, 3))), "promises -12 bytes"),
    (SCORE, put("maps/cut/0.npy", lying((10**30, 3))), "and it has 16384"),
    (SCORE, put("maps/cut/0.npy", lying((3, 3))), "and it has 16384"),
    (SCORE, put("maps/cut/0.npy", packed("a", "b")), "it holds 2 arrays (a, b)"),
    (SCORE, put("maps/cut/0.npy", packed()), "it holds 0 arrays"),
    (SCORE, put("maps/cut/0.npy", packed("a")[:150]), "maps/cut/0.npy cannot be read as a score map"),
    (SCORE, put("masks/cut/0.png", promising(60_000, 60_000)), "has 60000 x 60000"),
    (COMPARE + " --seed -1", None, "'-1' is no seed"),
    (COMPARE + " --seed 1.5", None, "'1.5' is no seed"),
    (COMPARE + " --seed=", None, "an argument is empty"),
    (COMPARE + " --seed 4294967296", None, "is no seed"),
    (COMPARE + f" --seed {'9' * 5000}", None, "is no seed"),
    (COMPARE + " --seed ²", None, "is no seed"),
    (COMPARE + " --names a", None, "needs 2 different names"),
    (COMPARE + " --names [/] [/]", None, "needs 2 different names, one per file, got: [/] [/]"),
    (COMPARE + " -o o", None, "must end in one of"),
    (COMPARE + " -o ''", None, "an argument is empty"),
    (COMPARE + " -o o.exe", None, "must end in one of"),
    (COMPARE, directory("o.png"), "a folder is where a file must be"),
    (COMPARE + " -o a.json/o.png", None, "a file is where a folder must be"),
    (COMPARE + f" -o {LONG}.png", None, "the name is too long"),
    ("compare a.json ./a.json -o o.png", None, "a.json is given twice"),
    (COMPARE, remove("b.json"), "no file of scores at b.json"),
    (COMPARE, directory("b.json"), "no file of scores at b.json"),
    (COMPARE, loop("b.json"), "a link that leads to itself"),
    (COMPARE, deny("b.json"), "Cannot read b.json: permission was denied"),
    (f"compare a.json {LONG}", None, "the name is too long"),
    ("compare a.json a.json/b.json", None, "no file of scores at a.json/b.json"),
    ("compare a.json -o o.png", None, "two models or more"),
    (COMPARE, put("b.json", ""), "b.json is not a file of scores"),
    (COMPARE, put("b.json", "{}"), "the key 'fpr_lower_bound' is missing"),
    (COMPARE, put("b.json", "null"), "no JSON object"),
    (COMPARE, put("b.json", b"\xff\xfe\x00"), "b.json is not a file of scores"),
    (COMPARE, put("b.json", DEEP), "nested too deeply"),
    (COMPARE, put("b.json", '{"a":' * 100_000), "nested too deeply"),
    (COMPARE, put("b.json", "9" * 10_000), "b.json is not a file of scores"),
    (COMPARE, put("b.json", scores().replace("1e-05", HUGE)), "b.json is not a file of scores"),
    (COMPARE, put("b.json", scores(thresh_upper_bound=10**400)), "b.json is not a file of scores"),
    (COMPARE, put("b.json", scores(aupimos=[10**400] * 9)), "b.json is not a file of scores"),
    (COMPARE, put("b.json", scores(aupimos=[[0.5]] * 9)), "not a list of numbers"),
    (COMPARE, put("b.json", scores(aupimos=[True] * 9)), "not a list of numbers"),
    (COMPARE, put("b.json", scores(aupimos={"a": 1})), "not a list of numbers"),
    (COMPARE, put("b.json", scores(aupimos=[1e-3] * 8)), "8 scores but 9 image paths"),
    (COMPARE, put("b.json", scores(aupimos=[7] * 9)), "outside [0, 1]"),
    (COMPARE, put("b.json", scores(aupimos=[None] * 9)), ""),
    (COMPARE, put("b.json", scores(aupimos=[], paths=[])), ""),
    (COMPARE, put("b.json", scores(paths=["a"] * 9)), "occurs more than once"),
    (COMPARE, put("b.json", scores(paths=list(range(9)))), "not a list of strings"),
    (COMPARE, put("b.json", scores(paths=[f"\udcff{i}" for i in range(9)])), "not valid UTF-8"),
    (COMPARE, put("b.json", scores(paths=[f"{i}" * 200_000 for i in range(9)])), "same test set"),
    ("compare b.json a.json", put("b.json", scores(paths=[f"\x1b[2J{i}\r" for i in range(9)])), "\\x1b[2J0\\r"),
    (COMPARE, put("b.json", scores(fpr_lower_bound="x" * 1_000_000)), "not a number"),
    (COMPARE, put("b.json", scores(fpr_lower_bound=0.5)), "FPR bounds"),
    (COMPARE, put("b.json", scores(fpr_lower_bound=float("nan"))), "FPR bounds"),
    (COMPARE, put("b.json", scores(fpr_lower_bound=1e-320)), "FPR bounds"),
    (COMPARE, put("b.json", scores(num_threshs=[1])), "'num_threshs' is not a number"),
    (COMPARE, put("b.json", scores(shared_fpr_metric=["[/]"])), "its shared FPR is ['[/]']"),
    (IMPORT + " --seed -1", None, "'-1' is no seed"),
    (IMPORT + " --test-share 2", None, "between 0 and 1"),
    (IMPORT + " --test-share nan", None, "between 0 and 1"),
    (IMPORT + " --line-width 0", None, "above 0"),
    (IMPORT + " --mask-threshold inf", None, "above 0"),
    (IMPORT + " --layout coins", None, "invalid choice"),
    (IMPORT + " --name ''", None, "an argument is empty"),
    (IMPORT + " --name=", None, "an argument is empty"),
    (IMPORT + " --name a/b", None, "cannot be a data set's name"),
    (IMPORT + " --name ../b", None, "cannot be a data set's name"),
    (IMPORT + " --name josé", None, "cannot be a data set's name"),
    (IMPORT + " --name '[/]'", None, "cannot be a data set's name"),
    (IMPORT + f" --name {LONG}", None, "the name is too long"),
    (IMPORT + " --mask-threshold 0", None, "above 0"),
    (IMPORT + " --mask-threshold nan", None, "above 0"),
    (IMPORT, put("parts/normal/9.jp2"), "is in a format that is not read"),
    (IMPORT, put("parts/9.heic"), "is in a format that is not read"),
    (IMPORT, put("parts/masks/9.jp2"), "is in a format that is not read"),
    (IMPORT, link("parts/normal/9.png", "nowhere"), "parts/normal/9.png is not there, or no plain file"),
    (IMPORT, link("parts/normal/9.png", "/dev/zero"), "parts/normal/9.png is not there, or no plain file"),
    (IMPORT, pipe("parts/normal/9.png"), "parts/normal/9.png is not there, or no plain file"),
    (IMPORT, hole("parts/normal/9.png"), "no plain file of at most 4 GiB"),
    (IMPORT, put("parts/normal/0.png", promising(10**6, 10**6)), "it promises 1000000000000 pixels"),
    (IMPORT, put("d/own/p/own.json", '{"format": 1, "images": [], "files": {"a.png": 3}}'), "a.png is missing"),
    (IMPORT, both(remove("parts/masks"), put("parts/abnormal/0.json", '{"shapes": [3]}')), "a whole labelme file"),
    ("data import l.csv --data-root d", put("l.csv", "image,label\nparts/normal/0.png,ok\n" * 2), "names image"),
    ("data import l.csv --data-root d", put("l.csv", "image,label\n" + "parts/normal/0.png,ok\n" * 2), "twice"),
    (IMPORT, put("d"), "is a file, not a folder"),
    (IMPORT + " --data-root parts", None, "would lie inside the source"),
    (IMPORT, put("d/own/p/x.txt"), "was not made by aupimo data import"),
    (IMPORT, put("d/own/p/own.json", DEEP), "nested too deeply"),
    (IMPORT, put("d/own/p/own.json", "9" * 10_000), "own.json is not a record"),
    (IMPORT, put("d/own/p/own.json", "[]"), "own.json is not a record"),
    (IMPORT, put("d/own/p/own.json", '{"format": 1, "images": 3}'), "own.json is not a record"),
    (IMPORT, put("d/own/p/own.json", '{"format": 1, "images": [{"path": 3}]}'), "own.json is not a record"),
    (IMPORT, put("d/own/p/own.json", b"\xff\xff"), "own.json is not a record"),
    ("data import nowhere", None, "nowhere"),
    (f"data import {LONG}", None, "the name is too long"),
    ("data import parts/normal/0.png", None, "0.png"),
    ("data import parts/normal", None, "parts/normal"),
    ("data import l", loop("l"), "l"),
    (IMPORT, deny("normal"), "parts/normal: permission was denied"),
    (IMPORT, deny("0.png"), "0.png"),
    (IMPORT, remove("parts/masks"), "has no mask"),
    (IMPORT, remove("parts/normal", "parts/normal_test"), "parts"),
    (IMPORT, put("parts/masks/9.png", png(value=255)), "belongs to no image"),
    (IMPORT, put("parts/normal/0.png", "no picture"), "parts/normal/0.png"),
    (IMPORT, put("parts/masks/0.png", png((3, 3), 255)), "3 x 3"),
    (IMPORT, put("parts/masks/0.png", png(value=0)), "marks no pixel"),
    ("data import list.csv --data-root d", put("list.csv", "image,label\n"), "no normal images"),
    ("data import list.csv --data-root d", put("list.csv", "image,label\n\x00,good\n"), "list.csv"),
    ("data import list.csv --data-root d", put("list.csv", f"image,label\n{'a' * 200_000},good\n"), "list.csv"),
    ("data import list.csv --data-root d", put("list.csv", "image,label\n=cmd(),good\n"), "=cmd()"),
    ("data import list.csv --data-root d", put("list.csv", "image,image,label\n"), "two columns of one name"),
    ("data import list.csv --data-root d", put("list.csv", "a,b\n"), "it needs image and label"),
    ("data import list.csv --data-root d", put("list.csv", b"image,label\n\xff\xfe\n"), "not UTF-8"),
    ("data import list.csv --data-root d", put("list.csv", '"' + "a" * 200_000), "list.csv"),
    (CHECK + " --fpr-bounds 1e-320 1e-4", None, "in order and in [1e-15, 1]"),
    (CHECK + " --fpr-bounds 1e-4 1e-5", None, "in order"),
    (CHECK + " --fpr-bounds nan nan", None, "in order"),
    (CHECK + " --fpr-bounds 1e-5 1e400", None, "in order"),
    (CHECK + " --image-size 0 9", None, "must be positive"),
    (CHECK + " --image-size -9 9", None, "must be positive"),
    (CHECK + " --image-size 2.5 9", None, "invalid int value"),
    ("data check nowhere", None, "no folder nowhere"),
    ("data check x/test/cut/0.png", None, "no folder x/test/cut/0.png"),
    (f"data check {LONG}", None, "the name is too long"),
    ("data check l", loop("l"), "no folder l"),
    ("data check .", None, "outside the layout"),
    (CHECK, remove("x/test/good"), "no normal test image"),
    (CHECK, remove("x/train"), "no normal training image"),
    (CHECK, remove("x/test/cut"), "a mask without an image"),
    (CHECK, remove("x/ground_truth"), "Draw the mask"),
    (CHECK, put("x/test/cut/0.png", "no picture"), "x/test/cut/0.png"),
    (CHECK, put("x/ground_truth/cut/0.png", ""), "x/ground_truth/cut/0.png"),
    (CHECK, cut_short("x/train/good/0.png"), "x/train/good/0.png"),
    (CHECK, put("x/test/cut/1.jpg"), "1.jpg"),
    (CHECK, put("x/test/cut/1.jfif"), "holds 1.jfif, which will be ignored"),
    (CHECK, put("x/test/cut/1.jp2"), "holds 1.jp2, which will be ignored"),
    (CHECK, put("x/train/good/0.png", promising(10**6, 10**6)), "it promises 1000000000000 pixels"),
    (CHECK, pipe("x/ground_truth/cut/0.png"), "it is no plain file"),
    (CHECK, link("x/train/good/9.png", "nowhere"), "cannot be read as an image"),
    (CHECK, link("x/train/good/9.png", "/dev/zero"), "it is no plain file"),
    (CHECK, link("x/test/cut", "x/test/good"), "a mask without an image"),
    (CHECK + " --image-size 9", None, "expected 2 arguments"),
    (MAKE + " --seed -1", None, "'-1' is no seed"),
    (MAKE + f" --seed {HUGE}", None, "is no seed"),
    (MAKE + " --from-folder x", None, "and VisA's categories come from a folder"),
    ("data make ''", None, "an argument is empty"),
    ("data make /", None, "SOURCE/CATEGORY"),
    ("data make ../etc/passwd", None, "SOURCE/CATEGORY"),
    ("data make photos/brik --data-root d", None, "Did you mean photos/brick?"),
    ("data make '[bold]/[i]' --data-root d", None, "no data set [bold]/[i]"),
    (f"data make own/{LONG} --data-root d", None, "no data set own/nnn"),
    ("data make own/x --seed 1 --data-root d", None, "leave out the seed"),
    (MAKE, put("d"), "is a file, not a folder"),
    (MAKE, put("d/photos/brick"), "is a file, not a folder"),
    (MAKE, put("d/photos/brick/x"), "it has no folder train/good"),
    (MAKE, record(DEEP), "nested too deeply"),
    (MAKE, record('{"recipe": 1e999}'), "dataset.json is not a record"),
    (MAKE, record('{"recipe": 1, "seed": 0, "files": {"train/good/0.png": 9}}'), "0.png has another size than when"),
    (MAKE, record('{"recipe": 1, "seed": 0, "files": {"train/good/1.png": 0}}'), "1.png is missing"),
    (MAKE, record('{"recipe": 1, "seed": 0, "files": {"train/good/1.png": 0}}'), "0.png was added"),
    (MAKE, record('{"recipe": 1, "seed": 0, "files": 3}'), "dataset.json is not a record"),
    (LEATHER, link("leather/test/cut/9.png", "/dev/zero"), "9.png is no plain file of at most 4 GiB"),
    (LEATHER, pipe("leather/test/cut/9.png"), "9.png is no plain file of at most 4 GiB"),
    (LEATHER, hole("leather/test/cut/9.png"), "9.png is no plain file of at most 4 GiB"),
    (LEATHER, link("leather/test/cut/x", "leather"), "is a link to a folder that it lies in"),
    ("data make visa/candle --data-root d --from-folder x", None, "is not VisA with candle"),
    ("data make mvtec/leather --data-root d --from-folder nowhere", None, "nowhere"),
    ("data make mvtec/leather --data-root d --from-folder x", remove("x/ground_truth"), "x"),
    (RUN + " --seed -1", None, "'-1' is no seed"),
    (RUN + " --only ''", None, "an argument is empty"),
    (RUN + " --only 7", None, "There is no notebook 7"),
    (RUN + " --only ²", None, "There is no notebook ²"),
    (RUN + " --only '[/]'", None, "There is no notebook [/]"),
    (RUN + " --dataset ''", None, "an argument is empty"),
    (RUN + " --dataset own/y", None, "no data set own/y"),
    (RUN + " --dataset own/x --category x", None, "with --data-root alone"),
    (RUN + " --dataset own/josé", renamed("root/own/x", "root/own/josé"), "characters of ASCII"),
    (RUN + " --data-root josé", renamed("root", "josé"), "characters of ASCII"),
    (RUN, remove("root/own/x/ground_truth"), "0.png is an image with a defect"),
    (RUN, remove("root/own/x/test/good"), "test/good holds no normal"),
    (RUN, put("root/own/x/test/cut/0.png", "no picture"), "0.png cannot be read as an image"),
    (RUN, put("root/own/x/own.json", '{"format": 1, "images": [], "files": {"a.png": 3}}'), "a.png is missing"),
    (RUN, put("root/own/x/own.json", "{"), "own.json is not a record"),
    (RUN, pipe("root/own/x/test/cut/0.png"), "it is no plain file"),
    (RUN, link("root/own/x/test/cut/0.png", "/dev/zero"), "it is no plain file"),
    (RUN + " --notebooks nowhere", None, "no course notebooks"),
    (RUN + f" --notebooks {LONG}", None, "the name is too long"),
    (RUN + " --notebooks root", None, "no course notebooks"),
    (RUN, deny("notebooks"), "notebooks: permission was denied"),
    (RUN + " --results notebooks/01_toy.ipynb", None, "Cannot write"),
    (RUN + f" --results {LONG}", None, "the name is too long"),
    (RUN, put("r"), "a file is where a folder must be"),
    (RUN, put("r/book"), "a file is where a folder must be"),
    (RUN, put("r/02_old.ipynb", "{"), "r/02_old.ipynb is not a notebook"),
    (RUN, put("notebooks/01_toy.ipynb", ""), "01_toy.ipynb is not a notebook"),
    (RUN, put("notebooks/01_toy.ipynb", "[]"), "01_toy.ipynb is not a notebook"),
    (RUN, put("notebooks/01_toy.ipynb", "3"), "01_toy.ipynb is not a notebook"),
    (RUN, put("notebooks/01_toy.ipynb", DEEP), "nested too deeply"),
    (RUN, put("notebooks/01_toy.ipynb", b"\xff"), "01_toy.ipynb is not a notebook"),
    (RUN, put("notebooks/01_toy.ipynb", '{"nbformat": 4}'), "01_toy.ipynb is not a notebook"),
    (RUN, put("notebooks/01_toy.ipynb", f'{{"nbformat": {HUGE}}}'), "01_toy.ipynb is not a notebook"),
    (RUN, put("notebooks/01_toy.ipynb", notebook().replace("# 01", "# one")), "needs a line '# NN · Title'"),
    (RUN, put("notebooks/01_toy.ipynb", notebook().replace('"cells": [', '"cells": 3, "x": [')), "not a notebook"),
    (RUN, directory("notebooks/01_toy.ipynb"), "01_toy.ipynb"),
    (RUN, deny("01_toy.ipynb"), "permission was denied"),
    ("run --data-root nowhere --notebooks notebooks", None, "nowhere"),
    ("run --data-root root --category y --notebooks notebooks", None, ""),
    ("refresh --notebooks nowhere", None, "no course notebooks"),
    ("refresh 7 --notebooks notebooks", None, "There is no notebook 7"),
    ("", None, "the following arguments are required: COMMAND"),
    ("bake", None, "invalid choice: 'bake'"),
    ("data", None, "the following arguments are required: COMMAND"),
]
# fmt: on


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """All files with size and time of change; locks stay, so that processes can agree on who builds what."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


@pytest.mark.parametrize(
    ("line", "change", "words"), CASES, ids=[f"{i}: {case[2]}"[:60] for i, case in enumerate(CASES)]
)
def test_it_ends_in_a_sentence(line, change, words, tmp_path, monkeypatch, capsys):
    arguments = shlex.split(line)
    for path, content in sound("leather" if line == LEATHER else (arguments or ["score"])[0]).items():
        put(path, content)(tmp_path, None)
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    if change is not None:
        change(tmp_path, monkeypatch)
        before = before if hasattr(change, "leaves_files") else files(tmp_path)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        code = main(arguments)
    except SystemExit as error:  # wrong usage
        code = error.code
    monkeypatch.undo()
    captured = capsys.readouterr()
    usage = "error: " in captured.err and captured.err.startswith("usage:")
    assert code == (2 if usage else 1), captured
    text = captured.out + captured.err
    assert words in text
    assert "Traceback" not in text
    assert all(len(shown) < 2500 for shown in text.splitlines())
    if not usage and not line.startswith("data check"):
        sentence = captured.err.removeprefix("aupimo: ").strip()
        if " problems\n" not in captured.err:
            assert captured.err.startswith("aupimo: ") and "\n" not in sentence, "not one line"
            assert re.search(r"[.:;] |Expected|needs|must|such as", sentence), "no remedy"
        assert "report it" not in sentence, "nobody foresaw this"
    assert files(tmp_path) == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 500_000  # kB


ODD = (
    "[bold]",
    "$x^{$ y $",
    "<img src=x onerror=alert(1)>",
    "=1+1",
    "@x",
    "n" * 236,
    "josé",
    ":smile:",
    "a b;c",
    "_x",
)


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_a_name(name, tmp_path, monkeypatch, capsys):
    """Markup, formulas, HTML and long names come out of ``score`` and ``compare`` as they went in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "600")
    for path, content in sound("score").items():
        put(path.replace("cut", name), content)(tmp_path, None)
    assert main(shlex.split(SCORE)) == 0
    assert f" {name}/0.npy" in capsys.readouterr().out
    assert load_scores("o.json")["defect"].tolist() == [name, "good", "good"][:: 1 if name < "good" else -1]
    rows = list(csv.reader((tmp_path / "o.csv").read_text().splitlines()))
    formula = "'" if name[0] in "=@" else ""
    assert [f"{formula}{name}/0.npy", f"{formula}{name}"] in [row[:2] for row in rows]
    paths = [f"{name}/{i}.png" for i in range(9)]
    for file in ("a.json", "b.json"):
        put(file, scores(paths=paths, aupimos=RNG.random(9).tolist()))(tmp_path, None)
    assert main(["compare", "a.json", "b.json", "--names", name, "[/]", "-o", f"{name.replace('/', '')}.png"]) == 0
    text = capsys.readouterr().out
    assert f" {name} " in text
    assert " [/] " in text
    assert f"Figure: {name.replace('/', '')}.png" in text
