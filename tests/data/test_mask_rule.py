"""One rule for all who read masks: import, check, score and plots agree on every kind of file, or refuse it."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from aupimo_helpers.data.images import load_mask, read_mask
from aupimo_helpers.data.own import import_folder
from aupimo_helpers.data.problems import check
from aupimo_helpers.errors import InputError
from aupimo_helpers.scores.maps import score_files

INSIDE = np.zeros((12, 16), dtype=bool)
INSIDE[2:5, 3:7] = True
WHITE = INSIDE.astype(np.uint8) * 255
GREY = WHITE.copy()
GREY[5, 3:7] = 128
RGB = INSIDE[..., None] * np.array([200, 0, 9], dtype=np.uint8)
CLASSES = INSIDE.astype(np.uint8)
CLASSES[2] *= 2
BLACK, RED, GREEN = (0, 0, 0), (200, 0, 0), (0, 200, 0)


def pixels(array, **options):
    return lambda path: Image.fromarray(array).save(path, **options)


def palette(indexes, *colours, **options):
    def save(path):
        image = Image.fromarray(indexes).convert("P")
        image.putpalette([value for colour in colours for value in colour])
        image.save(path, **options)

    return save


def rgba(alpha, colour=RGB):
    return pixels(np.dstack([colour, np.broadcast_to(alpha, INSIDE.shape)]).astype(np.uint8))


def frames(first, second, **options):
    return lambda path: Image.fromarray(first).save(
        path, save_all=True, append_images=[Image.fromarray(second)], **options
    )


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    Image.fromarray(WHITE).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def tiff(array, **options):
    return lambda path: tifffile.imwrite(path, array, **options)


def one_bit_white_is_zero(path):
    tifffile.imwrite(path, ~INSIDE, photometric="miniswhite")


NAN = INSIDE.astype(np.float32)
NAN_INSIDE = np.where(INSIDE, np.nan, 0).astype(np.float32)
NAN[0, 0] = np.nan

# What is written, and what is said of it; an empty text: it is read as the mask above.
RULE = {
    "grey 0 and 255.png": (pixels(WHITE), ""),
    "grey 0 and 1.png": (pixels(INSIDE.astype(np.uint8)), ""),
    "grey 0 and 255.bmp": (pixels(WHITE), ""),
    "grey 0 and 255.gif": (pixels(WHITE), ""),
    "grey 0 and 255.webp": (pixels(WHITE, lossless=True), ""),
    "one bit.png": (pixels(INSIDE), ""),
    "16 bits, 0 and 1.png": (pixels(INSIDE.astype(np.uint16)), ""),
    "16 bits, 0 and 65535.tif": (pixels(INSIDE.astype(np.uint16) * 65535), ""),
    "red on black.png": (pixels(RGB), ""),
    "dark blue on black.png": (pixels(INSIDE[..., None] * np.array([0, 0, 1], dtype=np.uint8)), ""),
    "opaque.png": (rgba(255), ""),
    "palette, red on black.png": (palette(CLASSES, BLACK, RED, RED), ""),
    "palette, two classes.png": (palette(CLASSES, BLACK, RED, GREEN), ""),
    "palette, index 0 is the defect.png": (palette((~INSIDE).astype(np.uint8), (255, 255, 255), BLACK), ""),
    "palette, its unused colours are black.png": (palette(CLASSES, BLACK, RED, GREEN, *[BLACK] * 253), ""),
    "turned.png": (turned, ""),
    "turned.tif": (turned, "is a TIFF that is stored turned"),
    "float 0 and 1.tif": (tiff(INSIDE.astype(np.float32)), ""),
    "white is zero, 8 bits.tif": (tiff(255 - WHITE, photometric="miniswhite"), ""),
    "white is zero, one bit.tif": (one_bit_white_is_zero, ""),
    "grey 0, 128 and 255.png": (pixels(GREY), "has 3 different values (0, 128, 255 ...), and a mask has two"),
    "16 bits, smooth.png": (pixels(GREY.astype(np.uint16) * 257), "has 3 different values (0, 32896, 65535 ...)"),
    "two colours.png": (pixels(RGB + GREY[..., None] // 2), "has 3 different values (#000000, "),
    "palette of greys.png": (palette(CLASSES, BLACK, (128, 128, 128), (255, 255, 255)), "has 3 different values"),
    "smooth.jpg": (pixels(GREY), "different values"),
    "half transparent.png": (rgba(128), "has transparent pixels, so it may be drawn in the colours or in the alpha"),
    "drawn in the alpha channel.png": (rgba(WHITE, np.zeros_like(RGB)), "has transparent pixels"),
    "drawn in the alpha channel, grey.png": (pixels(np.dstack([WHITE * 0, WHITE])), "has transparent pixels"),
    "transparent colour.png": (pixels(WHITE, transparency=0), "has transparent pixels"),
    "transparent palette.png": (
        palette(CLASSES, [0, 0, 0, 9, 0, 0, 0, 9, 0], transparency=0),
        "has transparent pixel",
    ),
    "palette of two blacks.png": (
        palette(CLASSES // 2 + INSIDE, [0] * 6 + [9, 0, 0]),
        "2 indexes of its palette that",
    ),
    "palette without black.png": (palette(CLASSES, RED, GREEN, (9, 9, 9)), "3 colours, none of them black"),
    "empty first frame.png": (frames(WHITE * 0, WHITE), "holds 2 frames or pages"),
    "empty first frame.gif": (frames(WHITE * 0, WHITE), "holds 2 frames or pages"),
    "empty first frame.webp": (frames(WHITE * 0, WHITE, lossless=True), "holds 2 frames or pages"),
    "empty first page.tif": (frames(WHITE * 0, WHITE), "holds 2 frames or pages"),
    "white is zero, 16 bits.tif": (
        tiff(~(INSIDE * np.uint16(65535)), photometric="miniswhite"),
        "is a TIFF in which white is zero",
    ),
    "NaN beside the defect.tif": (tiff(NAN), "holds values that are no numbers"),
    "NaN on the defect.tif": (tiff(NAN_INSIDE), "holds values that are no numbers"),
    "16 bits per colour.tif": (
        tiff((INSIDE[..., None] * np.array([1, 1, 1])).astype(np.uint16), photometric="rgb"),
        "has 16 bits for each colour",
    ),
    "colours of a printer.tif": (lambda path: Image.new("CMYK", (16, 12)).save(path), "has the colour mode CMYK"),
    "broken.png": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "cannot be read as a mask"),
}


@pytest.fixture(params=RULE, ids=RULE.keys())
def case(request, tmp_path):
    write, refusal = RULE[request.param]
    path = tmp_path / f"mask{Path(request.param).suffix}"
    write(path)
    return path, refusal


def accepted(refusal, read):
    """Run a reader: its result, or None if it refused as it must."""
    if not refusal:
        return read()
    with pytest.raises(InputError, match=re.escape(refusal)):
        read()
    return None


def test_the_strict_reader(case):
    path, refusal = case
    mask = accepted(refusal, lambda: read_mask(path))
    if mask is not None:
        np.testing.assert_array_equal(mask, INSIDE)


def test_plots_show_what_is_accepted(case):
    path, refusal = case
    if not refusal:
        np.testing.assert_array_equal(load_mask(path), INSIDE)
    elif "broken" not in path.name and path.stat().st_size > 8:
        assert sorted(load_mask(path).shape) == [12, 16]


def test_import(case, folders, tmp_path):
    path, refusal = case
    (folders / "masks" / "IMG_10.png").unlink()
    path.rename(folders / "masks" / f"IMG_10{path.suffix}")
    folder = accepted(refusal, lambda: import_folder(folders, "parts", tmp_path))
    if folder is not None:
        with Image.open(folder / "ground_truth" / "abnormal" / "IMG_10.png") as image:
            np.testing.assert_array_equal(np.asarray(image), WHITE)


def test_score(case, tmp_path):
    path, refusal = case
    rng = np.random.default_rng(0)
    for number in range(4):
        (tmp_path / "maps").mkdir(exist_ok=True)
        np.save(tmp_path / "maps" / f"{number}.npy", rng.normal(size=INSIDE.shape) + 0.5 * (INSIDE & (number == 0)))
    scores = []
    for name, write in (("plain", lambda target: pixels(WHITE)(target.with_suffix(".png"))), ("case", path.rename)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / f"0{path.suffix}")
        scores.append(
            accepted(
                refusal if name == "case" else "",
                lambda name=name: score_files(
                    tmp_path / "maps", tmp_path / name, (0.01, 0.9), missing_mask_is_normal=True
                ),
            )
        )
    if scores[1] is not None:
        np.testing.assert_array_equal(scores[0].aupimos, scores[1].aupimos)
        assert 0 < scores[0].aupimos[0] < 1


def test_check(case, mvtec):
    path, refusal = case
    if path.suffix != ".png":
        pytest.skip("anomalib reads PNG only")
    target = mvtec / "ground_truth" / "Loose Thread" / "000_mask.png"
    path.replace(target)
    problems = check(mvtec, fpr_bounds=(0.01, 0.1), image_size=(12, 16))
    if refusal:
        (problem,) = problems
        assert problem.file == target
        assert refusal in problem.what
    else:
        # What anomalib sees is decided by anomalib's own reader.
        from anomalib.data.utils import read_mask as read_as_anomalib

        seen = read_as_anomalib(target) > 0
        misread = seen.shape != INSIDE.shape or (seen != INSIDE).any()
        assert [problem.file for problem in problems] == [target] * int(misread)
        assert all("anomalib reads it as it is stored" in problem.what for problem in problems)
