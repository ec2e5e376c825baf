"""Notebook 10, the published benchmark: with the published files, without them, on few images."""

import json
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from notebook_runs import NOWHERE, ROOT, assert_exercises, attempt, run, verdicts
from PIL import Image

from aupimo_helpers import benchmark

pytestmark = pytest.mark.notebook
NUMBERS = ("10.1", "10.2", "10.3", "10.4")
VARIABLES = ("means", "own_mean", "own_rank", "obstacle", "ranks", "known", "without", verdicts(*NUMBERS))
ONLY_NEMENYI, ONLY_WILCOXON = (
    f'sorted(map(list, found["{test}"] - found["{other}"]))'
    for test, other in (("Nemenyi's", "Wilcoxon's"), ("Wilcoxon's", "Nemenyi's"))
)
REFERENCE = Path(os.environ.get("AUPIMO_BENCHMARK_DIR") or ROOT.parent / "shared" / "aupimo_benchmark")
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the published score files are not on this machine"
)


@pytest.fixture(scope="module")
def leather(second_path):
    return second_path()


@pytest.fixture
def results(leather, tmp_path):  # noqa: ARG001
    """A results folder with the predictions of the course, but without published scores."""
    (tmp_path / "cache").symlink_to(ROOT / "results" / "cache")
    return tmp_path


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def mirror():
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(REFERENCE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("AUPIMO_BENCHMARK_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@needs_reference
def test_with_the_published_files(results, mirror, leather):
    given = {"RESULTS_DIR": str(results), "BENCHMARK_SOURCE": mirror, "BENCHMARK": "fetch"}
    values = run("10", given, VARIABLES, max_gb=3)
    assert values["obstacle"] is None
    assert len(list((results / "benchmark").rglob("aupimos.json"))) == 351
    assert values["own_mean"] == pytest.approx(np.nanmean(leather.scores()), abs=1e-6)
    assert values["own_rank"] is None
    datasets = benchmark.dataset_names()
    row = datasets.index("mvtec/leather")
    assert values["means"]["padim_r18"][row] == pytest.approx(0.9343, abs=5e-5)
    assert values["means"]["padim_wr50"][row] == pytest.approx(0.7792, abs=5e-5)
    assert np.mean(values["means"]["patchcore_wr101"]) == pytest.approx(0.6231, abs=5e-5)
    assert np.mean(values["means"]["padim_r18"]) == pytest.approx(0.2161, abs=5e-5)
    table = np.array([values["means"][name] for name in benchmark.model_names()])
    by_hand = scipy.stats.rankdata(-np.round(1000 * table), axis=0).mean(axis=1)
    found = dict(zip(benchmark.model_names(), by_hand, strict=True))
    # the notebook's data frame is sorted by model
    assert values["ranks"]["mean rank"] == pytest.approx([found[name] for name in sorted(found)])


@pytest.fixture
def offline(results):
    given = {"RESULTS_DIR": str(results), "BENCHMARK_SOURCE": NOWHERE}
    more = ("shares", "many", "pairs", ONLY_NEMENYI, ONLY_WILCOXON, "paired_tests", "paired", "between", "winners")
    execution = attempt("10", given)
    text = "".join(output.get("text", "") for cell in execution.notebook.cells for output in cell.get("outputs", []))
    assert text.count("no connection") == 1, "one error is said once"
    figures = sum(
        any(kind.startswith("image/") for kind in output.get("data", {}))
        for cell in execution.notebook.cells
        for output in cell.get("outputs", [])
    )
    assert figures == 6, "every figure is there without a network, too"
    return run("10", given, (*VARIABLES, *more), max_gb=4)


def test_without_network_and_cache_it_says_so_and_shows_what_is_packaged(offline, leather):
    assert offline["obstacle"].startswith(f"Cannot fetch the published scores from {NOWHERE}: no connection.")
    assert offline["known"] == ["mvtec/cable", "mvtec/leather"]
    assert np.mean(offline["means"]["patchcore_wr101"]) == pytest.approx(0.6231, abs=5e-5)
    assert offline["own_mean"] == pytest.approx(np.nanmean(leather.scores()), abs=1e-6)
    assert_exercises(offline[verdicts(*NUMBERS)], *NUMBERS)
    assert [offline["own_mean"], min(offline["without"]), max(offline["without"])] == pytest.approx(
        [0.743, 0.743, 0.754], abs=5e-4
    )
    # What the text says of the published scores.
    means = benchmark.packaged_table()
    assert means.mean().idxmax() == "efficientad_wr101_m_ext"
    assert means.mean().idxmin() == "padim_r18"
    assert min(zip(offline["ranks"]["mean rank"], sorted(means), strict=True))[1] == "patchcore_wr101"
    assert means.loc["mvtec/leather", "padim_r18"] >= 0.93
    assert means.mean(axis="columns").idxmax() == "mvtec/leather"
    assert len(offline["pairs"]) == 78
    assert offline[ONLY_WILCOXON] == [["patchcore_wr101", "patchcore_wr50"]]
    assert len(offline[ONLY_NEMENYI]) == 2
    # A second path to the shares of the spread: differences of residual sums, as nested linear models have them.
    values = means.to_numpy()
    total = values.var()
    without_rows = (values - values.mean(axis=1, keepdims=True)).var()
    without_both = (values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()).var()
    expected = [(total - without_rows) / total, (without_rows - without_both) / total, without_both / total]
    assert list(offline["shares"].values()) == pytest.approx(expected)
    assert expected == pytest.approx([0.45, 0.27, 0.27], abs=6e-3)
    # Where 60 % is the best known result, and the worst.
    assert (means.max(axis="columns") < 0.6).any()
    assert (means.min(axis="columns") > 0.6).any()


def test_where_the_files_are_demanded_it_stops_with_one_sentence(results):
    given = {"RESULTS_DIR": str(results), "BENCHMARK_SOURCE": NOWHERE, "BENCHMARK": "fetch"}
    failure = attempt("10", given).failure
    assert failure is not None
    assert f"Cannot fetch the published scores from {NOWHERE}: no connection." in str(failure)


@needs_reference
def test_on_a_published_test_set_the_run_is_ranked_and_paired(tmp_path, mirror):
    """Noise under the names of MVTec AD's leather images: the worst of all models, and paired by those names."""
    rng = np.random.default_rng(0)
    content = json.loads((REFERENCE / "padim_r18/mvtec/leather/aupimo/aupimos.json").read_text())
    names = [path.split("/leather/")[1] for path in content["paths"]]
    names += [f"train/good/{i:03}.png" for i in range(4)]
    for name in names:
        path = tmp_path / "datasets/mvtec/leather" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        if "good" not in name:
            mask = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.pad(np.full((16, 16), 255, np.uint8), 24)).save(mask)
    given = {"DATASET": "mvtec/leather", "DATA_ROOT": str(tmp_path / "datasets"), "RESULTS_DIR": str(tmp_path)}
    values = run("10", given | {"BENCHMARK_SOURCE": mirror}, (*VARIABLES, "with_own"))
    assert values["own_rank"] == 14
    assert len(values["with_own"]["this run"]) == 92
    assert np.mean(values["with_own"]["padim_r18"]) == pytest.approx(0.9343, abs=5e-5)
    assert np.mean(values["with_own"]["this run"]) == pytest.approx(values["own_mean"])


def test_own_pictures(own):
    values = own.run("10", ("own_mean", "own_rank"), BENCHMARK="packaged")
    assert values == {"own_mean": pytest.approx(own.mean, abs=1e-6), "own_rank": None}
