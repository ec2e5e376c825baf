"""Colours and matplotlib defaults, the same through the whole course."""

import re
from collections.abc import Callable, Iterable
from textwrap import fill
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.scale import LogScale, SymmetricalLogScale, register_scale
from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation

# Okabe and Ito's palette: eight colours that people with any common colour-vision deficiency can tell apart
# (https://jfly.uni-koeln.de/color/). Black and grey are kept for normal images and reference lines.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
NORMAL_COLOR = "#7F7F7F"
ZONE_COLOR = "#56B4E9"
MASK_COLOR = "#00E5FF"
HEATMAP = "inferno"

# The fraction of 1 as a percentage: `ax.xaxis.set_major_formatter(PERCENT)`.
PERCENT = FuncFormatter(lambda share, _: f"{round(100 * share, 6) + 0.0:g} %")


def percent(digits: int = 0) -> Callable[[float], str]:
    """Give the format of a table's column of fractions of 1: percentages with so many digits behind the point.

    Example:
        >>> percent(1)(0.256)
        '25.6 %'
    """
    return lambda share: f"{100 * share:.{digits}f} %"


def wrap(name: str, width: int = 20) -> str:
    """Break a name that is too long for a title or a legend into lines, after underscores where it has any.

    Matplotlib leaves a label that begins with an underscore out of legends: it gets a space of no width before it.

    Example:
        >>> print(wrap("long_name_of_a_kind_of_defect"))
        long_name_of_a_
        kind_of_defect
    """
    hidden = "\u200b" if name.startswith("_") else ""
    return hidden + fill(name.replace("_", "_ "), width).replace("_ ", "_")


def superscript(number: str) -> str:
    """Raise an integer: ``-5`` becomes ``⁻⁵``."""
    return number.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


class _PlainPowers(LogFormatterSciNotation):
    """Matplotlib's labels of logarithmic axes, written without mathtext."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos).replace(r"$\mathdefault{", "").replace("}$", "").replace(r"\times", "×")
        return re.sub(r"\^\{(.+?)\}", lambda found: superscript(found[1]), text).replace("-", "−")


def _plain(scale: type) -> type:
    """Give matplotlib's logarithmic scale with labels that are no formulas."""

    class Plain(scale):
        def __init__(self, *given: Any, **options: Any) -> None:  # noqa: ANN401
            super().__init__(*given, **options)  # matplotlib hands an axis over or not, as its version is

        def set_default_locators_and_formatters(self, axis: Axis) -> None:
            super().set_default_locators_and_formatters(axis)
            axis.set_major_formatter(_PlainPowers(self.base))
            if isinstance(axis.get_minor_formatter(), LogFormatterSciNotation):
                axis.set_minor_formatter(_PlainPowers(self.base, labelOnlyBase=self.subs is not None))

    return Plain


def use_style() -> None:
    """Set the course's matplotlib defaults: 100 dpi, thin grid, no frame at top and right, compact images.

    Text is shown as it is, dollar signs too: it holds names of files and folders, which are no formulas.

    Example:
        >>> use_style()
    """
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "figure.figsize": (7.0, 4.0),
            "axes.prop_cycle": cycler(color=list(OKABE_ITO)),
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "image.cmap": HEATMAP,
            "image.interpolation": "nearest",
            "text.parse_math": False,
        }
    )
    register_scale(_plain(LogScale))
    register_scale(_plain(SymmetricalLogScale))


def colors(names: Iterable[str]) -> dict[str, str]:
    """Give every name a colour; the same set of names always gets the same colours.

    Names are defect types or models, and come out sorted; ``good`` (normal images) is grey. With more than seven
    names the colours repeat: use line styles too.

    Example:
        >>> colors(["cut", "good", "color"])
        {'color': '#0072B2', 'cut': '#E69F00', 'good': '#7F7F7F'}
    """
    others = sorted(set(names) - {"good"})
    chosen = {name: OKABE_ITO[i % len(OKABE_ITO)] for i, name in enumerate(others)}
    return chosen | ({"good": NORMAL_COLOR} if "good" in set(names) else {})
