"""Shapes drawn in labelme, as masks."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.labelme import draw_mask, read_labelme
from aupimo_helpers.errors import InputError


@pytest.fixture
def drawn(draw, tmp_path):
    """Write an annotation of shapes and fill it."""

    def fill(shapes, size=(20, 30), **options):
        draw.labelme(tmp_path / "a.json", size=size, shapes=shapes)
        return draw_mask(read_labelme(tmp_path / "a.json"), **options)

    return fill


def test_a_rectangle_and_its_polygon_cover_the_same_pixels(drawn):
    wanted = np.zeros((20, 30), dtype=bool)
    wanted[4:12, 5:25] = True
    rectangle = [{"label": "x", "shape_type": "rectangle", "points": [[25, 12], [5, 4]]}]
    corners = [{"label": "x", "shape_type": "polygon", "points": [[5, 4], [25, 4], [25, 12], [5, 12]]}]
    np.testing.assert_array_equal(drawn(rectangle), wanted)
    np.testing.assert_array_equal(drawn(corners), wanted)


def test_the_area_of_polygons_and_circles_is_right_on_average(drawn):
    """Against the shoelace formula and pi r^2, over many random shapes."""
    rng = np.random.default_rng(1)
    ratios, circles = [], []
    for _ in range(200):
        points = rng.uniform(5, 95, (3, 2))
        (ax, ay), (bx, by), (cx, cy) = points
        area = abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2
        if area > 100:
            shape = [{"label": "x", "shape_type": "polygon", "points": points.tolist()}]
            ratios.append(drawn(shape, size=(100, 100)).sum() / area)
        centre, radius = rng.uniform(30, 70, 2), rng.uniform(2, 20)
        shape = [{"label": "x", "shape_type": "circle", "points": [centre.tolist(), [centre[0] + radius, centre[1]]]}]
        circles.append(drawn(shape, size=(100, 100)).sum() / (np.pi * radius**2))
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)
    assert np.mean(circles) == pytest.approx(1, abs=0.01)


def test_shapes_outside_the_image_are_cut_off(drawn):
    mask = drawn([{"label": "x", "shape_type": "rectangle", "points": [[-5, -5], [3, 2]]}])
    assert mask.sum() == 6
    with pytest.raises(InputError, match=r"shape 1 \(x, rectangle\) covers no pixel of the 30 x 20 image"):
        drawn([{"label": "x", "shape_type": "rectangle", "points": [[-5, -5], [-3, -2]]}])


def test_lines_need_a_width(drawn):
    line = [{"label": "x", "shape_type": "linestrip", "points": [[2.5, 10.5], [20.5, 10.5]]}]
    with pytest.raises(InputError, match=r"is a line, which has no area.*line width"):
        drawn(line)
    mask = drawn(line, line_width=3)
    assert mask[9:12, 3:20].all()
    assert not mask[:8].any()
    assert not mask[13:].any()


def test_labelme_masks_are_pasted(drawn):
    piece = np.array([[0, 255], [255, 255]], dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(piece).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    shape = {"label": "x", "shape_type": "mask", "points": [[4, 3], [5, 4]], "mask": text}
    mask = drawn([shape])
    assert set(zip(*np.nonzero(mask), strict=True)) == {(3, 5), (4, 4), (4, 5)}
    with pytest.raises(InputError, match="holds no readable mask"):
        drawn([{**shape, "mask": "AAAA"}])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "point", "points": [[3, 3]]}, "has no area"),
        ({"shape_type": "polygon", "points": [[3, 3], [4, 4]]}, "has 2 points and needs 3"),
        ({"shape_type": "polygon", "points": [[3.6, 3.6], [3.7, 3.6], [3.7, 3.7]]}, "covers no pixel"),
    ],
)
def test_shapes_without_area_are_refused(drawn, shape, message):
    with pytest.raises(InputError, match=message):
        drawn([{"label": "x", **shape}])


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
