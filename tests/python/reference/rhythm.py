"""Open days and the rhythm of customers, day by day and gap by gap, from docs/definitions.md (Churn) alone."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

HISTORY = 730


class OpenDays:
    """What each of the days that end on `day` counts, per business type. orders: customers who ordered, types x HISTORY."""

    def __init__(self, orders: np.ndarray, day: int) -> None:
        self.first = day - HISTORY + 1
        of_all = [judged(orders.sum(axis=0), place) for place in range(HISTORY)]
        self.counts = [
            [first_known(judged(own, place), of_all[place], 1.0) for place in range(HISTORY)] for own in orders
        ]

    def between(self, kind: int, after: int, until: int) -> float:
        """Open days in (after, until]."""
        return sum(self.counts[kind][day - self.first] for day in range(after + 1, until + 1))


def judged(orders: np.ndarray, place: int) -> float | None:
    """What a day counts by one row of orders; None where it saw too little business."""
    if usual(orders, place) >= 30:
        activity = orders[place] / usual(orders, place)
    else:
        week = range(max(place - 3, 0), min(place + 4, HISTORY))
        expected = sum(usual(orders, one) for one in week)
        if expected < 30:
            return None
        activity = sum(orders[one] for one in week) / expected
    return float(activity) if activity < 0.5 else 1.0


def usual(orders: np.ndarray, place: int) -> float:
    """Median of the same weekday in the 13 weeks before and after."""
    around = [place + 7 * week for week in range(-13, 14) if week]
    return float(np.median([orders[one] for one in around if 0 <= one < HISTORY]))


def first_known(*values: float | None) -> float:
    """The first that is not None."""
    return next(value for value in values if value is not None)


def rhythm(own: Sequence[int], kind: int, clock: OpenDays, day: int) -> Mapping[str, float]:
    """Number of gaps, own gap, open days of the silence and of its seasonal pause; order days lie within the history."""
    gaps = [max(0.25, clock.between(kind, *pair)) for pair in pairwise(own)]
    latest = gaps[-40:]
    own_gap = float(np.mean(np.minimum(latest, 3 * np.median(latest)))) if latest else float("nan")
    pause = 0.0
    for start, end in pairwise(own):
        if end - start >= 28 and end - start >= 8 * own_gap:
            begin, finish = max(start + 364 - 14, own[-1]), min(end + 364 + 14, day)
            pause = max(pause, clock.between(kind, begin, finish))
    return {
        "gap_count": len(gaps),
        "own_gap_days": own_gap,
        "silence_open_days": clock.between(kind, own[-1], day),
        "pause_open_days": pause,
    }
