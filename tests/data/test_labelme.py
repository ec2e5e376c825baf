"""labelme's files."""

import pytest

from aupimo_helpers.data.labelme import read_labelme
from aupimo_helpers.errors import InputError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a labelme file"),
        ('{"images": [], "annotations": []}', "not a labelme file"),
        ('{"shapes": [], "imageWidth": 3}', "not a whole labelme file"),
        ('{"shapes": [{"label": "x"}], "imageWidth": 3, "imageHeight": 3}', "not a whole labelme file"),
        ('{"shapes": [{"label": "x", "points": [["a", 1]]}], "imageWidth": 3, "imageHeight": 3}', "not a whole"),
    ],
)
def test_other_json_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=rf"a\.json is {message}"):
        read_labelme(tmp_path / "a.json")
