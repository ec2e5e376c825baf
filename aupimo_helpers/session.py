"""A notebook's session: what the libraries need not say, and the versions it ran with."""

import logging
import platform
import re
import warnings
from importlib.metadata import version

PACKAGES = (
    *("aupimo-helpers", "anomalib", "torch", "torchvision", "torchmetrics"),
    *("numpy", "scipy", "pandas", "matplotlib"),
)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Look up installed versions, Python first, without importing the packages."""
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def print_versions() -> None:
    """Print Python's and the course's main packages' versions on two lines, which fit a page."""
    named = [f"{name} {number}" for name, number in versions().items()]
    print(", ".join(named[:5]), ", ".join(named[5:]), sep=",\n")


# What the libraries say during a normal run of the course and a reader can do nothing about.
_WARNINGS = (
    r"Importing from timm\.models\.layers is deprecated",
    r"The anomalib\.models\.components\.dinov2 package is deprecated",
    r".*`LightningModule\.configure_optimizers` returned `None`",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",
    r".*Found \d+ module\(s\) in eval mode at the start of training",
    r".*The '\w+_dataloader' does not have many workers",
    r".*The number of training batches \(\d+\) is smaller than the logging interval",
    r".*Metric `\w+` will save all targets and predictions in (the )?buffer",
    r"TypedStorage is deprecated",
    r"IProgress not found",
)
_LOG_LINES = re.compile(
    r"Seed set to|GPU available|TPU available|HPU available|IPU available|💡 Tip|`Trainer\.\w+` stopped"
    r"|`Trainer\(val_check_interval=1\.0\)` was configured|ckpt_path is not provided"
    r"|The following callbacks returned in `LightningModule\.configure_callbacks`"
    r"|Metric `\w+` will save all targets and predictions in"
)
# Lightning is published under several names, and which of them its lines carry depends on what was imported first.
_LOGGERS = (
    *("lightning_utilities.core.rank_zero", "lightning_fabric.utilities.rank_zero"),
    *("lightning.fabric.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero"),
    *("pytorch_lightning.utilities.rank_zero", "lightning.fabric.utilities.seed"),
    "lightning.pytorch.trainer.connectors.callback_connector",
    *("anomalib.engine.engine", "anomalib.metrics.pimo.pimo"),
)


def _is_wanted(record: logging.LogRecord) -> bool:
    return not _LOG_LINES.match(record.getMessage())


def quiet() -> None:
    """Silence the log lines and warnings that anomalib, Lightning and timm emit in every normal run.

    Only known lines are silenced, each by its text; whatever else the libraries have to say still comes through.
    Call it before anomalib is imported, because some of the lines come from its imports.

    Example:
        >>> quiet()
        >>> logging.getLogger("anomalib.engine.engine").warning("ckpt_path is not provided.")
    """
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in _LOGGERS:
        if _is_wanted not in logging.getLogger(name).filters:
            logging.getLogger(name).addFilter(_is_wanted)
