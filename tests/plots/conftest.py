import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from aupimo_helpers.plots import use_style

mpl.use("agg")


@pytest.fixture(autouse=True)
def styled_figures():
    """Draw in the course's style, without a window, and close what was drawn."""
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")
