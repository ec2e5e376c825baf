import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from aupimo_helpers.plots import PERCENT, percent, plot_pimo_curve, score_boxes, use_style, wrap


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_a_name_is_no_formula(tmp_path):
    import pandas as pd

    name = "$x^{$"  # as a formula it cannot be drawn
    ax = score_boxes(pd.DataFrame({"model": [name, name, "b"], "aupimo": [0.1, 0.2, 0.3]}), "model", title=name * 2)
    plot_pimo_curve([1e-6, 1.0], [0.1, 1.0], label=name).legend()
    for number in plt.get_fignums():
        plt.figure(number).savefig(tmp_path / "a.png")
    assert labels(ax.yaxis) == ["b", name]


@pytest.mark.parametrize(
    ("scale", "options", "wanted"),
    [
        ("log", {}, {"10⁻⁵", "10⁰", "10²"}),
        ("log", {"base": 2}, {"2⁻⁴", "2⁰", "2⁴"}),
        ("symlog", {"linthresh": 1}, {"−10²", "0", "10²"}),
    ],
)
def test_logarithmic_axes_have_powers_without_formulas(scale, options, wanted):
    ax = plt.figure().gca()
    ax.plot([-100 if scale == "symlog" else 1e-5 if not options else 0.05, 100], [0, 1])
    ax.set_xscale(scale, **options)
    ax.figure.canvas.draw()
    assert wanted <= set(labels(ax.xaxis)), labels(ax.xaxis)
    assert not any("$" in label for label in labels(ax.xaxis))


def test_tables_and_ticks_write_a_percentage_alike():
    assert percent()(0.25) == PERCENT(0.25) == "25 %"
    assert percent(2)(0.12345) == "12.35 %"


@pytest.mark.parametrize("name", ["cut", "long_name_of_a_kind_of_defect", "x" * 50, "two words_and more of them"])
def test_a_wrapped_name_is_whole_and_narrow(name):
    lines = wrap(name).splitlines()
    assert max(map(len, lines)) <= 20
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
