"""A notebook's session: what the libraries need not say, and the versions it ran with."""

import logging
import platform
import re
import textwrap
import warnings
from importlib.metadata import version
from typing import Any

PACKAGES = (
    *("aupimo-helpers", "anomalib", "torch", "torchvision", "torchmetrics"),
    *("numpy", "scipy", "pandas", "matplotlib"),
)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Look up installed versions, Python first, without importing the packages."""
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def print_versions() -> None:
    """Print Python's and the course's main packages' versions, in lines that no page has to break."""
    line = ", ".join(f"{name}\xa0{number}" for name, number in versions().items())
    print(textwrap.fill(line, 79, break_on_hyphens=False).replace("\xa0", " "))


def alt_text(figure: Any) -> str:  # noqa: ANN401
    """Say in words what a matplotlib figure shows: its title, and the title, axes and legend of each panel."""
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    said = [figure.get_suptitle()]
    for axes in panels:
        title = next(filter(None, map(axes.get_title, ("left", "center", "right"))), "")
        sides = " against ".join(filter(None, (axes.get_ylabel(), axes.get_xlabel())))
        legend = axes.get_legend()
        names = ", ".join(text.get_text() for text in legend.get_texts()) if legend else ""
        said.append("; ".join(filter(None, (title, sides, names))))
    text = ". ".join(" ".join(part.split()) for part in dict.fromkeys(said) if part)
    return text or f"Figure of {len(panels)} panels without a title"


def load_ipython_extension(shell: Any) -> None:  # noqa: ANN401
    """Let a kernel give every figure that it shows its alternative text, whatever draws it."""

    def named(figure: Any) -> tuple[dict[str, str], dict[str, Any]]:  # noqa: ANN401
        return {}, {"image/png": {"alt": alt_text(figure)}}

    shell.display_formatter.mimebundle_formatter.for_type_by_name("matplotlib.figure", "Figure", named)


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
