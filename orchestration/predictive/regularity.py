"""How regular the gaps between orders are, and which model of orders forecasts best on days that it did not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestration.predictive.order_process import (
    expected_orders,
    fit_order_model,
    group_histories,
    model_name,
)

Array = np.ndarray

# A challenger must lower the deviance by this share too: on a large base any difference is more than its error.
SMALLEST_GAIN = 0.01


@dataclass(frozen=True)
class Regularity:
    """k of Wheat and Morrison (1990): 1 is the Poisson case, large is clockwork. None where too few gaps are known."""

    k: float | None
    customer_count: int


@dataclass(frozen=True)
class Trial:
    """How one model forecast the hold-out: mean Poisson deviance per customer, and orders forecast and seen in all."""

    name: str
    deviance: float
    forecast: float
    seen: float


@dataclass(frozen=True)
class Choice:
    """The kind of model that is used, and why."""

    stops_at_start: bool
    k: int
    trials: list[Trial]
    reason: str


def measure_regularity(last_gap: Array, gap_before: Array, fewest: int) -> Regularity:
    """k = (1 - 4 V) / (8 V), V the variance around 1/2 of gap / (gap + next gap) over customers; NaN where one is unknown.

    With Erlang-k gaps that share is Beta(k, k) distributed whatever a customer's own rate, so customers can be put together.
    """
    last_gap, gap_before = np.asarray(last_gap, dtype=np.float64), np.asarray(gap_before, dtype=np.float64)
    both = last_gap + gap_before
    is_known = both > 0
    count = int(is_known.sum())
    if count < fewest:
        return Regularity(None, count)
    share = np.sort(gap_before[is_known] / both[is_known])
    variance = float(np.sum((share - 0.5) ** 2)) / count
    # Without any variance the gaps are clockwork; a large number says so and stays a number.
    return Regularity(1000.0 if variance < 1e-4 else (1.0 - 4.0 * variance) / (8.0 * variance), count)


def choose_order_model(
    customer_id: Array, x: Array, t_x: Array, T: Array, seen: Array, days: float, largest_k: int, most: int
) -> Choice:
    """The kind of model that forecasts a hold-out best, from histories that end before it.

    seen: orders of each customer in the hold-out of `days`. MBG/NBD is used unless a challenger beats it: by more than two standard
    errors of the paired difference in deviance, and by more than 1 % of the deviance. First BG/NBD, in which nobody who ordered
    once can be gone, then the winner's kind with k = 2 to `largest_k`. At most `most` customers are tried, chosen by a hash of
    the id.
    """
    chosen = np.argsort(scattered(customer_id), kind="stable")[:most]
    histories, place = group_histories(x[chosen], t_x[chosen], T[chosen])
    actual = np.asarray(seen, dtype=np.float64)[chosen]
    trials: list[Trial] = []
    deviances: dict[tuple[bool, int], Array] = {}

    def attempt(stops_at_start: bool, k: int) -> None:
        model = fit_order_model(histories, stops_at_start, k)
        expected = expected_orders(model, histories, [days])[place, 0]
        deviances[stops_at_start, k] = poisson_deviance(actual, expected)
        forecast, seen_in_all = float(np.sum(np.sort(expected))), float(np.sum(actual))
        trials.append(Trial(model.name, _mean(deviances[stops_at_start, k]), forecast, seen_in_all))

    def challenge(champion: tuple[bool, int], challengers: list[tuple[bool, int]]) -> tuple[tuple[bool, int], str]:
        best = min(challengers, key=lambda kind: (_mean(deviances[kind]), kind))
        gain = deviances[champion] - deviances[best]
        mean = _mean(gain)
        error = float(np.sqrt(np.sum(np.sort((gain - mean) ** 2)) / max(len(gain) - 1, 1) / len(gain)))
        difference = f"{mean:.4f} +- {error:.4f} per customer"
        if mean > max(2.0 * error, SMALLEST_GAIN * _mean(deviances[champion])):
            return best, f"{model_name(*best)} beats {model_name(*champion)} on the hold-out by {difference}"
        return champion, f"{model_name(*best)} does not beat {model_name(*champion)} clearly: {difference}"

    for stops_at_start in (True, False):
        attempt(stops_at_start, 1)
    winner, reason = challenge((True, 1), [(False, 1)])
    if largest_k < 2:
        return Choice(*winner, trials, f"{reason}; gaps are not regular")
    regular = [(winner[0], k) for k in range(2, largest_k + 1)]
    for kind in regular:
        attempt(*kind)
    winner, second_reason = challenge(winner, regular)
    return Choice(*winner, trials, f"{reason}; {second_reason}")


def poisson_deviance(actual: Array, expected: Array) -> Array:
    """2 (y log(y / m) - (y - m)) by customer: smallest in the mean at the true expectation, less ruled by heavy buyers than squares."""
    expected = np.maximum(expected, 1e-9)
    ratio = np.where(actual > 0, actual, 1.0) / expected
    return 2.0 * (np.where(actual > 0, actual * np.log(ratio), 0.0) - (actual - expected))


def _mean(values: Array) -> float:
    """Mean that does not depend on the order of the rows."""
    return float(np.sum(np.sort(values))) / len(values)


def scattered(customer_id: Array) -> Array:
    """The ids in an order that means nothing (splitmix64)."""
    value = np.asarray(customer_id).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
