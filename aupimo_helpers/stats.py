"""Statistics of score tables: pick images, pair models by image, and report what SciPy and scikit-posthocs find.

Nothing here is a formula of its own. The functions check that a question can be asked of the scores, pair them by
image path, hand them to ``scipy.stats`` or ``scikit_posthocs``, and return the answers with their names.

Scores are in [0, 1]. Tests that work on ranks see them rounded to ``decimals`` places, by default to a tenth of a
percentage point: a score of 0.00001 is no victory over 0.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
import scikit_posthocs
import scipy.stats
from matplotlib.cbook import boxplot_stats

from aupimo_helpers.errors import InputError

MIN_PAIRS = 6
"""The fewest pairs a test is run on: the two-sided Wilcoxon test on 5 pairs cannot give a p-value below 0.0625."""


_BOX_PLOT = {
    "whislo": "lower whisker",
    "q1": "lower quartile",
    "med": "median",
    "q3": "upper quartile",
    "whishi": "upper whisker",
}


def representatives(table: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """Pick the images whose scores are nearest to the five numbers of the box plot.

    Where several images are equally near, one that does not yet stand for another number is preferred, then the first
    in the table. With fewer than five different images some stand for more than one number.

    Args:
        table: Score table with the column ``aupimo`` (NaN for normal images, which are never picked).
        by: Column to group by, for instance ``defect``: five images for each of its values. ``None`` takes the
            table as one group.

    Returns:
        Five rows per group, from the lowest to the highest statistic: the columns of ``table``, preceded by
        ``statistic`` ("lower whisker", "lower quartile", "median", "upper quartile", "upper whisker") and ``value``
        (the statistic's value). The index is the one of ``table``, so an image that stands for two numbers occurs
        twice.

    Raises:
        InputError: If no image has a score, or there is no column ``by``.

    Example:
        >>> table = pd.DataFrame({"image_path": list("abcdef"), "aupimo": [0.0, 0.2, 0.5, 0.7, 1.0, np.nan]})
        >>> representatives(table)[["statistic", "image_path"]].to_string(index=False, header=False).split()[-1]
        'e'
        >>> representatives(table)["value"].tolist()
        [0.0, 0.2, 0.5, 0.7, 1.0]

    References:
        The whiskers reach the farthest score within 1.5 box lengths: J. W. Tukey, Exploratory Data Analysis (1977),
        as computed by ``matplotlib.cbook.boxplot_stats``.
    """
    if by is not None and by not in table.columns:
        msg = f"The score table has no column {by!r} to group by, only {', '.join(map(str, table.columns))}."
        raise InputError(msg)
    scored = table.dropna(subset="aupimo")
    if scored.empty:
        msg = "No image has a score: AUPIMO is defined for anomalous images only, and all images here are normal."
        raise InputError(msg)
    groups = [scored] if by is None else [group for _, group in scored.groupby(by, sort=True, observed=True)]
    return pd.concat([_nearest_to_the_box_plot(group) for group in groups])


def _nearest_to_the_box_plot(group: pd.DataFrame) -> pd.DataFrame:
    (box,) = boxplot_stats(group["aupimo"].to_numpy())
    chosen: list[int] = []
    for key in _BOX_PLOT:
        distances = np.abs(group["aupimo"].to_numpy() - box[key])
        nearest = np.flatnonzero(distances == distances.min()).tolist()
        chosen.append(next((i for i in nearest if i not in chosen), nearest[0]))
    picked = group.iloc[chosen].copy()
    picked.insert(0, "statistic", list(_BOX_PLOT.values()))
    picked.insert(1, "value", [float(box[key]) for key in _BOX_PLOT])
    return picked


def pair_scores(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Set the scores of several models on one test set side by side, matched by image path.

    Normal images have no score (NaN) and are left out.

    Args:
        tables: Score table by model name, two or more: columns ``image_path`` (str) and ``aupimo`` (float, NaN for
            normal images). The order of the rows does not matter. Where a table's ``attrs`` hold ``fpr_bounds``, they
            must agree.

    Returns:
        One row per anomalous image, indexed by ``image_path`` in the order of the first table, one float column per
        model in the order of ``tables``.

    Raises:
        InputError: If there are fewer than two tables, a path occurs twice in one, the tables do not hold the same
            images (the message names one that is missing), an image is normal in one table and anomalous in another,
            the FPR bounds differ, or no image is anomalous.

    Example:
        >>> a = pd.DataFrame({"image_path": ["cut/0.png", "cut/1.png", "good/0.png"], "aupimo": [0.9, 0.5, np.nan]})
        >>> b = pd.DataFrame({"image_path": ["cut/1.png", "good/0.png", "cut/0.png"], "aupimo": [0.6, np.nan, 0.7]})
        >>> pair_scores({"A": a, "B": b})
                    A    B
        image_path
        cut/0.png  0.9  0.7
        cut/1.png  0.5  0.6
    """
    if len(tables) < 2:
        msg = f"A comparison needs the scores of two models or more, got {len(tables)}."
        raise InputError(msg)
    first_name = next(iter(tables))
    columns: dict[str, pd.Series] = {}
    for name, table in tables.items():
        repeated = table["image_path"][table["image_path"].duplicated()]
        if len(repeated):
            msg = f"{name} scores the image {repeated.iloc[0]} more than once: keep one score per image."
            raise InputError(msg)
        columns[name] = table.set_index("image_path")["aupimo"]
        _refuse_other_images(first_name, columns[first_name], name, columns[name])
        _refuse_other_bounds(first_name, tables[first_name], name, table)
    paired = pd.DataFrame(columns).loc[columns[first_name].index].dropna(how="all")
    if paired.empty:
        msg = "No image has a score: AUPIMO is defined for anomalous images only, and all images here are normal."
        raise InputError(msg)
    return paired


def _refuse_other_images(name_a: str, a: pd.Series, name_b: str, b: pd.Series) -> None:
    """Refuse two models that were not scored on the same images, or that disagree on which of them are normal."""
    for absent, present, missing in ((name_b, name_a, a.index.difference(b.index)),
                                     (name_a, name_b, b.index.difference(a.index))):  # fmt: skip
        if len(missing):
            others = len(missing) - 1
            missing_ones = (
                f"{missing[0]} and {others} more, scored by {present}, are"
                if others
                else f"{missing[0]}, scored by {present}, is"
            )
            msg = (
                f"{name_a} and {name_b} were not scored on the same test set: {missing_ones} missing from {absent}. "
                "Compare models on the same images only."
            )
            raise InputError(msg)
    other = a.index[a.isna() != b.reindex(a.index).isna()]
    if len(other):
        normal, anomalous = (name_a, name_b) if np.isnan(a[other[0]]) else (name_b, name_a)
        msg = (
            f"{other[0]} is a normal image (no score) for {normal} and an anomalous one for {anomalous}: "
            "score both models with the same masks."
        )
        raise InputError(msg)


def _refuse_other_bounds(name_a: str, a: pd.DataFrame, name_b: str, b: pd.DataFrame) -> None:
    """Refuse scores that were integrated over different FPR ranges: they are different quantities."""
    if "fpr_bounds" in a.attrs and "fpr_bounds" in b.attrs and not np.allclose(a.attrs["fpr_bounds"],
                                                                              b.attrs["fpr_bounds"]):  # fmt: skip
        bounds = [" to ".join(f"{bound:g}" for bound in table.attrs["fpr_bounds"]) for table in (a, b)]
        msg = (
            f"{name_a} was scored with FPR bounds {bounds[0]} and {name_b} with {bounds[1]}: "
            "score both with the same bounds."
        )
        raise InputError(msg)


def why_untestable(scores: pd.DataFrame, *, decimals: int = 3) -> str | None:
    """Say why no test can be run on paired scores, if none can.

    Args:
        scores: One row per image (or per data set), one column per model, as from `pair_scores`.
        decimals: Decimal places that count.

    Returns:
        One sentence that says what stands in the way and what to do, or None if nothing does.

    Raises:
        InputError: If a score is missing (NaN).

    Example:
        >>> print(why_untestable(pd.DataFrame({"A": [0.9, 0.5, 0.7], "B": [0.7, 0.6, 0.1]})))
        A test needs at least 6 images scored by every model, here there are 3: add anomalous images to the test set.
    """
    if scores.isna().to_numpy().any():
        row, column = (int(indices[0]) for indices in np.nonzero(scores.isna().to_numpy()))
        msg = f"{scores.columns[column]} has no score for {scores.index[row]}: leave that row out for every model."
        raise InputError(msg)
    if len(scores) < MIN_PAIRS:
        rows, remedy = (
            ("data sets", "add data sets")
            if scores.index.name == "dataset"
            else ("images", "add anomalous images to the test set")
        )
        return (
            f"A test needs at least {MIN_PAIRS} {rows} scored by every model, here there are {len(scores)}: {remedy}."
        )
    for a, b in combinations(scores.columns, 2):
        if (_steps(scores[a], decimals) == _steps(scores[b], decimals)).all():
            return (
                f"{a} and {b} have the same score everywhere (to {decimals} decimal places), which leaves no "
                "difference to test: leave one of them out."
            )
    return None


def _steps(scores: pd.Series, decimals: int) -> pd.Series:
    """Count scores in whole steps of the last decimal place, so that equal differences are exactly equal."""
    return (scores * 10**decimals).round()


@dataclass(frozen=True)
class PairComparison:
    """What two models' scores on the same images say about them; ``str()`` gives it as text.

    Attributes:
        a: Name of the first model.
        b: Name of the second model.
        num_images: Number of images that both scored.
        mean_a: Mean score of the first model, in [0, 1].
        mean_b: Mean score of the second model, in [0, 1].
        mean_difference: Mean over the images of (first - second), in [-1, 1]: positive if the first is better.
        median_difference: Median of the same differences.
        ci_low: Lower end of the bootstrap confidence interval of the mean difference.
        ci_high: Upper end of it.
        confidence: Level of the interval, in (0, 1).
        ttest_p: Two-sided p-value of the paired t-test (is the mean difference zero?).
        wilcoxon_p: Two-sided p-value of the Wilcoxon signed-rank test (are the differences symmetric about zero?).
        wins: Number of images on which the first model scores higher.
        ties: Number of images on which both score the same, after rounding.
        losses: Number of images on which the second model scores higher.
    """

    a: str
    b: str
    num_images: int
    mean_a: float
    mean_b: float
    mean_difference: float
    median_difference: float
    ci_low: float
    ci_high: float
    confidence: float
    ttest_p: float
    wilcoxon_p: float
    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return (
            f"{self.a} against {self.b} on {self.num_images} images\n"
            f"  mean AUPIMO          {self.mean_a:.1%} against {self.mean_b:.1%}\n"
            f"  mean difference      {100 * self.mean_difference:+.1f} percentage points, {self.confidence:.0%} "
            f"confidence interval {100 * self.ci_low:+.1f} to {100 * self.ci_high:+.1f}\n"
            f"  median difference    {100 * self.median_difference:+.1f} percentage points\n"
            f"  win / tie / loss     {self.wins} / {self.ties} / {self.losses}\n"
            f"  paired t-test        p = {self.ttest_p:.2g}\n"
            f"  Wilcoxon signed-rank p = {self.wilcoxon_p:.2g}"
        )


def compare_pair(
    scores: pd.DataFrame,
    a: str,
    b: str,
    *,
    confidence: float = 0.95,
    num_resamples: int = 9999,
    decimals: int = 3,
    seed: int = 0,
) -> PairComparison:
    """Compare two models image by image.

    The interval is SciPy's bias-corrected and accelerated (BCa) bootstrap of the mean difference; images are
    resampled, so it speaks of other images of the same kind, not of other training runs. (Where all differences
    are equal BCa is undefined and the interval has no width.) The Wilcoxon test splits zero differences evenly
    between the two sides (``zero_method="zsplit"``), as Demšar (2006), section 3.1.3 recommends: an image on which
    both models score 0 or 1 is evidence that they are alike, and dropping it would hide that.

    Args:
        scores: Paired scores, as from `pair_scores`.
        a: Column of the first model.
        b: Column of the second model.
        confidence: Level of the confidence interval, in (0, 1).
        num_resamples: Number of bootstrap samples.
        decimals: Decimal places of a score that count in wins, ties, losses and in the Wilcoxon test.
        seed: Seed of the bootstrap.

    Returns:
        The comparison; differences are ``a - b``.

    Raises:
        InputError: If a name is unknown, there are fewer than 6 images, a score is missing, or all are tied.

    Example:
        >>> scores = pd.DataFrame({"A": [0.9, 0.8, 0.7, 0.9, 0.6, 1.0], "B": [0.7, 0.7, 0.4, 0.9, 0.5, 0.6]})
        >>> comparison = compare_pair(scores, "A", "B")
        >>> print(comparison)
        A against B on 6 images
          mean AUPIMO          81.7% against 63.3%
          mean difference      +18.3 percentage points, 95% confidence interval ...
          median difference    +15.0 percentage points
          win / tie / loss     5 / 1 / 0
          paired t-test        p = 0.028
          Wilcoxon signed-rank p = 0.062

    References:
        J. Demšar: Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006).
    """
    for name in (a, b):
        if name not in scores.columns:
            nearest = get_close_matches(name, map(str, scores.columns), n=1, cutoff=0)
            msg = f"There is no model {name} among the scores; did you mean {nearest[0]}?"
            raise InputError(msg)
    obstacle = why_untestable(scores[[a, b]], decimals=decimals)
    if obstacle:
        raise InputError(obstacle)
    difference = (scores[a] - scores[b]).to_numpy()
    steps = (_steps(scores[a], decimals) - _steps(scores[b], decimals)).to_numpy()
    interval = scipy.stats.bootstrap(
        (difference,),
        np.mean,
        confidence_level=confidence,
        n_resamples=num_resamples,
        batch=1000,
        method="percentile" if np.ptp(steps) == 0 else "BCa",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    with warnings.catch_warnings():
        # All differences equal: t is infinite and p is 0, which is the right answer and needs no warning.
        warnings.filterwarnings("ignore", "Precision loss occurred in moment calculation", RuntimeWarning)
        ttest_p = float(scipy.stats.ttest_rel(scores[a], scores[b]).pvalue)
    return PairComparison(
        a=a,
        b=b,
        num_images=len(scores),
        mean_a=float(scores[a].mean()),
        mean_b=float(scores[b].mean()),
        mean_difference=float(difference.mean()),
        median_difference=float(np.median(difference)),
        ci_low=float(interval.low),
        ci_high=float(interval.high),
        confidence=confidence,
        ttest_p=ttest_p,
        wilcoxon_p=float(scipy.stats.wilcoxon(steps, zero_method="zsplit").pvalue),
        wins=int((steps > 0).sum()),
        ties=int((steps == 0).sum()),
        losses=int((steps < 0).sum()),
    )


def compare_pairs(
    scores: pd.DataFrame,
    *,
    confidence: float = 0.95,
    num_resamples: int = 9999,
    decimals: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every model with every other, the p-values of the Wilcoxon tests also adjusted for their number.

    Args:
        scores: Paired scores, as from `pair_scores`, two models or more.
        confidence: Level of each confidence interval, in (0, 1). The intervals are not adjusted.
        num_resamples: Number of bootstrap samples for each interval.
        decimals: Decimal places of a score that count where ranks are used.
        seed: Seed of each bootstrap.

    Returns:
        One row per pair of models, the better one (by mean score) in column ``a``; the columns are the fields of
        `PairComparison` and ``wilcoxon_p_holm``, the p-value after Holm's correction for the number of pairs.

    Raises:
        InputError: If there are fewer than 6 images, a score is missing, or two models are tied on all images.

    Example:
        >>> a = np.arange(8) / 10
        >>> scores = pd.DataFrame({"A": a, "B": a + 0.1 + a / 100, "C": a + 0.05 * (-1) ** np.arange(8)})
        >>> compare_pairs(scores)[["a", "b", "wins", "losses", "wilcoxon_p", "wilcoxon_p_holm"]].round(4)
           a  b  wins  losses  wilcoxon_p  wilcoxon_p_holm
        0  B  A     8       0      0.0078           0.0234
        1  B  C     8       0      0.0078           0.0234
        2  A  C     4       4      1.0000           1.0000
    """
    obstacle = why_untestable(scores, decimals=decimals)
    if obstacle:
        raise InputError(obstacle)
    best_first = scores[scores.mean().sort_values(ascending=False, kind="stable").index]
    compare = partial(
        compare_pair, scores, confidence=confidence, num_resamples=num_resamples, decimals=decimals, seed=seed
    )
    table = pd.DataFrame([compare(a, b) for a, b in combinations(best_first.columns, 2)])
    adjusted = posthoc_p_values(scores, "wilcoxon", decimals=decimals)
    table["wilcoxon_p_holm"] = [adjusted.loc[a, b] for a, b in zip(table["a"], table["b"], strict=True)]
    return table


Posthoc = Literal["nemenyi", "conover", "wilcoxon"]


def posthoc_p_values(scores: pd.DataFrame, posthoc: Posthoc = "nemenyi", *, decimals: int = 3) -> pd.DataFrame:
    """Find which pairs of several models differ, with p-values that allow for the number of pairs.

    Args:
        scores: One row per image (or per data set), one column per model.
        posthoc: ``nemenyi`` compares mean ranks (the usual companion of the Friedman test, cautious); ``conover``
            also compares ranks, with Holm's correction, and finds more; ``wilcoxon`` tests each pair by itself with
            the signed-rank test and Holm's correction, so that which other models take part changes only the
            correction.
        decimals: Decimal places of a score that count.

    Returns:
        A symmetric table, model x model, of p-values in [0, 1], ones on its diagonal.

    Raises:
        InputError: If ``posthoc`` is none of the three.

    Example:
        >>> a = np.arange(10) / 20
        >>> scores = pd.DataFrame({"A": a, "B": a + 0.05 * (-1) ** np.arange(10), "C": a + 0.3})
        >>> posthoc_p_values(scores).round(3)
               A      B      C
        A  1.000  1.000  0.002
        B  1.000  1.000  0.002
        C  0.002  0.002  1.000
    """
    steps = scores.apply(_steps, decimals=decimals)
    if posthoc == "nemenyi":
        return scikit_posthocs.posthoc_nemenyi_friedman(steps)
    if posthoc == "conover":
        return scikit_posthocs.posthoc_conover_friedman(steps, p_adjust="holm")
    if posthoc == "wilcoxon":
        long = steps.melt(var_name="model", value_name="score")
        return scikit_posthocs.posthoc_wilcoxon(
            long, val_col="score", group_col="model", zero_method="zsplit", p_adjust="holm"
        )
    msg = f"There is no post-hoc test {posthoc}: choose nemenyi, conover or wilcoxon."
    raise InputError(msg)


@dataclass(frozen=True)
class ManyComparison:
    """What several models' scores on the same images (or data sets) say about them.

    Attributes:
        ranks: Rank of each model in each row, 1 for the highest score, ties share the mean of their ranks.
        mean_ranks: Mean rank by model, best first.
        friedman_statistic: The Friedman test's chi-squared statistic, corrected for ties.
        friedman_p: Its p-value (could all models be alike?).
        p_values: Model x model table of the post-hoc test's p-values.
        posthoc: Name of the post-hoc test.
    """

    ranks: pd.DataFrame
    mean_ranks: pd.Series
    friedman_statistic: float
    friedman_p: float
    p_values: pd.DataFrame
    posthoc: Posthoc


def compare_many(scores: pd.DataFrame, *, posthoc: Posthoc = "nemenyi", decimals: int = 3) -> ManyComparison:
    """Rank three models or more in every row, ask whether they differ at all, and if so which do.

    Args:
        scores: One row per image (or per data set), one column per model; higher is better.
        posthoc: The test that follows, see `posthoc_p_values`.
        decimals: Decimal places of a score that count.

    Returns:
        Ranks, the Friedman test and the post-hoc p-values.

    Raises:
        InputError: If there are fewer than three models or six rows, a score is missing, or two models are tied in
            all rows.

    Example:
        >>> a = np.arange(10) / 20
        >>> scores = pd.DataFrame({"A": a, "B": a + 0.05 * (-1) ** np.arange(10), "C": a + 0.3})
        >>> result = compare_many(scores)
        >>> result.mean_ranks
        C    1.0
        A    2.5
        B    2.5
        dtype: float64
        >>> round(result.friedman_p, 4)
        0.0006

    References:
        J. Demšar: Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006), section 3.2.
    """
    if scores.shape[1] < 3:
        msg = f"Ranking needs three models or more, got {scores.shape[1]}: compare two with compare_pair."
        raise InputError(msg)
    obstacle = why_untestable(scores, decimals=decimals)
    if obstacle:
        raise InputError(obstacle)
    steps = scores.apply(_steps, decimals=decimals)
    ranks = steps.rank(axis="columns", ascending=False)
    friedman = scipy.stats.friedmanchisquare(*(steps[name] for name in steps))
    return ManyComparison(
        ranks=ranks,
        mean_ranks=ranks.mean().sort_values(kind="stable"),
        friedman_statistic=float(friedman.statistic),
        friedman_p=float(friedman.pvalue),
        p_values=posthoc_p_values(scores, posthoc, decimals=decimals),
        posthoc=posthoc,
    )
