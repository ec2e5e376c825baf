"""Shapes that people draw, as masks."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.labelme import read_labelme
from aupimo_helpers.data.shapes import Annotation, _crosses_itself, _decode, draw_mask
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


def crosses_by_definition(points):
    """Two edges, each with its ends on different sides of the other."""

    def side(a, b, c):
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    edges = list(zip(points, np.roll(points, -1, axis=0), strict=True))
    return any(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for i, (a, b) in enumerate(edges)
        for c, d in edges[i + 1 :]
    )


def test_polygons_that_cross_themselves_are_found():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        shape = (rng.integers(3, 12), 2)
        points = rng.uniform(0, 9, shape) if rng.random() < 0.5 else rng.integers(0, 5, shape).astype(float)
        crosses = _crosses_itself(points)
        assert crosses == crosses_by_definition(points), points
        found += crosses
    assert 50 < found < 250
    angles = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert not _crosses_itself(circle)
    assert _crosses_itself(np.concatenate([circle[:2500], circle[:2499:-1]]))
    assert _crosses_itself(circle[np.r_[:4000, 4001, 4000, 4002:5000]])


def test_a_polygon_that_crosses_itself_is_refused_and_one_that_touches_itself_not(drawn):
    bow_tie = [{"label": "x", "shape_type": "polygon", "points": [[2, 2], [10, 10], [10, 2], [2, 10]]}]
    with pytest.raises(InputError, match=r"shape 1 \(x, polygon\) crosses itself"):
        drawn(bow_tie)
    touching = [[2, 2], [6, 6], [10, 2], [10, 10], [6, 6], [2, 10]]
    assert drawn([{"label": "x", "shape_type": "polygon", "points": touching}]).any()


# Written by pycocotools 2.0.11: masks of height 5 and width 7.
RUNS = {
    "S1": "00000 00000 00000 00000 00000 00000 00000",
    "0S1": "11111 11111 11111 11111 11111 11111 11111",
    "611012c0": "00000 01010 01110 00000 00000 00000 00000",
}


@pytest.mark.parametrize(("text", "columns"), RUNS.items())
def test_run_lengths_are_decoded_as_pycocotools_does(text, columns):
    wanted = np.array([[int(pixel) for pixel in column] for column in columns.split()], dtype=bool).T
    np.testing.assert_array_equal(_decode((5, 7), text, Path("a.json")), wanted)


def test_several_bad_shapes_are_all_named(drawn):
    shapes = [{"label": "x", "shape_type": kind, "points": [[3, 3], [4, 4]]} for kind in ("point", "polygon")]
    with pytest.raises(InputError) as caught:
        drawn(shapes)
    assert "shape 1 (x, point) has no area" in str(caught.value)
    assert "shape 2 (x, polygon) has 2 points" in str(caught.value)


def test_an_annotation_without_shapes_is_an_empty_mask():
    assert not draw_mask(Annotation(Path("a.json"), (4, 6), ())).any()
