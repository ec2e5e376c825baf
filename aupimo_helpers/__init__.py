"""Helpers for the AUPIMO course: data, model, exact metric, statistics and plots.

The names below are imported when they are first used, because ``AUPIMO`` needs anomalib, which takes 5 to 10 s
to import, and the functions ``aupimo_scores`` and ``pimo_curves`` do not.

Example:
    >>> import aupimo_helpers
    >>> aupimo_helpers.__version__
    '1.0.0'
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aupimo_helpers.metrics import aupimo_scores, pimo_curves
    from aupimo_helpers.metrics.metric import AUPIMO

__version__ = version("aupimo-helpers")

_LAZY = {
    "AUPIMO": "aupimo_helpers.metrics.metric",
    "aupimo_scores": "aupimo_helpers.metrics",
    "pimo_curves": "aupimo_helpers.metrics",
}

__all__ = ["AUPIMO", "__version__", "aupimo_scores", "pimo_curves"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _LAZY:
        raise AttributeError(f"module 'aupimo_helpers' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
