"""Tables of image paths."""

import pytest

from aupimo_helpers.data.own import import_folder
from aupimo_helpers.errors import InputError


def test_csv_with_semicolons_and_windows_paths(draw, tmp_path):
    source = tmp_path / "shots"
    for name in ("a/1.png", "a/2.png", "a/3.png", "b/4.png"):
        draw.picture(source / name)
    draw.mask(source / "b" / "4m.png")
    table = source / "parts.csv"
    table.write_text(
        "\ufeffImage;Label;Split;Mask\na\\1.png;OK;train;\na/2.png;good;test;\n\na/3.png;ok;;\nb/4.png;Dent;;b/4m.png\n"
    )
    folder = import_folder(table, data_root=tmp_path)
    assert folder.name == "parts"
    assert draw.listing(folder)[:2] == ["ground_truth/dent/4.png", "test/dent/4.png"]
    assert (folder / "train/good/1.png").is_file()
    assert (folder / "test/good/2.png").is_file()
    # The folder with the table in it is the same source.
    again = import_folder(source, "by_folder", tmp_path)
    assert draw.listing(again) == draw.listing(folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("picture,label\n1.png,good\n", "it needs image and label"),
        ("image,split\n1.png,train\n", "it needs image and label"),
        ("image,label\n1.png,\n", r"line 2 has no label"),
        ("image,label,split\n1.png,good,val\n", r"line 2 has the split 'val'"),
        ("image,label,split\n1.png,dent,train\n", r"line 2 puts an image with a defect \(dent\) into train"),
        ("image,label\n1.png,good\n,good\n", r"line 3 names no image"),
    ],
)
def test_bad_tables_name_the_line(draw, tmp_path, table, message):
    draw.picture(tmp_path / "1.png")
    (tmp_path / "t.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        import_folder(tmp_path / "t.csv", data_root=tmp_path / "datasets")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("1.png,good,\n2.png,good,\n3.png,dent,m.png\n1.png,dent,m2.png\n", r"1\.png is listed twice"),
        ("1.png,good,\n2.png,good,\n3.png,dent,m.png\n3.png,dent,m.png\n", r"3\.png is listed twice"),
        (
            "1.png,good,\n2.png,good,\n3.png,dent,m.png\n4.png,cut,m.png\n",
            r"m\.png is given as the mask of .*3\.png and of .*4\.png",
        ),
    ],
)
def test_an_image_or_a_mask_that_is_listed_twice(draw, tmp_path, table, message):
    for name in ("1.png", "2.png", "3.png", "4.png"):
        draw.picture(tmp_path / name)
    for name in ("m.png", "m2.png"):
        draw.mask(tmp_path / name)
    (tmp_path / "t.csv").write_text("image,label,mask\n" + table)
    with pytest.raises(InputError, match=message):
        import_folder(tmp_path / "t.csv", data_root=tmp_path / "datasets")


def test_a_table_that_names_a_missing_file(tmp_path):
    (tmp_path / "t.csv").write_text("image,label\ngone.png,good\n")
    with pytest.raises(InputError, match=r"line 2 names gone\.png, which does not exist"):
        import_folder(tmp_path / "t.csv", data_root=tmp_path / "datasets")
    (tmp_path / "t.csv").write_bytes("image,label\nK\xfcbel.png,good\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        import_folder(tmp_path / "t.csv", data_root=tmp_path / "datasets")
