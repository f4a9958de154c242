"""What each lever needs to reach a tier, written from docs/definitions.md alone: by counting, bisection and trial.

Measures and thresholds are compared in double precision, money is in cents.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEVERS = ("orders_per_month", "average_order_value", "lifetime_value")


@dataclass(frozen=True)
class Need:
    """One lever against one tier. `value`: the smallest that reaches it; None when every value does, or none."""

    value: int | float | None
    is_met: bool


def top_share(value: float, others: Sequence[float]) -> float:
    """Mid-rank share of `value` from the top among itself and `others` (ascending): ties share their mean rank."""
    above = len(others) - bisect_right(others, value)
    equal = bisect_right(others, value) - bisect_left(others, value)
    return (2 * above + equal + 1) / 2 / (len(others) + 1)


def orders_need(orders: int, minimum: float, margin: float) -> Need:
    """Orders a month."""
    threshold = round(minimum * (1 + margin), 9)
    return Need(max(0, math.ceil(threshold)), orders >= threshold)


def order_value_need(value: float | None, minimum: float, margin: float) -> Need:
    """Average order value; the need is in cents."""
    threshold = round(minimum * (1 + margin), 9)
    cents = max(0, math.floor(threshold * 100) - 1)
    while cents / 100 < threshold:
        cents += 1
    return Need(cents, value is not None and value >= threshold)


def share_need(value: float, others: Sequence[float], share: float, margin: float, above: Callable) -> Need:
    """A value whose share from the top may be at most `share`; `others` ascending, `above` gives the next larger value."""
    limit = round(share * (1 - margin), 9)
    is_met = top_share(value, others) <= limit
    # The share changes at the values of the others alone: one of them is the need, or the value just above one.
    if not others or top_share(others[0] - 1, others) <= limit:
        return Need(None, is_met)
    for other in others:
        for need in (other, above(other)):
            if top_share(need, others) <= limit:
                return Need(need, is_met)
    return Need(None, is_met)
