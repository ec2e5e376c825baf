"""Statistics of score tables: pick images, pair models by image, and report what SciPy and scikit-posthocs find.

Nothing here is a formula of its own. The functions check that a question can be asked of the scores, pair them by
image path, hand them to ``scipy.stats`` or ``scikit_posthocs``, and return the answers with their names.

Paired scores, in [0, 1], have one row per image (or data set) and one column per model. Tests that work on ranks see
them rounded to a tenth of a percentage point: a score of 0.00001 is no victory over 0.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
import scikit_posthocs
import scipy.stats
from numpy.typing import ArrayLike

from aupimo_helpers.errors import InputError, did_you_mean

Posthoc = Literal["nemenyi", "wilcoxon"]
# The fewest pairs a test is run on: the two-sided Wilcoxon test on 5 pairs cannot give a p-value below 0.0625.
MIN_PAIRS = 6
_DECIMALS = 3  # of a score that count where ranks are used
_NO_SCORE = "No image has a score: AUPIMO is defined for anomalous images only, and all images here are normal."
_FIVE_NUMBERS = {"lowest": 0.0, "lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75, "highest": 1.0}


def representatives(table: pd.DataFrame, by: str | None = None, *, then: str | None = None) -> pd.DataFrame:
    """Pick the images nearest to the five numbers that sum up the scores, for each value of the column ``by``.

    The five numbers are the lowest and the highest score, the quartiles and the median (J. W. Tukey, 1977). Images of
    equal score are put in order by the column ``then``, then as in the table, so that an image stands for two numbers
    only where there are fewer than five.

    Returns:
        Five rows per group, from the lowest to the highest number: the columns and the index of ``table``, preceded
        by ``statistic`` (the number's name), ``value`` and ``alike`` (how many images of the group have the same
        score and the same ``then``, this one included).

    Raises:
        InputError: If no image has a score, or there is no column ``by`` or ``then``.

    Example:
        >>> table = pd.DataFrame({"image_path": list("abcdef"), "aupimo": [0.0, 0.2, 0.5, 0.7, 1.0, np.nan]})
        >>> representatives(table).set_index("statistic").loc["upper quartile", "image_path"]
        'd'
    """
    for column, purpose in ((by, "group by"), (then, "order equal scores by")):
        if column is not None and column not in table.columns:
            raise InputError(
                f"The score table has no column {column!r} to {purpose}, only {', '.join(map(str, table.columns))}."
            )
    scored = table.dropna(subset="aupimo")
    if scored.empty:
        raise InputError(_NO_SCORE)
    keys = ["aupimo"] if then is None else ["aupimo", then]
    groups = [scored] if by is None else [group for _, group in scored.groupby(by, sort=True, observed=True)]
    return pd.concat([_five_of(group.sort_values(keys, kind="stable"), keys) for group in groups])


def _five_of(ordered: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    # The nearest place; of two as near the higher one, where len // 2 is.
    places = [int(share * (len(ordered) - 1) + 0.5) for share in _FIVE_NUMBERS.values()]
    picked = ordered.iloc[places].copy()
    picked.insert(0, "statistic", list(_FIVE_NUMBERS))
    picked.insert(1, "value", ordered["aupimo"].quantile(list(_FIVE_NUMBERS.values())).to_numpy())
    picked.insert(2, "alike", ordered.groupby(keys)["aupimo"].transform("size").iloc[places].to_numpy())
    return picked


def pair_scores(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Set the scores of several models on one test set side by side, matched by image path.

    Each model's table has the columns ``image_path`` and ``aupimo`` (NaN for normal images, which are left out).

    Returns:
        One row per anomalous image, indexed by ``image_path`` in the first table's order, one column per model.

    Raises:
        InputError: If there are fewer than two tables, a path occurs twice in one, the tables do not hold the same
            images or disagree on which are normal, their ``attrs["fpr_bounds"]`` differ, or no image is anomalous.

    Example:
        >>> a = pd.DataFrame({"image_path": ["cut/0.png", "cut/1.png", "good/0.png"], "aupimo": [0.9, 0.5, np.nan]})
        >>> b = pd.DataFrame({"image_path": ["cut/1.png", "good/0.png", "cut/0.png"], "aupimo": [0.6, np.nan, 0.7]})
        >>> pair_scores({"A": a, "B": b}).loc["cut/0.png"].tolist()
        [0.9, 0.7]
    """
    if len(tables) < 2:
        raise InputError(f"A comparison needs the scores of two models or more, got {len(tables)}.")
    first_name = next(iter(tables))
    columns: dict[str, pd.Series] = {}
    for name, table in tables.items():
        repeated = table["image_path"][table["image_path"].duplicated()]
        if len(repeated):
            raise InputError(f"{name} scores the image {repeated.iloc[0]} more than once: keep one score per image.")
        columns[name] = table.set_index("image_path")["aupimo"]
        _refuse_other_images(first_name, columns[first_name], name, columns[name])
        _refuse_other_bounds(first_name, tables[first_name], name, table)
    paired = pd.DataFrame(columns).loc[columns[first_name].index].dropna(how="all")
    if paired.empty:
        raise InputError(_NO_SCORE)
    return paired


def _refuse_other_images(name_a: str, a: pd.Series, name_b: str, b: pd.Series) -> None:
    """Refuse two models that were not scored on the same images, or that disagree on which of them are normal."""
    for absent, present, missing in ((name_b, name_a, a.index.difference(b.index)),
                                     (name_a, name_b, b.index.difference(a.index))):  # fmt: skip
        if len(missing):
            others = len(missing) - 1
            more, verb = (f" and {others} more", "are") if others else ("", "is")
            raise InputError(
                f"{name_a} and {name_b} were not scored on the same test set: {missing[0]}{more}, scored by "
                f"{present}, {verb} missing from {absent}. Compare models on the same images only."
            )
    other = a.index[a.isna() != b.reindex(a.index).isna()]
    if len(other):
        normal, anomalous = (name_a, name_b) if np.isnan(a[other[0]]) else (name_b, name_a)
        raise InputError(
            f"{other[0]} is a normal image (no score) for {normal} and an anomalous one for {anomalous}: "
            "score both models with the same masks."
        )


def _refuse_other_bounds(name_a: str, a: pd.DataFrame, name_b: str, b: pd.DataFrame) -> None:
    """Refuse scores that were integrated over different FPR ranges: they are different quantities."""
    both = [table.attrs["fpr_bounds"] for table in (a, b) if "fpr_bounds" in table.attrs]
    if len(both) == 2 and not np.allclose(*both):
        bounds = [" to ".join(f"{bound:g}" for bound in each) for each in both]
        raise InputError(
            f"{name_a} was scored with FPR bounds {bounds[0]} and {name_b} with {bounds[1]}: "
            "score both with the same bounds."
        )


def why_untestable(scores: pd.DataFrame) -> str | None:
    """Say in one sentence why no test can be run on paired scores, and what to do; None if nothing stands in the way.

    Raises:
        InputError: If a score is missing (NaN).

    Example:
        >>> print(why_untestable(pd.DataFrame({"A": [0.9, 0.5, 0.7], "B": [0.7, 0.6, 0.1]})))
        A test needs at least 6 images scored by every model, here there are 3: add anomalous images to the test set.
    """
    missing = np.argwhere(scores.isna().to_numpy())
    if len(missing):
        row, column = missing[0]
        raise InputError(
            f"{scores.columns[column]} has no score for {scores.index[row]}: leave that row out for every model."
        )
    if len(scores) < MIN_PAIRS:
        rows, remedy = "images", "add anomalous images to the test set"
        if scores.index.name == "dataset":
            rows, remedy = "data sets", "add data sets"
        return (
            f"A test needs at least {MIN_PAIRS} {rows} scored by every model, here there are {len(scores)}: {remedy}."
        )
    for a, b in combinations(scores.columns, 2):
        if (_steps(scores[a]) == _steps(scores[b])).all():
            return (
                f"{a} and {b} have the same score everywhere (to {_DECIMALS} decimal places), which leaves no "
                "difference to test: leave one of them out."
            )
    return None


def _refuse_untestable(scores: pd.DataFrame) -> None:
    if obstacle := why_untestable(scores):
        raise InputError(obstacle)


def _steps(scores: pd.Series) -> pd.Series:
    """Count scores in whole steps of the last decimal place, so that equal differences are exactly equal."""
    return (scores * 10**_DECIMALS).round()


@dataclass(frozen=True)
class PairComparison:
    """What two models' scores on the same images say about them; ``str()`` gives it as text.

    Differences are ``a - b``; ``ci_low`` and ``ci_high`` are the ends of the interval of their mean. The p-values are
    two-sided; ``permutation_p`` is that of the mean. ``wilcoxon_p``, ``wins``, ``ties`` and ``losses`` (those of
    ``a``) are of rounded scores.
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
    permutation_p: float
    ttest_p: float
    wilcoxon_p: float
    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return (
            f"{self.a} against {self.b} on {self.num_images} images\n"
            f"  mean AUPIMO          {100 * self.mean_a:.1f} % against {100 * self.mean_b:.1f} %\n"
            f"  mean difference      {100 * self.mean_difference:+.1f} percentage points, "
            f"{100 * self.confidence:g} % confidence interval {100 * self.ci_low:+.1f} to {100 * self.ci_high:+.1f}\n"
            f"  median difference    {100 * self.median_difference:+.1f} percentage points\n"
            f"  permutation test     p = {self.permutation_p:.2g} (of the mean)\n"
            f"  paired t-test        p = {self.ttest_p:.2g} (of the mean)\n"
            f"  Wilcoxon signed-rank p = {self.wilcoxon_p:.2g} (of scores rounded to 0.1 percentage points)\n"
            f"  win / tie / loss     {self.wins} / {self.ties} / {self.losses} (likewise rounded)"
        )


def compare_pair(
    scores: pd.DataFrame, a: str, b: str, *, confidence: float = 0.95, num_resamples: int = 9999, seed: int = 0
) -> PairComparison:
    """Compare two models image by image.

    The interval is SciPy's bias-corrected and accelerated (BCa) bootstrap of the mean difference; anomalous images
    are resampled, so it speaks of others of the same kind, not of other normal images (`two_way_interval`) or
    training runs. The permutation test swaps the two models' scores of an image at random. The Wilcoxon test splits
    zero differences evenly between the two sides, as J. Demšar recommends (JMLR 7, 2006, section 3.1.3): an image on
    which both models score 0 or 1 is evidence that they are alike, and dropping it would hide that.

    Raises:
        InputError: If a name is unknown, there are fewer than 6 images, a score is missing, or all are tied.

    Example:
        >>> scores = pd.DataFrame({"A": [0.9, 0.8, 0.7, 0.9, 0.6, 1.0], "B": [0.7, 0.7, 0.4, 0.9, 0.5, 0.6]})
        >>> print(compare_pair(scores, "A", "B"))
        A against B on 6 images ...
          permutation test     p = 0.062 (of the mean) ...
    """
    for name in (a, b):
        if name not in scores.columns:
            near = did_you_mean(name, map(str, scores.columns), 0)
            raise InputError(f"There is no model {name} among the scores.{near}")
    _refuse_untestable(scores[[a, b]])
    difference = (scores[a] - scores[b]).to_numpy()
    steps = (_steps(scores[a]) - _steps(scores[b])).to_numpy()
    interval = scipy.stats.bootstrap(
        (difference,),
        np.mean,
        confidence_level=confidence,
        n_resamples=num_resamples,
        batch=1000,
        method="percentile" if np.ptp(steps) == 0 else "BCa",  # equal differences: BCa is undefined
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    permutation = scipy.stats.permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        n_resamples=num_resamples,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
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
        permutation_p=float(permutation.pvalue),
        ttest_p=ttest_p,
        wilcoxon_p=float(scipy.stats.wilcoxon(steps, zero_method="zsplit").pvalue),
        wins=int((steps > 0).sum()),
        ties=int((steps == 0).sum()),
        losses=int((steps < 0).sum()),
    )


def two_way_interval(differences: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Bootstrap a mean difference over normal and anomalous images: its percentile interval.

    Args:
        differences: (B, N), of N anomalous images; each row with the normal images drawn again, as
            ``aupimo_helpers.metrics.reweighted_scores`` gives it for the rows of a multinomial draw. Here the
            anomalous images are drawn again, anew for each row.
        confidence: Level of the interval, in (0, 1).
        seed: Of the draws of anomalous images.

    Raises:
        InputError: If there are not two dimensions, or a difference is missing (NaN).

    Example:
        >>> two_way_interval(np.full((200, 8), 0.25))
        (0.25, 0.25)

    References:
        A. B. Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007), 386-411.
    """
    rows = np.asarray(differences, dtype=np.float64)
    if rows.ndim != 2 or np.isnan(rows).any():
        raise InputError(
            f"Expected differences of shape (B, N) without NaN, got the shape {rows.shape}: one row per draw of the "
            "normal images, one column per anomalous image."
        )
    number = rows.shape[1]
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=len(rows))
    tail = (1 - confidence) / 2
    low, high = np.quantile((rows * drawn).sum(axis=1) / number, [tail, 1 - tail])
    return float(low), float(high)


def compare_pairs(
    scores: pd.DataFrame, *, confidence: float = 0.95, num_resamples: int = 9999, seed: int = 0
) -> pd.DataFrame:
    """Compare every model with every other, as `compare_pair` does; the intervals are not adjusted for their number.

    Returns:
        One row per pair of models, the better one (by mean score) in column ``a``; the columns are the fields of
        `PairComparison` and ``wilcoxon_p_holm``, the p-value after Holm's correction for the number of pairs.

    Raises:
        InputError: If there are fewer than 6 images, a score is missing, or two models are tied on all images.

    Example:
        >>> a = np.arange(8) / 10
        >>> scores = pd.DataFrame({"A": a, "B": a + 0.1 + a / 100, "C": a + 0.05 * (-1) ** np.arange(8)})
        >>> compare_pairs(scores)["wilcoxon_p_holm"].round(4).tolist()
        [0.0234, 0.0234, 1.0]
    """
    _refuse_untestable(scores)
    best_first = scores.mean().sort_values(ascending=False, kind="stable").index
    compare = partial(compare_pair, scores, confidence=confidence, num_resamples=num_resamples, seed=seed)
    table = pd.DataFrame([compare(a, b) for a, b in combinations(best_first, 2)])
    adjusted = _posthoc_p_values(scores, "wilcoxon")
    table["wilcoxon_p_holm"] = [adjusted.loc[a, b] for a, b in zip(table["a"], table["b"], strict=True)]
    return table


def _posthoc_p_values(scores: pd.DataFrame, posthoc: Posthoc) -> pd.DataFrame:
    """Find which pairs of models differ: a symmetric table of p-values that allow for the number of pairs."""
    steps = scores.apply(_steps)
    if posthoc == "nemenyi":
        return scikit_posthocs.posthoc_nemenyi_friedman(steps)
    if posthoc == "wilcoxon":
        long = steps.melt(var_name="model", value_name="score")
        names = {"val_col": "score", "group_col": "model"}
        return scikit_posthocs.posthoc_wilcoxon(long, zero_method="zsplit", p_adjust="holm", **names)
    raise InputError(f"There is no post-hoc test {posthoc}: choose nemenyi or wilcoxon.")


@dataclass(frozen=True)
class ManyComparison:
    """What several models' scores on the same images (or data sets) say about them.

    ``ranks`` are 1 for the highest score of a row, ties share the mean of their ranks; ``mean_ranks`` come best
    first. ``p_values``, model x model, are those of the ``posthoc`` test; Friedman's asks whether all models could be
    alike.
    """

    ranks: pd.DataFrame
    mean_ranks: pd.Series
    friedman_statistic: float
    friedman_p: float
    p_values: pd.DataFrame
    posthoc: Posthoc


def compare_many(scores: pd.DataFrame, *, posthoc: Posthoc = "nemenyi") -> ManyComparison:
    """Rank three models or more in every row, ask whether they differ at all, and if so which do.

    ``posthoc="nemenyi"`` compares mean ranks (the usual companion of the Friedman test, cautious); ``"wilcoxon"``
    tests each pair by itself with the signed-rank test and Holm's correction, so that which other models take part
    changes only the correction. After J. Demšar (JMLR 7, 2006, section 3.2).

    Raises: InputError: If there are fewer than three models, ``posthoc`` is neither of the two, or as for
    `compare_pairs`.

    Example:
        >>> a = np.arange(10) / 20
        >>> scores = pd.DataFrame({"A": a, "B": a + 0.05 * (-1) ** np.arange(10), "C": a + 0.3})
        >>> compare_many(scores).mean_ranks.to_dict()
        {'C': 1.0, 'A': 2.5, 'B': 2.5}
    """
    if scores.shape[1] < 3:
        raise InputError(f"Ranking needs three models or more, got {scores.shape[1]}: compare two with compare_pair.")
    _refuse_untestable(scores)
    steps = scores.apply(_steps)
    ranks = steps.rank(axis="columns", ascending=False)
    friedman = scipy.stats.friedmanchisquare(*(steps[name] for name in steps))
    return ManyComparison(
        ranks=ranks,
        mean_ranks=ranks.mean().sort_values(kind="stable"),
        friedman_statistic=float(friedman.statistic),
        friedman_p=float(friedman.pvalue),
        p_values=_posthoc_p_values(scores, posthoc),
        posthoc=posthoc,
    )
