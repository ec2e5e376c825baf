"""The course's model: PaDiM from anomalib, its ImageNet weights, its predictions, and a cache that keeps them."""

from aupimo_helpers.model.padim import (
    PadimSettings,
    Predictions,
    fitted_padim,
    keep,
    kept_predictions,
    make_engine,
    make_padim,
    predict,
)
from aupimo_helpers.model.weights import load_imagenet_weights, make_pre_processor

__all__ = [
    "PadimSettings",
    "Predictions",
    "fitted_padim",
    "keep",
    "kept_predictions",
    "load_imagenet_weights",
    "make_engine",
    "make_padim",
    "make_pre_processor",
    "predict",
]
