"""Notebook 09, comparing models: scores, tests, ranks, and what the normal images do, against a second path."""

import numpy as np
import pytest
import scipy.stats
from notebook_runs import EMBEDDED, assert_exercises, run, verdicts

from aupimo_helpers.model import PadimSettings

pytestmark = pytest.mark.notebook
NUMBERS = ("09.1", "09.2", "09.3", "09.4")
A, B = "course", "deeper, seed 0"
DEEPER = PadimSettings(layers=("blocks.4",))
OTHERS = {
    "untrained": PadimSettings(pre_trained=False),
    B: DEEPER,
    "half, seed 1": PadimSettings(n_features=20, seed=1),
}
PAIRS = "(('course', methods['deeper'][0]), methods['deeper'])"
ENDS = f"[stats.two_way_interval(drawn[a] - drawn[b], seed=SEED) for a, b in {PAIRS}]"
VARIABLES = ("scores", "comparison", "without", "by_method", "half_of_it", "draws", ENDS, verdicts(*NUMBERS))
LAST = ("pairs", "many", "nemenyi", "verdicts", "crosses", "spread")


@pytest.fixture(scope="module", params=EMBEDDED[:1])  # each further set is four more trainings
def dataset(request):
    return request.param


@pytest.fixture(scope="module")
def values(dataset):
    return run("09", {"DATASET": dataset}, (*VARIABLES, *LAST), max_gb=4)


def test_scores_are_those_of_a_second_path(values, second_path, dataset):
    second = second_path(dataset)
    np.testing.assert_allclose(values["scores"][A], second.scores()[second.anomalous], atol=1e-6)
    for name, settings in OTHERS.items():
        other = second_path(dataset, settings)
        np.testing.assert_allclose(values["scores"][name], other.scores()[other.anomalous], atol=1e-6)


def test_the_pair_by_hand(values, second_path, dataset):
    found = values["comparison"]
    a, b = (np.array(values["scores"][name]) for name in (A, B))
    difference, number = a - b, second_path(dataset).anomalous.sum()
    assert found["num_images"] == number
    assert found["mean_difference"] == pytest.approx(difference.mean())
    error = difference.std(ddof=1) / np.sqrt(number)
    assert found["ttest_p"] == pytest.approx(2 * scipy.stats.t.sf(abs(difference.mean() / error), number - 1))
    # The BCa interval is near that of the normal distribution, and leans to the longer tail.
    assert found["ci_low"] == pytest.approx(difference.mean() - 1.96 * error, abs=error)
    assert found["ci_high"] == pytest.approx(difference.mean() + 1.96 * error, abs=error)
    signs = np.random.default_rng(1).choice([-1, 1], size=(20_000, number))
    as_extreme = 2 * min((signs @ difference * side >= difference.sum() * side).mean() for side in (1, -1))
    chance = 2 * np.sqrt(as_extreme / 2 * (1 - as_extreme / 2) * (1 / 9999 + 1 / 20_000))
    assert found["permutation_p"] == pytest.approx(as_extreme, abs=4 * chance + 4e-4)
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


def test_what_the_normal_images_do(values, second_path, dataset):
    models = second_path(dataset), second_path(dataset, DEEPER)
    normals = [model.maps[~model.anomalous] for model in models]
    assert len(values["without"]) == len(normals[0])
    for k in (0, len(normals[0]) - 1):
        a, b = (
            np.nanmean(model.scores(normal=np.sort(np.delete(normal, k, axis=0).ravel())))
            for model, normal in zip(models, normals, strict=True)
        )
        assert values["without"][k] == pytest.approx(a - b, abs=1e-6)
    if dataset != "synthetic/leather":
        return
    rng, means = np.random.default_rng(7), []  # the two-way bootstrap again, with 100 of the draws
    for draw in np.array(values["draws"])[:100]:
        scores = [
            model.scores(normal=np.sort(np.repeat(normal, draw, axis=0).ravel()))[model.anomalous]
            for model, normal in zip(models, normals, strict=True)
        ]
        means.append(rng.choice(scores[0] - scores[1], len(scores[0])).mean())
    (low, high), _ = values[ENDS]
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(means), rel=0.25)
    assert (low + high) / 2 == pytest.approx(np.mean(means), abs=0.01)


def test_ranks_by_hand(values):
    names = list(values["scores"])
    steps = np.round(1000 * np.array([values["scores"][name] for name in names]))
    by_hand = scipy.stats.rankdata(-steps, axis=0).mean(axis=1)
    for name, rank in zip(names, by_hand, strict=True):
        assert np.mean(values["many"]["ranks"][name]) == pytest.approx(rank)
    assert len(values["pairs"]["a"]) == len(names) * (len(names) - 1) / 2


def test_exercises(values):
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_what_the_text_says_of_the_leather(values, dataset):
    if dataset != "synthetic/leather":
        pytest.skip("the text speaks of the leather")
    means = {name: np.mean(column) for name, column in values["scores"].items()}
    assert (min(means, key=means.get), max(means, key=means.get)) == ("untrained", "deeper, seed 1")
    assert [means[name] for name in ("untrained", A, "deeper, seed 1")] == pytest.approx(
        [0.242, 0.743, 0.834], abs=5e-4
    )
    assert [min(values["spread"]), max(values["spread"])] == pytest.approx([0.10, 0.82], abs=5e-3)
    pair = values["comparison"]
    assert (pair["wins"], pair["ties"], pair["losses"], values["half_of_it"]) == (9, 34, 47, 10)
    assert [pair[name] for name in ("mean_difference", "ci_low", "ci_high")] == pytest.approx(
        [-0.067, -0.102, -0.041], abs=2e-3
    )
    assert pair["permutation_p"] == pytest.approx(2e-4, abs=1e-4)
    assert [min(values["without"]), max(values["without"])] == pytest.approx([-0.092, -0.057], abs=5e-4)
    (low, high), seeds = values[ENDS]
    assert [low, high] == pytest.approx([-0.130, -0.025], abs=5e-3)
    assert (high - low) / (pair["ci_high"] - pair["ci_low"]) == pytest.approx(1.75, abs=0.15), "nearly twice as wide"
    assert list(seeds) == pytest.approx([-0.052, 0.015], abs=5e-3)
    runs = values["by_method"]
    assert [np.ptp(runs["deeper"]), np.ptp(runs["half"])] == pytest.approx([0.023, 0.156], abs=5e-4)
    assert min(runs["deeper"]) > max(runs["half"])
    pairs = {(a, b): i for i, (a, b) in enumerate(zip(values["pairs"]["a"], values["pairs"]["b"], strict=True))}
    twins, half = pairs["deeper, seed 1", "deeper, seed 0"], pairs["course", "half, seed 0"]
    assert values["pairs"]["permutation_p"][twins] == pytest.approx(0.005, abs=2e-3)
    assert values["pairs"]["ci_low"][half] == pytest.approx(0.036, abs=2e-3)
    assert values["pairs"]["ci_high"][half] == pytest.approx(0.078, abs=2e-3)
    assert [
        sum(p < 0.05 for p in ps) for ps in (values["pairs"]["wilcoxon_p"], values["pairs"]["wilcoxon_p_holm"])
    ] == [15, 15]
    assert sum(p < 0.05 for p in values["nemenyi"]) == 12
    assert np.flatnonzero(values["crosses"]).tolist() == sorted([twins, half])
    assert values["verdicts"].count("a difference that matters") == 10


def test_own_pictures(own):
    values = own.run("09", (verdicts(*NUMBERS),))
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
