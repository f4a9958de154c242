"""Proposed bounds restore the quotas on planted measures; a ladder that holds, or few customers, gets none."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from orchestration.predictive.threshold_review import (
    HOLDS,
    OUT_OF_REACH,
    PROPOSE,
    TOO_LITTLE_DATA,
    Measured,
    Standard,
    candidate_share,
    review,
)
from orchestration.reviews import next_quarter

LADDER = [
    Standard("diamond", 1, 15, 5000, 0.10, 0.10),
    Standard("gold", 2, 8, 2000, 0.30, 0.30),
    Standard("silver", 3, 3, 800, 0.70, 0.70),
    Standard("bronze", 4, 0, 0, 1.0, 1.0),
]


def _measured(count: int = 3000, seed: int = 1) -> Measured:
    """Customers whose orders, order value and lifetime value go together, but not closely; some have no order value."""
    generator = np.random.default_rng(seed)
    size = generator.normal(size=count)
    orders = generator.poisson(np.exp(0.8 + 0.8 * size))
    value = np.round(np.exp(6 + 0.7 * size + generator.normal(size=count)), 2)
    lifetime = size + 0.5 * generator.normal(size=count)
    value[generator.random(count) < 0.1] = np.nan
    share = (np.argsort(np.argsort(-lifetime)) + 0.5) / count
    return Measured(orders.astype(float), value, share, share[::-1].copy())


def test_proposed_bounds_restore_the_quotas() -> None:
    measured = _measured()
    found = review(measured, LADDER, "standards", 2)
    assert [one.standard.tier for one in found] == ["diamond", "gold", "silver", "bronze"]
    assert found[0].verdict == PROPOSE and abs(found[0].candidate_share - 0.10) > 0.01
    for one in found[:-1]:
        assert one.proposed_candidate_share == pytest.approx(one.quota_share, abs=0.01), one
        assert one.proposed_candidate_share == candidate_share(measured, one.proposed, "standards", 2)
        assert one.proposed.maximum_lifetime_share == one.standard.maximum_lifetime_share
        assert one.proposed.minimum_orders == int(one.proposed.minimum_orders)
    for better, worse in pairwise(found):
        assert better.proposed.minimum_orders > worse.proposed.minimum_orders
        assert better.proposed.minimum_value > worse.proposed.minimum_value
    assert found[-1].proposed == found[-1].standard


def test_the_order_value_comes_as_near_to_the_quota_as_a_bound_in_tens_can() -> None:
    # Customers whose order values lie in pairs around a bound that no customer's own value rounds to.
    value = np.concatenate([np.full(100, 1016.0), np.full(100, 1004.0), np.full(800, 500.0)])
    orders = np.r_[np.full(200, 20.0), np.zeros(800)]
    ladder = [
        Standard("diamond", 1, 15, 5000, 0.10, 0.10),
        Standard("bronze", 2, 0, 0, 1.0, 1.0),
    ]
    found = review(Measured(orders, value, np.ones(1000), np.ones(1000)), ladder, "standards", 2)
    assert found[0].proposed.minimum_value == 1010
    assert found[0].proposed_candidate_share == pytest.approx(0.10)


def test_the_quantile_of_each_bound_is_the_share_that_reaches_it() -> None:
    measured = Measured(
        np.array([20.0, 8, 8, 1] * 50), np.array([100.0, np.nan, 5000, 900] * 50), np.full(200, 0.2), np.full(200, 0.5)
    )
    diamond, gold, *_ = review(measured, LADDER, "standards", 2)
    assert diamond.reaching_share == pytest.approx(
        {"orders_per_month": 0.25, "average_order_value": 0.25, "lifetime_value_top_share": 0, "score_top_share": 0}
    )
    assert gold.reaching_share["orders_per_month"] == 0.75
    # Two of three: 8 orders and 0.2 of lifetime value; all but the last kind of customer.
    assert gold.candidate_share == 0.75


def test_a_ladder_that_meets_its_quotas_is_left_alone() -> None:
    measured = _measured()
    settled = [one.proposed for one in review(measured, LADDER, "standards", 2)]
    again = review(measured, settled, "standards", 2)
    assert {one.verdict for one in again} == {HOLDS}
    assert [one.proposed for one in again] == settled


def test_the_order_of_customers_changes_nothing() -> None:
    measured = _measured()
    mixed = np.random.default_rng(2).permutation(len(measured.orders))
    other = Measured(
        measured.orders[mixed], measured.order_value[mixed], measured.lifetime_share[mixed], measured.score_share[mixed]
    )
    first, second = (review(one, LADDER, "standards", 2) for one in (measured, other))
    assert [one.proposed for one in first] == [one.proposed for one in second]


def test_policies_by_score_get_the_quota_as_bound() -> None:
    ladder = [replace(one, maximum_score_share=min(1.0, 2 * one.maximum_score_share)) for one in LADDER]
    found = review(_measured(), ladder, "score", 2)
    assert [one.proposed.maximum_score_share for one in found] == [0.10, 0.30, 0.70, 1.0]
    assert found[0].proposed_candidate_share == pytest.approx(0.10, abs=0.001)


def test_bounds_never_overlap_even_where_orders_and_order_value_run_against_each_other() -> None:
    measured = _measured()
    against = replace(measured, order_value=1e4 / (1 + measured.orders))
    found = review(against, LADDER, "standards", 2)
    for better, worse in pairwise(found):
        assert better.proposed.minimum_orders > worse.proposed.minimum_orders
        assert better.proposed.minimum_value > worse.proposed.minimum_value


def test_a_quota_that_no_bound_can_fill_is_said_to_be_out_of_reach() -> None:
    measured = _measured()
    asleep = np.arange(3000) % 2 == 0
    found = review(
        replace(
            measured,
            orders=np.where(asleep, 0, measured.orders + 1),
            order_value=np.where(asleep, np.nan, measured.order_value),
        ),
        LADDER,
        "standards",
        2,
    )
    assert [one.verdict for one in found] == [PROPOSE, PROPOSE, OUT_OF_REACH, HOLDS]
    assert found[2].proposed_candidate_share < 0.63


def test_a_quota_that_bounds_miss_by_less_than_a_tenth_is_met_as_nearly_as_they_can() -> None:
    # Two of three customers order; every other quota can be met.
    measured = _measured()
    asleep = np.arange(3000) % 3 == 0
    measured = replace(
        measured,
        orders=np.where(asleep, 0, measured.orders + 1),
        order_value=np.where(asleep, np.nan, measured.order_value),
        lifetime_share=np.where(asleep, 1.0, measured.lifetime_share),
    )
    found = review(measured, LADDER, "standards", 2)
    assert [one.verdict for one in found] == [PROPOSE, PROPOSE, PROPOSE, HOLDS]
    loosest = replace(found[2].standard, minimum_orders=1, minimum_value=1)
    assert found[2].proposed_candidate_share == candidate_share(measured, loosest, "standards", 2) > 0.63
    # Not looser than that takes.
    tighter = replace(found[2].proposed, minimum_value=found[2].proposed.minimum_value + 10)
    assert candidate_share(measured, tighter, "standards", 2) < found[2].proposed_candidate_share


def test_one_required_criterion_leaves_nothing_to_search() -> None:
    # Lifetime value alone fills the quota, so that no bound of the others can lower the share to it.
    for one in review(_measured(), LADDER, "standards", 1)[:-1]:
        assert one.proposed == one.standard or one.proposed_candidate_share == pytest.approx(one.quota_share, abs=0.01)


@pytest.mark.parametrize("count", [0, 1, 150])
def test_few_customers_get_a_verdict_and_no_proposal(count: int) -> None:
    found = review(_measured(count), LADDER, "standards", 2)
    assert {one.verdict for one in found} == {TOO_LITTLE_DATA}
    assert [one.proposed for one in found] == LADDER


def test_a_proposal_begins_with_the_next_quarter() -> None:
    assert next_quarter(date(2026, 3, 31)) == date(2026, 4, 1)
    assert next_quarter(date(2026, 11, 30)) == date(2027, 1, 1)
