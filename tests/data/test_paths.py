import os

import pytest

from aupimo_helpers.data.paths import defect_types, relative_path
from aupimo_helpers.errors import InputError


def test_a_defect_is_its_folder_and_an_image_with_an_empty_mask_is_normal():
    paths = ["a/test/cut/0.png", "a/test/good/0.png", "a/test/cut/1.png", "0.png"]
    assert defect_types(paths, [True, False, False, True]) == ["cut", "good", "good", "anomalous"]


def test_a_path_begins_below_the_data_root(tmp_path):
    assert relative_path(tmp_path / "own" / "a" / "0.png", tmp_path) == "own/a/0.png"
    assert relative_path("own/a/0.png", tmp_path) == "own/a/0.png"


@pytest.mark.parametrize("linked", ["", "own", "own/a"])
@pytest.mark.parametrize("resolved", [False, True])
def test_links_to_another_disk_are_followed(tmp_path, linked, resolved):
    """anomalib gives paths in which all links are resolved."""
    (tmp_path / "disk" / "there").mkdir(parents=True)
    root = tmp_path / "datasets"
    (root / linked).parent.mkdir(parents=True, exist_ok=True)
    (root / linked).symlink_to(tmp_path / "disk" / "there")
    (root / "own" / "a").mkdir(parents=True, exist_ok=True)
    path = root / "own" / "a" / "test" / "0.png"
    assert relative_path(path.resolve() if resolved else path, root) == "own/a/test/0.png"


def test_an_image_outside_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert relative_path(os.path.join("a", "0.png"), "a") == "0.png"  # noqa: PTH118
    with pytest.raises(InputError, match=r"0\.png is not below the data root"):
        relative_path(tmp_path / "0.png", tmp_path / "b")
