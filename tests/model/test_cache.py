import json
import logging
import multiprocessing
import time

import pytest
import torch
from safetensors.torch import save_file

from aupimo_helpers.errors import MissingError, WriteError
from aupimo_helpers.model import cache

KEY = {"data": "abc", "versions": {"torch": "2"}, "size": (2, 3)}


def build():
    return {"x": torch.arange(6.0).reshape(2, 3), "seen": torch.tensor([True, False])}, {"paths": ["a", "b"]}


def refuse():
    raise AssertionError("must not be built again")


def is_built_anew(name, key=KEY):
    """Whether asking again calls the builder; what it gives must be right either way."""
    calls = []

    def counting():
        calls.append(1)
        return build()

    tensors, extra = cache.load_or_build(name, key, counting)
    assert torch.equal(tensors["x"], build()[0]["x"])
    assert torch.equal(tensors["seen"], build()[0]["seen"])
    assert extra == {"paths": ["a", "b"]}
    return bool(calls)


@pytest.fixture
def name(tmp_path):
    cache.load_or_build(tmp_path / "sub" / "entry", KEY, build)
    return tmp_path / "sub" / "entry"


def test_an_entry_is_used_again(name):
    assert not is_built_anew(name)


@pytest.mark.parametrize(
    "key",
    [KEY | {"data": "abd"}, KEY | {"versions": {"torch": "3"}}, KEY | {"more": 1}, {"data": "abc"}],
)
def test_a_stale_entry_is_noticed_and_replaced(name, key, caplog):
    with caplog.at_level(logging.INFO):
        assert is_built_anew(name, key)
    assert "stale" in caplog.text
    assert not is_built_anew(name, key)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".safetensors", truncate),
        (".safetensors", flip_a_byte),
        (".safetensors", lambda file: file.write_bytes(b"")),
        (".safetensors", lambda file: file.unlink()),
        (".json", truncate),
        (".json", lambda file: file.write_text("{}")),
        (".json", lambda file: file.write_text("[]")),
        (".json", lambda file: file.write_bytes(b"\xff\xfe")),
        (".json", lambda file: file.unlink()),
    ],
)
def test_a_damaged_entry_is_built_anew(name, suffix, damage):
    damage(name.with_name(name.name + suffix))
    assert is_built_anew(name)
    assert not is_built_anew(name)


def change(name, **parts):
    file = name.with_name(name.name + ".json")
    file.write_text(json.dumps(json.loads(file.read_text()) | parts))


@pytest.mark.parametrize("paths", [["b", "a"], ["a"], ["a", "c"], ["a", "b", "b"], "ab"])
def test_paths_that_were_changed_are_noticed(name, paths):
    change(name, extra={"paths": paths})
    assert is_built_anew(name)


def test_a_key_that_was_changed_to_the_wanted_one_is_noticed(name):
    wanted = KEY | {"data": "new"}
    change(name, key=wanted | {"size": [2, 3]})
    assert is_built_anew(name, wanted)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_no_flipped_bit_gives_anything_else(name, suffix):
    file = name.with_name(name.name + suffix)
    content = file.read_bytes()
    for i in range(len(content)):
        file.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 7]) + content[i + 1 :])
        is_built_anew(name)


def test_others_may_read_an_entry(name):
    for suffix in (".json", ".safetensors"):
        assert name.with_name(name.name + suffix).stat().st_mode & 0o444 == 0o444


def test_tensors_that_changed_places_are_noticed(tmp_path):
    name = tmp_path / "entry"
    tensors = {"x": torch.zeros(3), "y": torch.ones(3)}
    cache.load_or_build(name, KEY, lambda: (tensors, {}))
    save_file({"x": tensors["y"], "y": tensors["x"]}, f"{name}.safetensors")
    assert torch.equal(cache.load_or_build(name, KEY, lambda: (tensors, {}))[0]["x"], torch.zeros(3))


def test_what_is_done_to_loaded_tensors_stays_out_of_the_file(name):
    cache.load_or_build(name, KEY, refuse)[0]["x"].fill_(7)
    assert not is_built_anew(name)


def test_a_builder_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(AssertionError, match="must not"):
        cache.load_or_build(tmp_path / "entry", KEY, refuse)
    assert [path.name for path in tmp_path.iterdir()] in ([], [".entry.lock"])
    assert is_built_anew(tmp_path / "entry")


def test_a_builder_that_fails_leaves_the_old_entry(name):
    with pytest.raises(AssertionError, match="must not"):
        cache.load_or_build(name, KEY | {"data": "new"}, refuse)
    assert not is_built_anew(name)


def slow_build(log):
    with log.open("a") as file:
        file.write("built\n")
    time.sleep(1)
    return build()


def ask(name, log, start):
    start.wait()
    cache.load_or_build(name, KEY, lambda: slow_build(log))


def test_processes_that_ask_at_once_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    log, start = tmp_path / "log", context.Event()
    processes = [context.Process(target=ask, args=(tmp_path / "entry", log, start)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert log.read_text() == "built\n"


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(WriteError, match=r"Cannot write .*results.*a file is where a folder must be"):
        cache.load_or_build(tmp_path / "results" / "cache" / "entry", KEY, build)


def test_the_fingerprint_sees_names_and_bytes(tmp_path):
    for folder in ("train", "test", "other"):
        (tmp_path / folder).mkdir()
    image = tmp_path / "train" / "a.png"
    image.write_bytes(b"pixels")
    first = cache.fingerprint(tmp_path)
    (tmp_path / "other" / "notes.txt").write_text("not data")
    assert cache.fingerprint(tmp_path) == first
    image.write_bytes(b"Pixels")
    second = cache.fingerprint(tmp_path)
    image.write_bytes(b"pixels")
    image.rename(tmp_path / "test" / "a.png")
    third = cache.fingerprint(tmp_path)
    assert len({first, second, third}) == 3


def test_a_folder_without_images_has_no_fingerprint(tmp_path):
    with pytest.raises(MissingError, match="No images in"):
        cache.fingerprint(tmp_path)
