"""The rhythm of each customer: the own gap between orders, how long the silence is, and how much of it explains itself."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestration.predictive.open_days import OpenDays
from orchestration.predictive.order_history import OrderHistory

# What an own rhythm is learned from: two years, of them the latest gaps.
HISTORY_DAYS = 730
_GAPS_KEPT = 40
# A gap counts at most this many times the median: a pause in the past does not stretch the rhythm.
_LONGEST_GAP_IN_MEDIANS = 3.0
# A pause of last year that repeats: so much longer than the rhythm that chance does not make it, and its tolerance in days.
_PAUSE_DAYS = 28
_PAUSE_IN_GAPS = 8.0
_PAUSE_TOLERANCE_DAYS = 14
# Last year's day of the same weekday.
_YEAR_DAYS = 364


def rhythm(history: OrderHistory, clock: OpenDays, as_of: int) -> pd.DataFrame:
    """Rhythm of every customer with an order day in the two years that end on `as_of`; later order days are not looked at.

    Returns customer_id, business_type (index), first_day, last_day, gap_count, own_gap_days (open days; NaN without a gap),
    silence_days (calendar days since the last order day), silence_open_days (those of them that count), and pause_open_days
    (those of the latter in which the same customer paused last year too). own_gap_days is the mean of the last 40 gaps, each
    counted at most three times their median. Gaps are at least a quarter of a day, so that a rhythm within a holiday is not zero.
    """
    history = history.until(as_of, since=as_of - HISTORY_DAYS + 1)
    kind, last_day = history.business_type, history.days[history.offsets[1:] - 1]
    gap_count = history.counts - 1
    own_gap = _own_gaps(history, clock)
    silence = as_of - last_day
    open_silence = clock.elapsed(kind, as_of) - clock.elapsed(kind, last_day)
    return pd.DataFrame(
        {
            "customer_id": history.customer_id,
            "business_type": kind,
            "first_day": history.first_day,
            "last_day": last_day,
            "gap_count": gap_count,
            "own_gap_days": own_gap,
            "silence_days": silence,
            "silence_open_days": open_silence,
            "pause_open_days": _pauses_of_last_year(history, clock, own_gap, as_of),
        }
    )


def _own_gaps(history: OrderHistory, clock: OpenDays) -> np.ndarray:
    owner = history.owner
    at = clock.elapsed(history.business_type[owner], history.days)
    is_gap = owner[1:] == owner[:-1]
    gaps = np.maximum(np.diff(at)[is_gap], 0.25)
    of = owner[1:][is_gap]
    # Place of each gap from the end of its customer, to keep the latest ones in a table of one row per customer.
    last_gap = np.cumsum(history.counts - 1)
    from_end = last_gap[of] - 1 - np.arange(len(gaps))
    kept = from_end < _GAPS_KEPT
    table = np.full((len(history.customer_id), _GAPS_KEPT), np.inf)
    table[of[kept], from_end[kept]] = gaps[kept]
    table.sort(axis=1)
    count = np.minimum(history.counts - 1, _GAPS_KEPT)
    row = np.arange(len(table))
    median = (table[row, np.maximum(count - 1, 0) // 2] + table[row, np.minimum(count // 2, _GAPS_KEPT - 1)]) / 2
    capped = np.minimum(table, _LONGEST_GAP_IN_MEDIANS * median[:, None])
    is_known = np.arange(_GAPS_KEPT) < count[:, None]
    total = np.where(is_known, capped, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _pauses_of_last_year(history: OrderHistory, clock: OpenDays, own_gap: np.ndarray, as_of: int) -> np.ndarray:
    """Open days of the present silence on whose dates of last year the customer was in a long pause, and came back from it."""
    owner, last_day = history.owner, history.days[history.offsets[1:] - 1]
    is_gap = owner[1:] == owner[:-1]
    start, end, of = history.days[:-1][is_gap], history.days[1:][is_gap], owner[1:][is_gap]
    is_long = (end - start >= _PAUSE_DAYS) & (end - start >= _PAUSE_IN_GAPS * own_gap[of])
    start, end, of = start[is_long] + _YEAR_DAYS, end[is_long] + _YEAR_DAYS, of[is_long]
    begin = np.maximum(start - _PAUSE_TOLERANCE_DAYS, last_day[of])
    finish = np.maximum(np.minimum(end + _PAUSE_TOLERANCE_DAYS, as_of), begin)
    kind = history.business_type[of]
    explained = np.zeros(len(last_day))
    np.maximum.at(explained, of, clock.elapsed(kind, finish) - clock.elapsed(kind, begin))
    return explained
