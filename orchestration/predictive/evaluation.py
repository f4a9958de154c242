"""Is a model better than what is simple? Measures, paired bootstrap intervals, and the verdict; formulas: docs/definitions.md.

Customers are judged at several cut days. Tied scores share the mean of what they hold, so no measure depends on the order of
rows; intervals resample customers, each with all of its cut days, with one fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

Array = np.ndarray

PROMOTED, BASELINE_SERVES, TOO_LITTLE_DATA = "promoted", "baseline_serves", "too_little_data"
TOP_SHARE = 0.10
DECILES = 10
# A probability of exactly 0 or 1 that is wrong would make the logarithm infinite.
SMALLEST_PROBABILITY = 1e-6
LOWER_IS_BETTER = frozenset({"brier", "log_loss"})


@dataclass(frozen=True)
class Options:
    """Below these nothing is judged. resamples: of the bootstrap; confidence: of its intervals."""

    fewest_origins: int = 2
    fewest_customers: int = 200
    fewest_of_an_outcome: int = 30
    resamples: int = 400
    confidence: float = 0.95
    seed: int = 20240229


OPTIONS = Options()


@dataclass(frozen=True)
class Question:
    """What is judged: the model's name, the metric that decides, days of the outcome, and whether the outcome is yes or no.

    in_use: what serves as long as the model is not promoted; empty: the best baseline. is_advice: nothing follows the verdict;
    where the model's number is used, another verdict decides.
    """

    model: str
    deciding_metric: str
    horizon_days: int
    is_yes_or_no: bool = False
    in_use: str = ""
    is_advice: bool = False


@dataclass(frozen=True)
class Origin:
    """Customers at the end of one cut day, and what came after it.

    customer_id: unique. actual: outcome, 0 or 1 for yes or no. scores: of the model and of each baseline by name, higher
    where more is expected. probabilities: the same as chances, for yes or no. predicted: the model's outcome in its unit.
    """

    day: date
    customer_id: Array
    actual: Array
    scores: dict[str, Array]
    predicted: Array
    probabilities: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """reason, reason_zh: why nothing could be judged, else empty. rows: one per metric: metric, value, low, high, baseline,
    baseline_value, gain, gain_low, gain_high, comparison, is_deciding, baseline_values (dict). gain: how much better the model
    is, whichever way the metric points."""

    question: Question
    verdict: str
    served_model: str
    best_baseline: str
    reason: str
    reason_zh: str
    origin_days: tuple[date, ...]
    customer_count: int
    rows: pd.DataFrame


class Ranking:
    """Customers from the highest score to the lowest, those with one score as a group that shares what it holds."""

    def __init__(self, actual: Array, score: Array) -> None:
        actual, score = np.asarray(actual, np.float64), np.asarray(score, np.float64)
        # The second key makes sums independent of the order of the rows.
        self._order = np.lexsort((actual, -score))
        ordered = score[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(score) else np.array([], int)
        self._actual = actual[self._order]

    def capture(self, share: float = TOP_SHARE, weight: Array | None = None) -> float:
        """Share of all that is held by the top `share` of the customers; a group on the edge counts in part."""
        size, held = self._groups(weight)
        total = held.sum()
        if not total > 0:
            return float("nan")
        reached, gained = np.r_[0.0, np.cumsum(size)], np.r_[0.0, np.cumsum(held)]
        return float(np.interp(share * reached[-1], reached, gained) / total)

    def gini(self, weight: Array | None = None) -> float:
        """(sum of cumulative shares - (n + 1) / 2) / n, from the highest score to the lowest."""
        size, held = self._groups(weight)
        total, count = held.sum(), size.sum()
        if not total > 0:
            return float("nan")
        share = held / total
        before = np.cumsum(share) - share
        return float((np.sum(size * before + share * (size + 1) / 2) - (count + 1) / 2) / count)

    def _groups(self, weight: Array | None) -> tuple[Array, Array]:
        weight = np.ones(len(self._order)) if weight is None else weight[self._order].astype(np.float64)
        size = np.add.reduceat(weight, self._starts)
        return size, np.add.reduceat(weight * self._actual, self._starts)


def capture(actual: Array, score: Array, share: float = TOP_SHARE) -> float:
    """Share of the actual value that the customers with the highest scores hold, `share` of all customers."""
    return Ranking(actual, score).capture(share)


def normalised_gini(actual: Array, score: Array) -> float:
    """Gini of the actual values in the order of the score, over that in their own order: 1 is perfect, 0 is chance."""
    return _quotient(Ranking(actual, score).gini(), Ranking(actual, actual).gini())


def spearman(actual: Array, score: Array) -> float:
    """Correlation of the mid-ranks."""
    return _rank_correlation(_places(actual), _places(score), np.ones(len(actual)))


def brier(happened: Array, probability: Array, weight: Array | None = None) -> float:
    """Mean squared distance of the probability from what happened, 0 or 1."""
    return float(np.average((probability - happened) ** 2, weights=weight))


def log_loss(happened: Array, probability: Array, weight: Array | None = None) -> float:
    """Mean of minus the logarithm of the probability given to what happened."""
    p = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return float(-np.average(np.where(happened > 0, np.log(p), np.log1p(-p)), weights=weight))


def calibration(actual: Array, predicted: Array) -> dict[str, float]:
    """Predicted over actual in all and by decile of the prediction, mean distance of those from 1, and the line actual on predicted.

    A decile holds the customers whose mid-rank lies in its tenth, so that equal predictions stay together; NaN where empty
    or where nothing came.
    """
    actual, predicted = np.asarray(actual, np.float64), np.asarray(predicted, np.float64)
    order = np.lexsort((actual, predicted))
    actual, predicted = actual[order], predicted[order]
    place = (_midranks(_places(predicted), np.ones(len(predicted))) - 0.5) / len(predicted)
    decile = np.minimum((place * DECILES).astype(np.int64), DECILES - 1)
    expected = np.bincount(decile, weights=predicted, minlength=DECILES)
    came = np.bincount(decile, weights=actual, minlength=DECILES)
    ratios = np.array([_quotient(left, right) for left, right in zip(expected, came, strict=True)])
    known = ratios[~np.isnan(ratios)]
    spread = float(np.mean((predicted - predicted.mean()) ** 2))
    slope = _quotient(float(np.mean((predicted - predicted.mean()) * actual)), spread)
    return {
        "calibration_ratio": _quotient(float(expected.sum()), float(came.sum())),
        "calibration_slope": slope,
        "calibration_intercept": float(actual.mean() - slope * predicted.mean()),
        "calibration_decile_error": float(np.mean(np.abs(known - 1))) if len(known) else float("nan"),
        **{f"calibration_decile_{number:02d}": float(ratio) for number, ratio in enumerate(ratios, start=1)},
    }


def evaluate(question: Question, origins: Sequence[Origin], options: Options = OPTIONS) -> Evaluation:
    """Judge a model against all baselines over its cut days.

    The best baseline is the one with the best value of the metric. The model is promoted where the lower end of the interval
    of its gain in the deciding metric is above 0. Too little data is a verdict, never an exception.
    """
    origins = [_sorted(origin) for origin in origins]
    shortages = [(origin.day, _shortage(question, origin, options)) for origin in origins]
    enough = [origin for origin, (_, shortage) in zip(origins, shortages, strict=True) if shortage is None]
    days = tuple(origin.day for origin in enough)
    customers = np.unique(np.concatenate([origin.customer_id for origin in enough])) if enough else np.array([])
    if len(enough) < options.fewest_origins:
        fewest = options.fewest_origins
        reason = [
            f"{len(enough)} cut days, fewer than {fewest}",
            *(f"{day}: {one[0]}" for day, one in shortages if one),
        ]
        reason_zh = [f"{len(enough)}个截止日，少于{fewest}个", *(f"{day}：{one[1]}" for day, one in shortages if one)]
        texts = "; ".join(reason), "；".join(reason_zh)
        return Evaluation(question, TOO_LITTLE_DATA, question.in_use, "", *texts, days, len(customers), pd.DataFrame())
    values = _measure(question, enough, customers, options)
    rows = [_compare(question, metric, *values[metric], options) for metric in values]
    rows += [_uncompared(metric, value) for metric, value in _calibrated(enough).items()]
    table = pd.DataFrame(rows)
    decided = table[table["is_deciding"]].iloc[0]
    is_better = bool(decided["gain_low"] > 0)
    best = str(decided["baseline"])
    return Evaluation(
        question,
        PROMOTED if is_better else BASELINE_SERVES,
        question.model if is_better else question.in_use or best,
        best,
        "",
        "",
        days,
        len(customers),
        table,
    )


def as_probability(score: Array, earlier_score: Array, earlier_happened: Array) -> Array:
    """A score without a unit as a chance: the share of yes in its tenth of the scores of an earlier day, (yes + 1) / (n + 2).

    The edges of the tenths are scores of the earlier day; equal scores lie in one tenth.
    """
    edges = np.unique(np.quantile(earlier_score, np.arange(1, DECILES) / DECILES, method="lower"))
    before = np.searchsorted(edges, earlier_score, side="left")
    count = np.bincount(before, minlength=len(edges) + 1)
    yes = np.bincount(before, weights=earlier_happened, minlength=len(edges) + 1)
    return np.asarray(((yes + 1) / (count + 2))[np.searchsorted(edges, score, side="left")])


def _sorted(origin: Origin) -> Origin:
    order = np.argsort(origin.customer_id, kind="stable")
    return Origin(
        origin.day,
        origin.customer_id[order],
        np.asarray(origin.actual, np.float64)[order],
        {name: np.asarray(score, np.float64)[order] for name, score in origin.scores.items()},
        np.asarray(origin.predicted, np.float64)[order],
        {name: np.asarray(chance, np.float64)[order] for name, chance in origin.probabilities.items()},
    )


def _shortage(question: Question, origin: Origin, options: Options) -> tuple[str, str] | None:
    """Why a cut day cannot be judged, in English and Chinese; None when it can."""
    if question.model not in origin.scores:
        return "no model", "没有模型"
    count, positive = len(origin.actual), int((origin.actual > 0).sum())
    counted = [
        (count, options.fewest_customers, "customers", "位客户"),
        (positive, options.fewest_of_an_outcome, "customers with an outcome", "位客户有该结果"),
    ]
    if question.is_yes_or_no:
        without = count - positive
        counted.append((without, options.fewest_of_an_outcome, "customers without the outcome", "位客户没有该结果"))
    for found, fewest, what, what_zh in counted:
        if found < fewest:
            return f"{found} {what}, fewer than {fewest}", f"{found}{what_zh}，少于{fewest}位"
    return None


def _measure(
    question: Question, origins: list[Origin], customers: Array, options: Options
) -> dict[str, tuple[dict[str, float], dict[str, Array]]]:
    """By metric: the value of each scorer, mean over the cut days, and its values in the resamples."""
    measures = [_Measures(question, origin) for origin in origins]
    places = [np.searchsorted(customers, origin.customer_id) for origin in origins]

    def mean(weight: Array | None) -> dict[str, dict[str, float]]:
        found = [
            measure.values(None if weight is None else weight[place])
            for measure, place in zip(measures, places, strict=True)
        ]
        return {
            metric: {name: float(np.mean([one[metric][name] for one in found])) for name in found[0][metric]}
            for metric in found[0]
        }

    whole = mean(None)
    resampled = [mean(weight) for weight in _resamples(len(customers), options)]
    return {
        metric: (values, {name: np.array([one[metric][name] for one in resampled]) for name in values})
        for metric, values in whole.items()
    }


class _Measures:
    """All metrics of all scorers at one cut day, with customers counted as often as a resample has them."""

    def __init__(self, question: Question, origin: Origin) -> None:
        # A loss is no value that a ranking could find; the share of a total with losses in it means nothing.
        self._actual = np.maximum(origin.actual, 0.0)
        self._perfect = Ranking(self._actual, self._actual)
        self._rankings = {name: Ranking(self._actual, score) for name, score in origin.scores.items()}
        self._place = _places(self._actual)
        self._places = {name: _places(score) for name, score in origin.scores.items()}
        self._probabilities = origin.probabilities
        self._is_yes_or_no = question.is_yes_or_no

    def values(self, weight: Array | None) -> dict[str, dict[str, float]]:
        perfect = self._perfect.gini(weight)
        counted = np.ones(len(self._actual)) if weight is None else weight.astype(np.float64)
        captured = {name: ranking.capture(TOP_SHARE, weight) for name, ranking in self._rankings.items()}
        found = {
            "normalised_gini": {name: _quotient(one.gini(weight), perfect) for name, one in self._rankings.items()},
            "capture_10": captured,
            "lift_10": {name: value / TOP_SHARE for name, value in captured.items()},
            "spearman": {name: _rank_correlation(self._place, place, counted) for name, place in self._places.items()},
        }
        losses: dict[str, Callable[[Array, Array, Array | None], float]] = {"brier": brier, "log_loss": log_loss}
        if self._is_yes_or_no:
            for metric, loss in losses.items():
                found[metric] = {name: loss(self._actual, p, weight) for name, p in self._probabilities.items()}
        return found


def _resamples(count: int, options: Options) -> Iterator[Array]:
    """How often each customer is drawn, by resample."""
    generator = np.random.default_rng(options.seed)
    for _ in range(options.resamples):
        yield np.bincount(generator.integers(count, size=count), minlength=count)


def _compare(
    question: Question, metric: str, values: dict[str, float], resampled: dict[str, Array], options: Options
) -> dict[str, object]:
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    baselines = {name: value for name, value in values.items() if name != question.model}
    best = max(sorted(baselines), key=lambda name: np.nan_to_num(sign * baselines[name], nan=-np.inf))
    low, high = _interval(resampled[question.model], options)
    gain_low, gain_high = _interval(sign * (resampled[question.model] - resampled[best]), options)
    comparison = "model_better" if gain_low > 0 else "baseline_better" if gain_high < 0 else "no_clear_difference"
    return {
        "metric": metric,
        "value": values[question.model],
        "low": low,
        "high": high,
        "baseline": best,
        "baseline_value": baselines[best],
        "gain": sign * (values[question.model] - baselines[best]),
        "gain_low": gain_low,
        "gain_high": gain_high,
        "comparison": comparison,
        "is_deciding": metric == question.deciding_metric,
        "baseline_values": baselines,
    }


def _uncompared(metric: str, value: float) -> dict[str, object]:
    unknown = dict.fromkeys(("low", "high", "baseline_value", "gain", "gain_low", "gain_high"), float("nan"))
    row = {"metric": metric, "value": value, **unknown, "baseline": "", "comparison": "not_compared"}
    return row | {"is_deciding": False, "baseline_values": {}}


def _calibrated(origins: list[Origin]) -> dict[str, float]:
    """Calibration of the model over all cut days together."""
    return calibration(
        np.concatenate([origin.actual for origin in origins]), np.concatenate([origin.predicted for origin in origins])
    )


def _interval(values: Array, options: Options) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    rest = (1 - options.confidence) / 2
    low, high = np.quantile(known, [rest, 1 - rest])
    return float(low), float(high)


def _places(values: Array) -> Array:
    """Place of each value among the distinct ones, from the lowest."""
    return np.unique(values, return_inverse=True)[1]


def _midranks(place: Array, weight: Array) -> Array:
    """Rank of each row by its place, ties at their mean, where a row counts as often as its weight says."""
    size = np.bincount(place, weights=weight)
    return np.asarray((np.cumsum(size) - size + (size + 1) / 2)[place])


def _rank_correlation(left_place: Array, right_place: Array, weight: Array) -> float:
    left, right = _midranks(left_place, weight), _midranks(right_place, weight)
    # The mean mid-rank is known, whatever the ties.
    centre = (weight.sum() + 1) / 2
    left, right = left - centre, right - centre
    spread = np.sqrt(np.sum(weight * left**2) * np.sum(weight * right**2))
    return _quotient(float(np.sum(weight * left * right)), float(spread))


def _quotient(value: float, by: float) -> float:
    return float(value / by) if by else float("nan")
