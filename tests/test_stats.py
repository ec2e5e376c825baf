"""The statistics: known answers on small made-up scores, pairing by image path, and refusals in one sentence."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from aupimo_helpers.errors import InputError
from aupimo_helpers.stats import (
    compare_many,
    compare_pair,
    compare_pairs,
    pair_scores,
    representatives,
    two_way_interval,
    why_untestable,
)


def table(scores: dict[str, float], **attrs) -> pd.DataFrame:
    made = pd.DataFrame({"image_path": list(scores), "aupimo": list(scores.values())})
    made.attrs.update(attrs)
    return made


A = {"cut/0.png": 0.9, "cut/1.png": 0.5, "good/0.png": math.nan}
B = {"good/0.png": math.nan, "cut/1.png": 0.6, "cut/0.png": 0.7}


def scores(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns)


NAMES = ["lowest", "lower quartile", "median", "upper quartile", "highest"]


def graded(scores, defects="cut") -> pd.DataFrame:
    paths = [f"{i}.png" for i in range(len(scores))]
    return pd.DataFrame({"image_path": paths, "defect": defects, "aupimo": scores})


class TestRepresentatives:
    """Known answers, and pandas' quantiles as a second path."""

    def test_the_five_numbers_of_evenly_spread_scores(self):
        chosen = representatives(graded([0.5, 0.0, 1.0, 0.25, 0.75, np.nan]))
        assert chosen["statistic"].tolist() == NAMES
        assert chosen["image_path"].tolist() == ["1.png", "3.png", "0.png", "4.png", "2.png"]
        assert chosen["value"].tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert chosen.index.tolist() == [1, 3, 0, 4, 2]

    def test_the_nearest_image_where_no_image_has_the_value(self):
        scores = np.random.default_rng(0).random(40)
        chosen = representatives(graded(scores)).set_index("statistic")
        quantiles = pd.Series(scores).quantile([0.25, 0.5, 0.75])
        for name, value in zip(NAMES[1:4], quantiles, strict=True):
            assert chosen.loc[name, "value"] == pytest.approx(value)
            assert abs(chosen.loc[name, "aupimo"] - value) == pytest.approx(np.abs(scores - value).min())

    def test_a_lonely_failure_is_picked(self):
        chosen = representatives(graded([0.8, 0.0, 0.82, 0.84, 0.86, 0.88, 0.9]))
        assert chosen["image_path"].iloc[0] == "1.png"
        assert chosen["value"].iloc[0] == 0

    def test_normal_images_are_never_picked(self):
        assert 3 not in representatives(graded([0.1, 0.2, 0.3, np.nan])).index

    def test_among_equally_near_images_another_one_is_preferred(self):
        chosen = representatives(graded([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
        assert chosen["value"].tolist() == [0, 0, 0.5, 1, 1]
        assert chosen["image_path"].is_unique

    def test_equal_scores_are_ordered_by_a_second_criterion_and_counted(self):
        table = graded([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]).assign(recall=[0.2, 0.1, 0.1, 0.9, 1.0, 1.0])
        chosen = representatives(table, then="recall")
        assert chosen["image_path"].tolist()[0] == "1.png"
        assert chosen["image_path"].tolist()[-1] == "5.png"
        assert chosen["alike"].tolist() == [2, 2, 1, 2, 2]
        assert representatives(table)["alike"].tolist() == [3] * 5

    def test_fewer_images_than_numbers(self):
        chosen = representatives(graded([0.3, 0.9]))
        assert len(chosen) == 5
        assert set(chosen["image_path"]) == {"0.png", "1.png"}
        assert chosen["image_path"].tolist()[::4] == ["0.png", "1.png"]

    def test_by_group(self):
        table = graded([0.1, 0.2, 0.3, 0.9, 0.8, np.nan], ["poke"] * 3 + ["cut"] * 2 + ["good"])
        chosen = representatives(table, by="defect")
        assert chosen["defect"].tolist() == ["cut"] * 5 + ["poke"] * 5
        pd.testing.assert_frame_equal(chosen[chosen["defect"] == "poke"], representatives(table.iloc[:3]))

    def test_the_other_columns_stay(self):
        table = graded([0.1, 0.2]).assign(mask_area=[7, 8])
        assert representatives(table)["mask_area"].tolist()[::4] == [7, 8]
        assert "statistic" not in table, "the table that was given is not changed"

    def test_refusals(self):
        with pytest.raises(InputError, match="no column 'kind' to group by, only image_path, defect, aupimo"):
            representatives(graded([0.1]), by="kind")
        with pytest.raises(InputError, match="no column 'recall' to order equal scores by"):
            representatives(graded([0.1]), then="recall")
        with pytest.raises(InputError, match="all images here are normal"):
            representatives(graded([np.nan, np.nan]))


class TestPairing:
    def test_rows_are_matched_by_path_not_by_position(self):
        paired = pair_scores({"A": table(A), "B": table(B)})
        assert paired.to_dict() == {
            "A": {"cut/0.png": 0.9, "cut/1.png": 0.5},
            "B": {"cut/0.png": 0.7, "cut/1.png": 0.6},
        }

    def test_a_missing_image_is_named_whichever_side_lacks_it(self):
        more = A | {"poke/7.png": 0.1, "poke/8.png": 0.2}
        for tables in ({"A": table(more), "B": table(B)}, {"B": table(B), "A": table(more)}):
            with pytest.raises(InputError, match=r"poke/7\.png and 1 more, scored by A, are missing from B"):
                pair_scores(tables)

    def test_a_missing_normal_image_is_noticed_too(self):
        only_anomalous = {path: score for path, score in B.items() if "good" not in path}
        with pytest.raises(InputError, match=r"good/0\.png, scored by A, is missing from B"):
            pair_scores({"A": table(A), "B": table(only_anomalous)})

    def test_normal_here_and_anomalous_there_is_refused(self):
        with pytest.raises(InputError, match=r"cut/1\.png is a normal image .* for B and an anomalous one for A"):
            pair_scores({"A": table(A), "B": table(B | {"cut/1.png": math.nan})})

    def test_the_same_image_twice_is_refused(self):
        twice = pd.concat([table(A), table(A).iloc[:1]])
        with pytest.raises(InputError, match=r"B scores the image cut/0\.png more than once"):
            pair_scores({"A": table(A), "B": twice})

    def test_other_fpr_bounds_are_refused(self):
        with pytest.raises(
            InputError, match=r"A was scored with FPR bounds 1e-05 to 0\.0001 and B with 0\.001 to 0\.01"
        ):
            pair_scores({"A": table(A, fpr_bounds=(1e-5, 1e-4)), "B": table(B, fpr_bounds=[1e-3, 1e-2])})
        pair_scores({"A": table(A, fpr_bounds=(1e-5, 1e-4)), "B": table(B, fpr_bounds=[1e-5, 1e-4])})

    def test_one_model_or_no_anomalous_image_is_refused(self):
        with pytest.raises(InputError, match="two models or more, got 1"):
            pair_scores({"A": table(A)})
        with pytest.raises(InputError, match="all images here are normal"):
            pair_scores({"A": table({"good/0.png": math.nan}), "B": table({"good/0.png": math.nan})})


class TestTwoModels:
    # The differences are 1, 2, 3, 4, 5, 6 hundredths.
    six = scores(A=[0.51, 0.52, 0.53, 0.54, 0.55, 0.56], B=[0.5] * 6)

    def test_known_answers(self):
        result = compare_pair(self.six, "A", "B")
        assert result.mean_a == pytest.approx(0.535)
        assert result.mean_b == pytest.approx(0.5)
        assert result.mean_difference == pytest.approx(0.035)
        assert result.median_difference == pytest.approx(0.035)
        assert (result.wins, result.ties, result.losses) == (6, 0, 0)
        # All six ranks on one side: 2 of the 2**6 sign patterns are as extreme.
        assert result.wilcoxon_p == pytest.approx(2 / 64)
        # ... and of the mean as well: all six differences have one sign.
        assert result.permutation_p == pytest.approx(2 / 64)
        # t = mean / (sd / sqrt(n)) of 1..6 = 3.5 / (sqrt(3.5) / sqrt(6)) = sqrt(21)
        assert result.ttest_p == pytest.approx(2 * scipy.stats.t.sf(math.sqrt(21), df=5))

    def test_the_interval_is_seeded_and_holds_the_mean(self):
        first, again = (compare_pair(self.six, "A", "B", seed=0) for _ in range(2))
        assert (first.ci_low, first.ci_high) == (again.ci_low, again.ci_high)
        uneven = scores(A=list(np.linspace(0, 1, 30) ** 2), B=[0.3] * 30)
        assert compare_pair(uneven, "A", "B", seed=0).ci_low != compare_pair(uneven, "A", "B", seed=1).ci_low
        assert 0.01 < first.ci_low < 0.035 < first.ci_high < 0.06
        narrower = compare_pair(self.six, "A", "B", confidence=0.5)
        assert first.ci_low < narrower.ci_low < narrower.ci_high < first.ci_high

    def test_the_interval_covers_a_known_mean_about_as_often_as_it_says(self):
        rng = np.random.default_rng(0)
        covered = 0
        for _ in range(200):
            a = rng.normal(0.1, 0.1, 40)
            result = compare_pair(scores(A=list(a), B=[0.0] * 40), "A", "B", num_resamples=499, confidence=0.8)
            covered += result.ci_low < 0.1 < result.ci_high
        assert 0.7 < covered / 200 < 0.9

    def test_swapping_the_models_mirrors_the_answer(self):
        there, back = compare_pair(self.six, "A", "B"), compare_pair(self.six, "B", "A")
        assert there.mean_difference == -back.mean_difference
        assert (there.wins, there.losses) == (back.losses, back.wins)
        assert there.wilcoxon_p == pytest.approx(back.wilcoxon_p)

    def test_zero_differences_speak_for_likeness(self):
        won = scores(A=[0.6, 0.7, 0.8, 0.9, 1.0, 0.65], B=[0.5] * 6)
        tied = pd.concat([won, scores(A=[0.0] * 20, B=[0.0] * 20)], ignore_index=True)
        result = compare_pair(tied, "A", "B")
        assert (result.wins, result.ties, result.losses) == (6, 20, 0)
        assert result.wilcoxon_p > compare_pair(won, "A", "B").wilcoxon_p
        steps = np.array([100, 200, 300, 400, 500, 150] + [0] * 20)
        assert result.wilcoxon_p == pytest.approx(scipy.stats.wilcoxon(steps, zero_method="zsplit").pvalue)

    @pytest.mark.parametrize(("score", "ties"), [(0.0004, 1), (0.0006, 0)])
    def test_less_than_half_a_thousandth_is_a_tie(self, score, ties):
        hair = scores(A=[score, 0.6, 0.7, 0.8, 0.9, 0.2], B=[0.0, 0.5, 0.5, 0.5, 0.5, 0.5])
        assert compare_pair(hair, "A", "B").ties == ties

    @pytest.mark.filterwarnings("error")
    def test_equal_differences_have_an_interval_without_width(self):
        result = compare_pair(scores(A=[1.0] * 8, B=[0.0] * 8), "A", "B")
        assert (result.ci_low, result.ci_high) == (1.0, 1.0)
        assert result.ttest_p == 0
        assert result.wilcoxon_p == pytest.approx(2 / 2**8)

    def test_the_permutation_test_asks_for_the_mean_and_is_seeded(self):
        rng = np.random.default_rng(1)
        spread = scores(A=list(rng.uniform(0.4, 0.9, 40)), B=list(rng.uniform(0.3, 0.8, 40)))
        first, again = (compare_pair(spread, "A", "B", seed=0) for _ in range(2))
        assert first.permutation_p == again.permutation_p
        assert first.permutation_p == pytest.approx(first.ttest_p, rel=0.3)  # normal differences: near the t-test

    def test_the_text_holds_every_number(self):
        text = str(compare_pair(self.six, "A", "B"))
        for part in (
            "A against B on 6 images",
            "53.5 % against 50.0 %",
            "+3.5 percentage points",
            "6 / 0 / 0",
            "rounded to 0.1 percentage points",
            "0.031",
        ):
            assert part in text

    def test_refusals(self):
        with pytest.raises(InputError, match=r"at least 6 images scored by every model, here there are 5"):
            compare_pair(self.six.iloc[:5], "A", "B")
        with pytest.raises(InputError, match="A and B have the same score everywhere"):
            compare_pair(scores(A=[0.1] * 9, B=[0.1] * 9), "A", "B")
        with pytest.raises(InputError, match=r"There is no model padim_r81 .* Did you mean padim_r18\?"):
            compare_pair(self.six.rename(columns={"A": "padim_r18"}), "padim_r81", "B")
        with pytest.raises(InputError, match="A has no score for 2"):
            compare_pair(scores(A=[0.1, 0.2, math.nan, 0.3, 0.4, 0.5], B=[0.0] * 6), "A", "B")


class TestSeveralModels:
    # Scores made so that the mean ranks are those of the worked example of Demsar (2006), section 3.2.2, with four
    # decision trees on 14 data sets: 3.143, 2.000, 2.893 and 1.964, for which the paper computes a Friedman statistic
    # of 9.28 (without the correction for ties that SciPy makes).
    demsar = pd.DataFrame(
        [
            (0.763, 0.768, 0.771, 0.798),
            (0.599, 0.591, 0.590, 0.569),
            (0.954, 0.971, 0.968, 0.967),
            (0.628, 0.661, 0.654, 0.657),
            (0.882, 0.888, 0.886, 0.898),
            (0.936, 0.931, 0.916, 0.931),
            (0.661, 0.668, 0.609, 0.685),
            (0.583, 0.583, 0.563, 0.625),
            (0.775, 0.838, 0.866, 0.875),
            (1.000, 1.000, 1.000, 1.000),
            (0.940, 0.962, 0.965, 0.962),
            (0.619, 0.666, 0.614, 0.669),
            (0.972, 0.981, 0.976, 0.975),
            (0.957, 0.978, 0.946, 0.970),
        ],
        columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
    )

    def test_ranks_of_a_published_example(self):
        result = compare_many(self.demsar)
        published = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
        assert result.mean_ranks.to_dict() == pytest.approx(published, abs=5e-4)
        assert list(result.mean_ranks.index) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
        # The correction divides by 1 - sum(t**3 - t) / (n k (k**2 - 1)): one row ties four models, three tie two.
        assert result.friedman_statistic * (1 - (60 + 3 * 6) / (14 * 4 * 15)) == pytest.approx(9.28, abs=0.02)

    def test_friedman_of_a_perfect_agreement(self):
        rising = scores(A=[0.1] * 6, B=[0.2] * 6, C=[0.3] * 6)
        result = compare_many(rising)
        assert result.mean_ranks.to_dict() == {"C": 1, "B": 2, "A": 3}
        # chi2 = n (k - 1) where all rows agree
        assert result.friedman_statistic == pytest.approx(12)
        assert result.friedman_p == pytest.approx(math.exp(-6))

    def test_nemenyi_is_the_studentized_range_of_the_mean_ranks(self):
        result = compare_many(self.demsar)
        ranks = result.mean_ranks
        q = (ranks["C4.5"] - ranks["C4.5+m"]) / math.sqrt(4 * 5 / (6 * 14)) * math.sqrt(2)
        expected = scipy.stats.studentized_range.sf(q, 4, np.inf)
        assert result.p_values.loc["C4.5", "C4.5+m"] == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize("posthoc", ["nemenyi", "wilcoxon"])
    def test_every_posthoc_test_gives_a_symmetric_table_that_finds_the_odd_one_out(self, posthoc):
        rng = np.random.default_rng(0)
        made = scores(A=list(rng.random(30)), B=list(rng.random(30)), C=list(2 + rng.random(30)))
        p_values = compare_many(made, posthoc=posthoc).p_values
        assert list(p_values.index) == list(p_values.columns) == ["A", "B", "C"]
        np.testing.assert_allclose(p_values, p_values.T)
        assert p_values.loc["A", "B"] > 0.05
        assert max(p_values.loc["A", "C"], p_values.loc["B", "C"]) < 1e-4

    def test_pairs_are_adjusted_by_holm(self):
        rng = np.random.default_rng(1)
        base = rng.random(25)
        made = scores(
            A=list(base), B=list(base + rng.normal(0.05, 0.1, 25)), C=list(base + rng.normal(0.02, 0.1, 25))
        )
        pairs = compare_pairs(made, num_resamples=99)
        assert len(pairs) == 3
        assert (pairs["mean_difference"] >= 0).all()
        ordered = pairs.sort_values("wilcoxon_p")
        raw = ordered["wilcoxon_p"].to_numpy()
        holm = np.minimum(np.maximum.accumulate(raw * [3, 2, 1]), 1)
        np.testing.assert_allclose(ordered["wilcoxon_p_holm"], holm)

    def test_two_models_need_no_adjustment(self):
        pairs = compare_pairs(TestTwoModels.six, num_resamples=99)
        assert pairs["wilcoxon_p_holm"].tolist() == pairs["wilcoxon_p"].tolist() == [pytest.approx(2 / 64)]

    def test_refusals(self):
        with pytest.raises(InputError, match="three models or more, got 2"):
            compare_many(TestTwoModels.six)
        short = self.demsar.iloc[:4].rename_axis("dataset")
        with pytest.raises(InputError, match="at least 6 data sets scored by every model, here there are 4"):
            compare_many(short)
        tied = self.demsar.assign(again=self.demsar["C4.5"])
        for compare in (compare_many, compare_pairs):
            with pytest.raises(InputError, match=r"C4\.5 and again have the same score everywhere"):
                compare(tied)
        with pytest.raises(InputError, match="no post-hoc test tukey: choose nemenyi"):
            compare_many(self.demsar, posthoc="tukey")

    def test_the_obstacle_is_the_sentence_that_would_be_raised(self):
        assert why_untestable(self.demsar) is None
        obstacle = why_untestable(self.demsar.iloc[:4])
        with pytest.raises(InputError) as refused:
            compare_many(self.demsar.iloc[:4])
        assert str(refused.value) == obstacle


class TestTwoWayInterval:
    def test_with_the_same_normal_images_it_is_the_interval_over_images(self):
        difference = np.random.default_rng(0).normal(0.1, 0.2, 60)
        low, high = two_way_interval(np.tile(difference, (4000, 1)), confidence=0.9)
        error = difference.std() / math.sqrt(60)
        normal = scipy.stats.norm(difference.mean(), error)
        assert [low, high] == pytest.approx(normal.ppf([0.05, 0.95]), abs=error / 8)

    def test_the_spread_over_draws_of_normal_images_is_added(self):
        rng = np.random.default_rng(0)
        shifts = rng.normal(0, 0.1, 4000)
        difference = rng.normal(0.1, 0.2, 60)
        low, high = two_way_interval(difference + shifts[:, None])
        expected = 1.96 * math.hypot(0.1, difference.std() / math.sqrt(60))
        assert (high - low) / 2 == pytest.approx(expected, rel=0.05)

    def test_it_is_seeded(self):
        differences = np.random.default_rng(0).random((50, 9))
        assert two_way_interval(differences, seed=1) == two_way_interval(differences, seed=1)
        assert two_way_interval(differences, seed=1) != two_way_interval(differences, seed=2)

    def test_refusals(self):
        with pytest.raises(InputError, match=r"got the shape \(3,\)"):
            two_way_interval([0.1, 0.2, 0.3])
        with pytest.raises(InputError, match="without NaN"):
            two_way_interval([[0.1, np.nan]])
