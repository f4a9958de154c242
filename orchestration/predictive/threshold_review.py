"""Where the standards cut the customers, and which bounds would restore the quotas. A proposal; formulas: docs/definitions.md.

The quota of a tier and the better ones together is its bound on the share of lifetime value (10, 30, 70 % as delivered), which
stays. What is searched are the bounds of orders and order value under which, with it, so many customers reach the tier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

Array = np.ndarray

HOLDS, PROPOSE, OUT_OF_REACH, TOO_LITTLE_DATA = "holds", "propose", "out_of_reach", "too_little_data"
FEWEST_CUSTOMERS = 200
# A share within a tenth of its quota is left alone: thresholds that move every quarter cannot be aimed at.
TOLERANCE = 0.10
CRITERIA = ("orders_per_month", "average_order_value", "lifetime_value_top_share", "score_top_share")


@dataclass(frozen=True)
class Standard:
    """Bounds of one tier: at least so many orders, at least such an order value, at most such top shares."""

    tier: str
    tier_rank: int
    minimum_orders: float
    minimum_value: float
    maximum_lifetime_share: float
    maximum_score_share: float

    def bounds(self) -> dict[str, float]:
        """Bound by criterion."""
        values = (self.minimum_orders, self.minimum_value, self.maximum_lifetime_share, self.maximum_score_share)
        return dict(zip(CRITERIA, values, strict=True))


@dataclass(frozen=True)
class Measured:
    """Measures of the customers of a day; a NaN order value reaches no bound."""

    orders: Array
    order_value: Array
    lifetime_share: Array
    score_share: Array

    def reaches(self, standard: Standard) -> Array:
        """Which criteria reach a tier, shape (4, customers), in the order of CRITERIA."""
        return np.array(
            [
                self.orders >= standard.minimum_orders,
                np.nan_to_num(self.order_value, nan=-np.inf) >= standard.minimum_value,
                self.lifetime_share <= standard.maximum_lifetime_share,
                self.score_share <= standard.maximum_score_share,
            ]
        )


@dataclass(frozen=True)
class Review:
    """One tier: its bounds and the proposed ones, and the shares of customers that reach it or a better tier."""

    standard: Standard
    proposed: Standard
    quota_share: float
    reaching_share: dict[str, float]
    proposed_reaching_share: dict[str, float]
    candidate_share: float
    proposed_candidate_share: float
    verdict: str


def candidate_share(measured: Measured, standard: Standard, rule: str, required: int) -> float:
    """Share of customers whose measures reach the tier: by the score, or by `required` of the three criteria."""
    reaches = measured.reaches(standard)
    reached = reaches[3] if rule == "score" else reaches[:3].sum(axis=0) >= required
    return float(reached.mean())


def review(measured: Measured, ladder: Sequence[Standard], rule: str, required: int) -> list[Review]:
    """One review per tier, the best first; the lowest takes everyone and stays.

    Bounds are proposed for all tiers as soon as one is off its quota by more than TOLERANCE, else for none.
    """
    ladder = sorted(ladder, key=lambda standard: standard.tier_rank)
    count = len(measured.orders)
    upper = ladder[:-1]
    shares = [candidate_share(measured, one, rule, required) for one in upper] if count else [0.0] * len(upper)
    quotas = [one.maximum_lifetime_share for one in upper]
    is_off = [abs(share - quota) > TOLERANCE * quota for share, quota in zip(shares, quotas, strict=True)]
    verdicts = [TOO_LITTLE_DATA] * len(upper)
    proposed = list(upper)
    if count >= FEWEST_CUSTOMERS:
        verdicts = [PROPOSE if off else HOLDS for off in is_off]
        if any(is_off):
            proposed = _proposed(measured, upper, rule, required)
            # Where too few customers order at all, no bound fills the tier.
            for place, (quota, new) in enumerate(zip(quotas, proposed, strict=True)):
                if is_off[place] and abs(candidate_share(measured, new, rule, required) - quota) > TOLERANCE * quota:
                    verdicts[place] = OUT_OF_REACH
    lowest = ladder[-1]
    reviews = [
        Review(
            standard,
            new,
            quota,
            _shares(measured, standard),
            _shares(measured, new),
            share,
            candidate_share(measured, new, rule, required) if count else 0.0,
            verdict,
        )
        for standard, new, quota, share, verdict in zip(upper, proposed, quotas, shares, verdicts, strict=True)
    ]
    everyone = dict.fromkeys(CRITERIA, 1.0)
    last = TOO_LITTLE_DATA if count < FEWEST_CUSTOMERS else HOLDS
    return [*reviews, Review(lowest, lowest, 1.0, everyone, everyone, 1.0, 1.0, last)]


def _proposed(measured: Measured, upper: Sequence[Standard], rule: str, required: int) -> list[Standard]:
    found: list[Standard] = []
    for place, standard in enumerate(upper):
        if rule == "score":
            found.append(replace(standard, maximum_score_share=standard.maximum_lifetime_share))
            continue
        # A worse tier asks for less than a better one, and leaves room for those below it.
        most = (np.inf, np.inf)
        if found:
            most = (found[-1].minimum_orders - 1, _below(found[-1].minimum_value))
        found.append(_restoring(measured, standard, required, float(len(upper) - place), most))
    return found


def _restoring(
    measured: Measured, standard: Standard, required: int, least: float, most: tuple[float, float]
) -> Standard:
    """Bounds of orders and order value that cut at one and the same quantile, so that the share meets the quota.

    The quantile is found by bisection, since more customers reach both bounds the further down they cut. Orders are whole
    numbers, so the order value alone is moved once more to come as near as it can. least, most: what the bounds must keep
    to. Where no bound comes within TOLERANCE of the quota the standard stays, within them.
    """
    quota, last = standard.maximum_lifetime_share, len(measured.orders) - 1
    orders = np.sort(measured.orders)[::-1]
    values = np.sort(np.nan_to_num(measured.order_value, nan=-np.inf))[::-1]
    # Of the bounds that people can remember the ones next to an order value: all others cut as one of these does.
    known = values[values > 0]
    unit = np.where(known >= 100, 10.0, 1.0)
    below = np.floor(known / unit) * unit
    steps = np.unique(np.r_[0.0, below, below + unit])[::-1]

    def bounded(minimum_orders: float, minimum_value: float) -> Standard:
        return replace(
            standard,
            minimum_orders=float(np.clip(minimum_orders, least, most[0])),
            minimum_value=float(np.clip(_rounded(max(minimum_value, 0.0)), least, most[1])),
        )

    def share(candidate: Standard) -> float:
        return candidate_share(measured, candidate, "standards", required)

    def searched(candidate_at: Callable[[int], Standard], high: int) -> list[Standard]:
        """The first candidate that meets the quota, as far as it can be met, and the one before it."""
        low = 0
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if share(candidate_at(middle)) >= reachable else (middle + 1, high)
        return [candidate_at(low), candidate_at(max(low - 1, 0))]

    def at(place: int) -> Standard:
        """Bounds that the customer at a place from the top just reaches."""
        return bounded(float(orders[place]), float(values[place]))

    reachable = min(quota, share(at(last)))
    if share(at(0)) > quota or reachable < (1 - TOLERANCE) * quota:
        return bounded(standard.minimum_orders, standard.minimum_value)
    candidates = searched(at, last)
    for minimum_orders in sorted({one.minimum_orders for one in candidates}):
        candidates += searched(
            lambda place, bound=minimum_orders: bounded(bound, float(steps[place])),  # type: ignore[misc]
            len(steps) - 1,
        )
    return min(candidates, key=lambda one: (round(abs(share(one) - quota), 9), -one.minimum_orders, -one.minimum_value))


def _shares(measured: Measured, standard: Standard) -> dict[str, float]:
    if not len(measured.orders):
        return dict.fromkeys(CRITERIA, 0.0)
    return dict(zip(CRITERIA, (float(one.mean()) for one in measured.reaches(standard)), strict=True))


def _rounded(value: float) -> float:
    """A bound that people can remember: tens from 100 on, else whole yuan."""
    return float(round(value, -1) if value >= 100 else round(value))


def _below(bound: float) -> float:
    """The next smaller such bound."""
    return bound - 10 if bound > 100 else bound - 1
