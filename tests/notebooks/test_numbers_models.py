"""Notebooks 09 and 10 against a second path: with the published files, without them, on few images."""

import json
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from aupimo_helpers import benchmark
from aupimo_helpers.course.notebook import execute
from aupimo_helpers.model import PadimSettings

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("AUPIMO_BENCHMARK_DIR") or ROOT.parent / "shared" / "aupimo_benchmark")
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the published score files are not on this machine"
)
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers


@pytest.fixture(scope="module")
def leather(second_path):
    return second_path("synthetic/leather")


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


class TestComparingModels:
    @pytest.fixture(scope="class")
    def values(self, run_notebook):
        return run_notebook("09", variables=("scores", "comparison", "pairs", "many"), max_gb=3)

    def test_scores_are_those_of_a_second_path(self, values, leather, second_path):
        deeper = second_path("synthetic/leather", PadimSettings(layers=("layer2",)))
        for name, expected in (("layer1", leather.scores()), ("layer2", deeper.scores())):
            np.testing.assert_allclose(values["scores"][name], expected[leather.anomalous], atol=1e-6)

    def test_the_pair_by_hand(self, values, leather):
        found = values["comparison"]
        a, b = (np.array(values["scores"][name]) for name in ("layer1", "layer2"))
        difference, number = a - b, leather.anomalous.sum()
        assert found["num_images"] == number
        assert found["mean_difference"] == pytest.approx(difference.mean())
        error = difference.std(ddof=1) / np.sqrt(number)
        assert found["ttest_p"] == pytest.approx(2 * scipy.stats.t.sf(abs(difference.mean() / error), number - 1))
        # The BCa interval is near that of the normal distribution, and leans to the longer tail.
        assert found["ci_low"] == pytest.approx(difference.mean() - 1.96 * error, abs=error)
        assert found["ci_high"] == pytest.approx(difference.mean() + 1.96 * error, abs=error)
        steps = np.round(1000 * a) - np.round(1000 * b)
        assert [found[name] for name in ("wins", "ties", "losses")] == [
            (np.sign(steps) == sign).sum() for sign in (1, 0, -1)
        ]
        # Signed ranks, ties split evenly, normal approximation with the correction for tied ranks.
        ranks = scipy.stats.rankdata(abs(steps))
        positive = ranks[steps > 0].sum() + ranks[steps == 0].sum() / 2
        _, tied = np.unique(ranks, return_counts=True)
        variance = (number * (number + 1) * (2 * number + 1) - (tied**3 - tied).sum() / 2) / 24
        z = abs(positive - number * (number + 1) / 4) / np.sqrt(variance)
        assert np.log(found["wilcoxon_p"]) == pytest.approx(np.log(2 * scipy.stats.norm.sf(z)), rel=0.02)

    def test_ranks_by_hand(self, values):
        names = list(values["scores"])
        steps = np.round(1000 * np.array([values["scores"][name] for name in names]))
        by_hand = scipy.stats.rankdata(-steps, axis=0).mean(axis=1)
        for name, rank in zip(names, by_hand, strict=True):
            assert np.mean(values["many"]["ranks"][name]) == pytest.approx(rank)
        assert len(values["pairs"]["a"]) == len(names) * (len(names) - 1) / 2


class TestPublishedBenchmark:
    variables = ("means", "own_mean", "own_rank", "obstacle", "ranks")

    @needs_reference
    def test_with_the_published_files(self, run_notebook, results, mirror, leather):
        given = {"RESULTS_DIR": str(results), "BENCHMARK_SOURCE": mirror, "BENCHMARK": "fetch"}
        values = run_notebook("10", given, self.variables, max_gb=3)
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

    def test_without_network_and_cache_it_says_so_and_shows_the_means(self, run_notebook, results, leather):
        given = {"RESULTS_DIR": str(results), "BENCHMARK_SOURCE": NOWHERE}
        values = run_notebook("10", given, self.variables, max_gb=3)
        assert values["obstacle"].startswith(f"Cannot fetch the published scores from {NOWHERE}: no connection.")
        assert np.mean(values["means"]["patchcore_wr101"]) == pytest.approx(0.6231, abs=5e-5)
        assert values["own_mean"] == pytest.approx(np.nanmean(leather.scores()), abs=1e-6)

    def test_where_the_files_are_demanded_it_stops_with_one_sentence(self, results):
        given = {"RESULTS_DIR": str(results), "BENCHMARK_SOURCE": NOWHERE, "BENCHMARK": "fetch"}
        failure = execute(ROOT / "notebooks" / "10_published_benchmark.ipynb", given).failure
        assert failure is not None
        assert f"Cannot fetch the published scores from {NOWHERE}: no connection." in str(failure)

    @needs_reference
    def test_on_a_published_test_set_the_run_is_ranked_and_paired(self, run_notebook, tmp_path, mirror):
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
        values = run_notebook("10", given | {"BENCHMARK_SOURCE": mirror}, (*self.variables, "with_own"))
        assert values["own_rank"] == 14
        assert len(values["with_own"]["this run"]) == 92
        assert np.mean(values["with_own"]["padim_r18"]) == pytest.approx(0.9343, abs=5e-5)
        assert np.mean(values["with_own"]["this run"]) == pytest.approx(values["own_mean"])
