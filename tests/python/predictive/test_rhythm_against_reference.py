"""The rhythm of customers against a second computation, on histories with closed weeks, long pauses and rare orders."""

from __future__ import annotations

import numpy as np
import pytest
from reference import rhythm as reference

from orchestration.predictive.open_days import OpenDays
from orchestration.predictive.order_history import OrderHistory
from orchestration.predictive.rhythm import HISTORY_DAYS, rhythm

DAY = 20_000


@pytest.mark.parametrize("seed", [1, 2])
def test_rhythms_are_those_of_a_second_computation(seed: int) -> None:
    random = np.random.default_rng(seed)
    kinds = random.choice(3, 260, p=[0.9, 0.07, 0.03])
    own_days = [_order_days(random, every) for every in random.uniform(1.2, 45, len(kinds))]
    history = OrderHistory(
        customer_id=np.arange(1, len(kinds) + 1),
        business_type=kinds,
        type_names=("shop", "hotel", "bar"),
        first_day=np.array([own[0] for own in own_days]),
        days=np.concatenate(own_days),
        offsets=np.concatenate([[0], np.cumsum([len(own) for own in own_days])]),
    )
    first = DAY - HISTORY_DAYS + 1
    orders = history.per_day(first, DAY)
    found = rhythm(history, OpenDays(orders, first), DAY)

    clock = reference.OpenDays(orders, DAY)
    expected = [reference.rhythm(own, kind, clock, DAY) for own, kind in zip(own_days, kinds, strict=True)]

    for name in expected[0]:
        np.testing.assert_allclose(found[name], [one[name] for one in expected], rtol=1e-9, atol=1e-9, err_msg=name)
    assert (found["pause_open_days"] > 0).sum() > 3
    assert (found["silence_open_days"] < found["silence_days"]).sum() > 10


def _order_days(random: np.random.Generator, every: float) -> np.ndarray:
    """Order days of the latest 730; nobody orders in two weeks of every year, some pause for two months of the year."""
    days = np.unique((DAY - np.cumsum(random.gamma(2.0, every / 2, 900))).astype(np.int64))
    days = days[days > DAY - HISTORY_DAYS]
    of_year = (DAY - days) % 364
    is_kept = (of_year < 5) | (of_year > 18)
    if random.random() < 0.3:
        is_kept &= of_year > 70
    return days[is_kept] if is_kept.any() else np.array([DAY - 500])
