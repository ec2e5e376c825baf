"""The messages in notebooks/TROUBLESHOOTING.md are those that this package and anomalib give."""

import re
from pathlib import Path

import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.metrics import AUPIMO

from aupimo_helpers import data
from aupimo_helpers.errors import DownloadError
from aupimo_helpers.metrics import aupimo_scores

pytestmark = pytest.mark.slow

TEXT = (Path(__file__).resolve().parents[2] / "notebooks" / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
PLAIN = re.sub(r"\s+", " ", re.sub(r"^> ", "", TEXT, flags=re.MULTILINE)).replace("\\`", "`")
MAPS = torch.rand((4, 400, 400), generator=torch.Generator().manual_seed(0))
MASKS = torch.zeros(MAPS.shape, dtype=torch.bool)
MASKS[2:, 4:12, 4:12] = True
SMALL = torch.zeros((4, 32, 32), dtype=torch.bool)
SMALL[2:] = MASKS[2:, :32, :32]
NAN = MAPS.clone()
NAN[0, 0, 0] = torch.nan


def anomalib(maps, masks, **options):
    metric = AUPIMO(**options)
    metric.update(ImageBatch(image=torch.zeros((len(maps), 3, 8, 8)), anomaly_map=maps, gt_mask=masks))
    metric.compute()


@pytest.mark.parametrize(
    ("maps", "masks", "thresholds", "said"),
    [
        (MAPS.half(), MASKS, 1000, "Invalid `fpr_level` because it's out of the range of `shared_fpr` = ["),
        (
            (3 * MAPS).clamp(0, 1),
            MASKS,
            1000,
            "Invalid `fpr_level` because it's out of the range of `shared_fpr` = [",
        ),
        (
            MAPS,
            MASKS,
            4,
            "The thresholds corresponding to the given `fpr_bounds` are not valid because they matched the",
        ),
        (
            MAPS,
            MASKS,
            100_000,
            "Cannot compute AUPIMO because the shared fpr integration range doesn't have enough points.",
        ),
        (MAPS[2:], MASKS[2:], 1000, "Expected at least one NORMAL image, but found none"),
        (MAPS[:2], MASKS[:2], 1000, "Expected at least one ANOMALOUS image, but found none"),
        (MAPS, SMALL, 1000, "Expected arguments to have the same shape"),
        (torch.ones_like(MAPS), MASKS, 1000, "Invalid threshold bounds computed from the given anomaly maps."),
        (NAN, MASKS, 1000, "Expected thresholds to be strictly increasing, but it is not."),
    ],
)
def test_what_anomalib_says(maps, masks, thresholds, said):
    with pytest.raises((ValueError, RuntimeError), match=re.escape(said)):
        anomalib(maps, masks, num_thresholds=thresholds)
    assert said in PLAIN


@pytest.mark.parametrize(
    ("maps", "masks", "said"),
    [
        ((3 * MAPS).clamp(0, 1), MASKS, "the scores are clipped or too coarse: use the raw, unclipped scores"),
        (
            MAPS[:, :32, :32],
            SMALL,
            "The normal images have 2048 pixels in all, but the lower FPR bound 1e-05 needs at least",
        ),
        (
            MAPS[2:],
            MASKS[2:],
            "Expected at least one normal image (its mask all zero), but all 2 images have anomalous pixels.",
        ),
        (
            MAPS,
            SMALL,
            "Expected anomaly maps and masks to have the same shape, but got (4, 400, 400) and (4, 32, 32).",
        ),
        (
            torch.ones_like(MAPS),
            MASKS,
            "All normal scores are equal (1), so no threshold separates any of the normal pixels.",
        ),
        (MAPS, MASKS.int() * 255, "Expected masks to hold 0 and 1 only, but the mask of image 2 holds 255."),
        (NAN, MASKS, "Expected finite anomaly scores, but the map of image 0 holds nan."),
    ],
)
def test_what_the_exact_metric_says(maps, masks, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        aupimo_scores(maps, masks)
    assert said in PLAIN


def test_without_a_network(tmp_path, monkeypatch):
    def no_network(*_):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("anomalib.data.utils.download_and_extract", no_network)
    with pytest.raises(DownloadError, match="MVTec AD could not be downloaded from"):
        data.make("mvtec/leather", tmp_path)
    assert "MVTec AD could not be downloaded from" in PLAIN


def test_normal_scores_are_nan():
    scores = aupimo_scores(MAPS, MASKS)
    assert scores[:2].isnan().all()
    assert scores.mean().isnan()
    assert not scores.nanmean().isnan()
