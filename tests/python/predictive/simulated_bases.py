"""Customer bases made by the story that the models tell, event by event; knows none of the models' formulas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Base:
    """x, t_x, T of each customer, orders in the `ahead` time units after, whether still ordering at T, the last two gaps."""

    x: np.ndarray
    t_x: np.ndarray
    T: np.ndarray
    orders_ahead: np.ndarray
    is_alive: np.ndarray
    last_gap: np.ndarray
    gap_before: np.ndarray


def simulate_base(
    count: int,
    r: float,
    alpha: float,
    a: float,
    b: float,
    seed: int,
    stops_at_start: bool = True,
    k: int = 1,
    shortest: float = 200.0,
    longest: float = 400.0,
    ahead: float = 100.0,
) -> Base:
    """Customers whose first order lies between `shortest` and `longest` ago."""
    random = np.random.default_rng(seed)
    rate, stop = random.gamma(r, 1.0 / alpha, count), random.beta(a, b, count)
    T = random.uniform(shortest, longest, count)
    x, later, t_x, now = (np.zeros(count) for _ in range(4))
    last_gap, gap_before = np.full(count, np.nan), np.full(count, np.nan)
    stopped_at = np.where(stops_at_start & (random.random(count) < stop), 0.0, np.inf)
    ordering = np.flatnonzero(np.isinf(stopped_at))
    while len(ordering):
        gap = random.gamma(k, 1.0 / rate[ordering])
        now[ordering] += gap
        is_in_time = now[ordering] <= T[ordering] + ahead
        ordering, gap = ordering[is_in_time], gap[is_in_time]
        is_seen = now[ordering] <= T[ordering]
        seen = ordering[is_seen]
        x[seen] += 1
        t_x[seen] = now[seen]
        gap_before[seen], last_gap[seen] = last_gap[seen], gap[is_seen]
        later[ordering[~is_seen]] += 1
        stops = random.random(len(ordering)) < stop[ordering]
        stopped_at[ordering[stops]] = now[ordering[stops]]
        ordering = ordering[~stops]
    return Base(x, t_x, T, later, stopped_at > T, last_gap, gap_before)
