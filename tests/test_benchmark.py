"""The published benchmark: fetched, checked, cached, and every failure one sentence that leaves the cache good."""

import hashlib
import json
import math
import os
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aupimo_helpers import benchmark
from aupimo_helpers.errors import DownloadError, InputError, WriteError
from aupimo_helpers.stats import pair_scores

REFERENCE = Path(
    os.environ.get("AUPIMO_BENCHMARK_DIR")
    or Path(__file__).resolve().parents[2] / "shared" / "aupimo_benchmark"
)  # fmt: skip
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the published score files are not on this machine"
)

MADE = [("one", "mvtec/nut"), ("one", "visa/nut"), ("two+", "mvtec/nut"), ("two+", "visa/nut")]


class Server:
    """Serves a folder on the loopback address and counts what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: Counter[str] = Counter()
        counts = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self):
                counts[self.path] += 1
                super().do_GET()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("AUPIMO_BENCHMARK_DIR", raising=False)
    monkeypatch.delenv("AUPIMO_BENCHMARK_CACHE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def made(tmp_path, monkeypatch) -> Path:
    """A folder of small score files, and a registry of them in place of the package's."""
    registry = {}
    for i, (model, dataset) in enumerate(MADE):
        name = f"{model}/{dataset}/aupimo/aupimos.json"
        path = tmp_path / "origin" / name
        path.parent.mkdir(parents=True)
        content = {
            "shared_fpr_metric": "mean-per-image-fpr",
            "fpr_lower_bound": 1e-5,
            "fpr_upper_bound": 1e-4,
            "num_threshs": None,
            "thresh_lower_bound": 1.0,
            "thresh_upper_bound": 2.0,
            "aupimos": [math.nan, i / 10, i / 10 + 0.2],
            "paths": [f"Data/{dataset.split('/')[1]}/test/{image}.png" for image in ("good/0", "cut/0", "cut/1")],
        }
        path.write_text(json.dumps(content))
        registry[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(benchmark, "_registry", lambda: registry)
    return tmp_path / "origin"


@pytest.fixture
def server(made):
    running = Server(made)
    yield running
    running.stop()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class TestFetching:
    def test_files_come_from_the_server_once_and_serve_offline_ever_after(self, server, tmp_path):
        cache = tmp_path / "cache"
        benchmark.fetch(source=server.address, cache=cache)
        assert files(cache) == files(server.folder)
        assert sum(server.requests.values()) == len(MADE)
        server.stop()
        scores = benchmark.load(source=server.address, cache=cache)
        assert len(scores) == 3 * len(MADE)
        assert sum(server.requests.values()) == len(MADE)

    def test_only_what_is_asked_for_is_fetched(self, server, tmp_path):
        benchmark.load("one", "visa/nut", source=server.address, cache=tmp_path / "cache")
        assert list(server.requests) == ["/one/visa/nut/aupimo/aupimos.json"]

    def test_a_folder_serves_too_and_stays_untouched(self, made, tmp_path):
        before = {name: (made / name).stat().st_mtime_ns for name in files(made)}
        benchmark.fetch(source=made, cache=tmp_path / "cache")
        assert files(tmp_path / "cache") == files(made)
        assert before == {name: (made / name).stat().st_mtime_ns for name in files(made)}

    def test_the_environment_names_source_and_cache(self, made, tmp_path, monkeypatch):
        monkeypatch.setenv("AUPIMO_BENCHMARK_DIR", str(made))
        monkeypatch.setenv("AUPIMO_BENCHMARK_CACHE", str(tmp_path / "elsewhere"))
        benchmark.fetch()
        assert files(tmp_path / "elsewhere") == files(made)

    def test_a_damaged_cached_file_is_fetched_again(self, server, tmp_path):
        cache = tmp_path / "cache"
        benchmark.fetch(source=server.address, cache=cache)
        damaged = cache / "one/mvtec/nut/aupimo/aupimos.json"
        damaged.write_bytes(damaged.read_bytes()[:-5])
        benchmark.fetch(source=server.address, cache=cache)
        assert damaged.read_bytes() == (server.folder / "one/mvtec/nut/aupimo/aupimos.json").read_bytes()
        assert sum(server.requests.values()) == len(MADE) + 1


class TestFailures:
    def test_404_is_said_and_the_good_files_stay(self, server, tmp_path):
        cache = tmp_path / "cache"
        benchmark.fetch("one", source=server.address, cache=cache)
        good = {name: (cache / name).read_bytes() for name in files(cache)}
        (server.folder / "two+/visa/nut/aupimo/aupimos.json").unlink()
        with pytest.raises(DownloadError, match=r"answered 404 for two\+/visa/nut/aupimo/aupimos\.json\. Connect"):
            benchmark.fetch(source=server.address, cache=cache)
        assert {name: (cache / name).read_bytes() for name in good} == good
        assert set(files(cache)) <= set(files(server.folder)) | set(good)

    def test_other_bytes_are_said_and_not_kept(self, server, tmp_path):
        cache = tmp_path / "cache"
        benchmark.fetch("one", source=server.address, cache=cache)
        good = files(cache)
        for name in files(server.folder):
            (server.folder / name).write_text("<html>Sign in to this network</html>")
        with pytest.raises(DownloadError, match=r"two\+/.* holds other bytes than were published"):
            benchmark.fetch(source=server.address, cache=cache)
        assert files(cache) == good
        # What was good is still used although the server would give other bytes now.
        assert len(benchmark.load("one", source=server.address, cache=cache)) == 6

    def test_no_server_is_one_sentence_with_the_remedy(self, server, tmp_path):
        server.stop()
        with pytest.raises(DownloadError) as refused:
            benchmark.fetch(source=server.address, cache=tmp_path / "cache")
        sentence = str(refused.value)
        assert "\n" not in sentence
        assert f"from {server.address}: no connection." in sentence
        assert "set AUPIMO_BENCHMARK_DIR" in sentence
        assert files(tmp_path / "cache") == []
        assert benchmark.why_out_of_reach(source=server.address, cache=tmp_path / "cache") == sentence

    def test_a_folder_that_lacks_a_file_or_is_not_there(self, made, tmp_path):
        (made / "one/mvtec/nut/aupimo/aupimos.json").unlink()
        with pytest.raises(DownloadError, match=r"there is no one/mvtec/nut/aupimo/aupimos\.json"):
            benchmark.fetch("one", "mvtec/nut", source=made, cache=tmp_path / "cache")
        with pytest.raises(DownloadError, match="nowhere is neither a folder nor a web address"):
            benchmark.fetch(source=tmp_path / "nowhere", cache=tmp_path / "cache")

    def test_an_unwritable_cache_is_one_sentence(self, made, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(WriteError, match=r"^Cannot write .*file.?cache: a file is where a folder must be"):
            benchmark.fetch(source=made, cache=tmp_path / "file" / "cache")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_cache_is_one_sentence(self, made, tmp_path):
        cache = tmp_path / "cache"
        cache.mkdir(mode=0o500)
        with pytest.raises(WriteError, match=r"^Cannot write .*cache: permission was denied"):
            benchmark.fetch(source=made, cache=cache)

    def test_a_full_disk_is_one_sentence_and_leaves_nothing(self, made, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(benchmark.shutil, "copyfile", full)
        with pytest.raises(WriteError, match="the disk is full"):
            benchmark.fetch(source=made, cache=tmp_path / "cache")
        assert files(tmp_path / "cache") == []

    def test_unknown_names_get_the_nearest(self):
        with pytest.raises(InputError, match=r"no model 'padim_r81' in .* Did you mean padim_r18\?"):
            benchmark.load("padim_r81")
        with pytest.raises(InputError, match=r"no data set 'mvtec/lether' in .* Did you mean mvtec/leather\?"):
            benchmark.load("padim_r18", ["mvtec/lether"])


class TestTables:
    def test_paths_begin_with_the_data_set_and_pair_up(self, made, tmp_path):
        scores = benchmark.load(source=made, cache=tmp_path / "cache")
        assert scores.columns.tolist() == ["model", "dataset", "image_path", "defect", "aupimo"]
        assert scores["image_path"].iloc[1] == "mvtec/nut/test/cut/0.png"
        assert scores.attrs["fpr_bounds"] == pytest.approx((1e-5, 1e-4))
        paired = pair_scores(dict(tuple(scores[scores["dataset"] == "visa/nut"].groupby("model"))))
        assert paired.to_numpy() == pytest.approx(np.array([[0.1, 0.3], [0.3, 0.5]]))

    def test_the_mean_leaves_normal_images_out(self, made, tmp_path):
        means = benchmark.table(benchmark.load(source=made, cache=tmp_path / "cache"))
        expected = pd.DataFrame({"one": [0.1, 0.2], "two+": [0.3, 0.4]}, index=["mvtec/nut", "visa/nut"])
        pd.testing.assert_frame_equal(means, expected, check_names=False)

    def test_the_package_knows_13_models_and_27_data_sets(self):
        assert len(benchmark.model_names()) == 13
        assert len(benchmark.dataset_names()) == 27
        means = benchmark.packaged_table()
        assert means.columns.tolist() == benchmark.model_names()
        assert means.index.tolist() == benchmark.dataset_names()
        assert means.mean()["patchcore_wr101"] == pytest.approx(0.6231, abs=5e-5)
        assert means.mean()["padim_r18"] == pytest.approx(0.2161, abs=5e-5)

    def test_the_other_metrics_are_those_of_all_pairs(self):
        metrics = benchmark.packaged_metrics().set_index(["dataset", "model"])
        assert len(metrics) == metrics.index.nunique() == 27 * 13
        known = metrics.loc[("visa/pcb1", "padim_wr50")]
        assert known.to_dict() == pytest.approx(
            {"auroc": 0.98752, "aupro": 0.858978, "aupr": 0.32098, "aupimo": 0.008602}
        )
        assert ((metrics >= 0) & (metrics <= 1)).all(axis=None)


@needs_reference
class TestPublishedFiles:
    @pytest.fixture(scope="class")
    def scores(self, tmp_path_factory):
        running = Server(REFERENCE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            loaded = benchmark.load(source=running.address, cache=tmp_path_factory.mktemp("published"))
        running.stop()
        assert len(running.requests) == 351
        return loaded

    def test_known_answers(self, scores):
        means = benchmark.table(scores)
        assert means.shape == (27, 13)
        assert means.loc["mvtec/leather", "padim_r18"] == pytest.approx(0.9343, abs=5e-5)
        assert means.loc["mvtec/leather", "padim_wr50"] == pytest.approx(0.7792, abs=5e-5)
        assert means["patchcore_wr101"].mean() == pytest.approx(0.6231, abs=5e-5)
        assert means["padim_r18"].mean() == pytest.approx(0.2161, abs=5e-5)

    def test_a_mean_read_without_the_package(self, scores):
        content = json.loads((REFERENCE / "uflow_ext/visa/pcb1/aupimo/aupimos.json").read_text())
        by_hand = np.nanmean(np.array(content["aupimos"], dtype=float))
        assert benchmark.table(scores).loc["visa/pcb1", "uflow_ext"] == pytest.approx(by_hand)

    def test_the_packaged_table_is_the_table_of_the_files(self, scores):
        pd.testing.assert_frame_equal(
            benchmark.packaged_table(), benchmark.table(scores), check_names=False, rtol=0, atol=5e-7
        )

    def test_the_packaged_metrics_are_those_of_the_published_table(self):
        published = pd.read_csv(REFERENCE / "other_metrics.csv")
        published["dataset"] = published["collection"] + "/" + published["category"]
        keys, metrics = ["dataset", "model"], ["auroc", "aupro", "aupr"]
        published = published.sort_values(keys, ignore_index=True)
        packaged = benchmark.packaged_metrics()
        pd.testing.assert_frame_equal(packaged[keys + metrics], published[keys + metrics], rtol=0, atol=5e-7)
        # The published table has the mean AUPIMO too: a mistake in the pairing would show.
        np.testing.assert_allclose(packaged["aupimo"], published["mean_aupimo"], rtol=0, atol=1e-6)

    def test_the_packaged_scores_are_those_of_the_files(self, scores):
        packaged = benchmark.packaged_scores()
        keys = ["model", "dataset", "image_path"]
        published = scores[scores["dataset"].isin(packaged["dataset"])].sort_values(keys, ignore_index=True)
        packaged = packaged.sort_values(keys, ignore_index=True)
        pd.testing.assert_frame_equal(packaged, published, check_dtype=False, rtol=0, atol=5e-7)
        assert packaged.attrs["fpr_bounds"] == pytest.approx(published.attrs["fpr_bounds"])

    def test_all_models_of_a_data_set_pair_up(self, scores):
        for _, of_dataset in scores.groupby("dataset"):
            paired = pair_scores(dict(tuple(of_dataset.groupby("model"))))
            assert paired.shape[1] == 13
            assert paired.index.str.startswith(of_dataset["dataset"].iloc[0] + "/test/").all()
