"""The exact AUPIMO: functions on tensors and arrays (no anomalib import) and the torchmetrics class over them.

The class, ``AUPIMO``, needs anomalib and is therefore in ``aupimo_helpers.metrics.metric``, and on first use
``aupimo_helpers.AUPIMO``.
"""

from aupimo_helpers.metrics.curves import PIMOCurves, pimo_curves, recall_at_fpr, threshold_at_fpr
from aupimo_helpers.metrics.exact import aupimo_scores, no_skill_score
from aupimo_helpers.metrics.reweight import reweighted_scores

__all__ = [
    "PIMOCurves",
    "aupimo_scores",
    "no_skill_score",
    "pimo_curves",
    "recall_at_fpr",
    "reweighted_scores",
    "threshold_at_fpr",
]
