"""A clock that stands still while business is closed: a day counts by how much of the usual business it saw.

Spring Festival, Christmas, a strike: whatever closes a kind of customer shows in what all of that kind order, so no list of
holidays has to be kept. A day that sees at least half of what is usual for its weekday counts as one day; a quieter one by
its share of the usual. A weekday on which nothing is ever delivered counts: it is part of everybody's rhythm.
"""

from __future__ import annotations

import numpy as np

# Weeks before and after a day whose same weekdays say what is usual, as far as they are known.
_WEEKS_AROUND = 13
# Orders that are enough to tell a quiet day from chance: Poisson(30) falls below a half once in 500.
_ENOUGH_ORDERS = 30
_QUIET_SHARE = 0.5
# The weeks around all days of a kind take about a megabyte.
_KINDS_AT_ONCE = 64


class OpenDays:
    """Open days between two dates, per kind of customer, from what was ordered until the last of `orders`' days.

    orders: customers that ordered, shape (kinds, days), of consecutive days from `first_day` (days since 1970-01-01). A kind
    with too few orders to judge a day, or a week around it, follows all customers; where they are too few too, every day counts.
    """

    def __init__(self, orders: np.ndarray, first_day: int) -> None:
        self.first_day = first_day
        of_all = _shares(orders.sum(axis=0, keepdims=True))
        shares = _shares_of_kinds(orders)
        self.shares = np.nan_to_num(np.where(np.isnan(shares), of_all, shares), nan=1.0)
        self._elapsed = np.concatenate([np.zeros((len(orders), 1)), np.cumsum(self.shares, axis=1)], axis=1)

    def elapsed(self, kind: np.ndarray, day: np.ndarray | int) -> np.ndarray:
        """Open days of each kind from the first day until the end of `day`; days before the first count as 1."""
        place = np.asarray(day) - self.first_day + 1
        inside = np.clip(place, 0, self._elapsed.shape[1] - 1)
        return np.asarray(self._elapsed[kind, inside] + (place - inside))


def _shares_of_kinds(orders: np.ndarray) -> np.ndarray:
    """`_shares` of many kinds, most of which may be too small: where the best day has too few, so has every week."""
    shares = np.full(orders.shape, np.nan)
    large = np.flatnonzero(7 * orders.max(axis=1, initial=0) >= _ENOUGH_ORDERS)
    for start in range(0, len(large), _KINDS_AT_ONCE):
        some = large[start : start + _KINDS_AT_ONCE]
        shares[some] = _shares(orders[some])
    return shares


def _shares(orders: np.ndarray) -> np.ndarray:
    """What each day counts, 0 to 1; NaN where it saw too little business to be judged."""
    usual = _usual(orders)
    week, usual_week = _sum_of_week(orders), _sum_of_week(np.nan_to_num(usual))
    with np.errstate(divide="ignore", invalid="ignore"):
        of_day, of_week = orders / usual, week / usual_week
        activity = np.where(usual >= _ENOUGH_ORDERS, of_day, np.where(usual_week >= _ENOUGH_ORDERS, of_week, np.nan))
    return np.where(activity < _QUIET_SHARE, activity, np.where(np.isnan(activity), np.nan, 1.0))


def _usual(orders: np.ndarray) -> np.ndarray:
    """Median of the same weekday in the weeks around, the day itself left out; NaN where there is none."""
    kinds, days = orders.shape
    weeks = -(-days // 7)
    padded = np.full((kinds, (weeks + 2 * _WEEKS_AROUND) * 7), np.nan)
    padded[:, 7 * _WEEKS_AROUND : 7 * _WEEKS_AROUND + days] = orders
    by_weekday = padded.reshape(kinds, weeks + 2 * _WEEKS_AROUND, 7).swapaxes(1, 2)
    around = np.lib.stride_tricks.sliding_window_view(by_weekday, 2 * _WEEKS_AROUND + 1, axis=2).copy()
    around[..., _WEEKS_AROUND] = np.nan
    usual = np.full(around.shape[:-1], np.nan)
    known = ~np.isnan(around).all(axis=-1)
    usual[known] = np.nanmedian(around[known], axis=-1)
    return usual.swapaxes(1, 2).reshape(kinds, 7 * weeks)[:, :days]


def _sum_of_week(values: np.ndarray) -> np.ndarray:
    """Sum of the seven days around each day, of fewer at both ends."""
    padded = np.pad(values, ((0, 0), (3, 3)))
    return np.lib.stride_tricks.sliding_window_view(padded, 7, axis=1).sum(axis=-1)
