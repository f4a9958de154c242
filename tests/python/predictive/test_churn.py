"""Churn on made-up customers: what is an alarm, what is none, and that nothing after the day counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pytest

from orchestration.predictive import churn_model
from orchestration.predictive.churn import churn
from orchestration.predictive.defection import dropped_category, falling_spend
from orchestration.predictive.open_days import OpenDays
from orchestration.predictive.order_history import OrderHistory

AS_OF = (date(2024, 6, 30) - date(1970, 1, 1)).days
NO_CATEGORIES = pd.DataFrame(
    {"customer_id": [], "category_id": [], "order_days_reference": [], "order_days_recent": [], "amount_reference": []}
)


def history_of(days: Sequence[Sequence[int]], kinds: Sequence[int] | None = None) -> OrderHistory:
    """Customers 1, 2, … with the order days given relative to AS_OF."""
    flat = [np.unique(np.array(own, dtype=np.int64)) + AS_OF for own in days]
    return OrderHistory(
        customer_id=np.arange(1, len(days) + 1, dtype=np.uint64),
        business_type=np.array(kinds if kinds is not None else [0] * len(days)),
        type_names=("restaurant", "canteen"),
        first_day=np.array([own[0] for own in flat]),
        days=np.concatenate(flat),
        offsets=np.concatenate([[0], np.cumsum([len(own) for own in flat])]),
    )


def customers_of(history: OrderHistory, **columns: list) -> pd.DataFrame:
    """One row per customer, each order day worth 100 CNY."""
    known = history.until(AS_OF)
    assert len(known.customer_id) == len(history.customer_id)
    windows = {
        "90d": (90, 0), "365d": (365, 0), "year": (454, 90), "half": (270, 90), "recent": (60, 0), "reference": (240, 60)
    }  # fmt: skip
    counts = {name: known.orders_between(AS_OF - start, AS_OF - end) for name, (start, end) in windows.items()}
    return pd.DataFrame(
        {
            "customer_id": known.customer_id,
            "business_type": known.business_type,
            "customer_status": "active",
            "first_day": known.first_day,
            "last_day": known.days[known.offsets[1:] - 1],
            **{f"order_days_{name}": count for name, count in counts.items()},
            **{f"net_{name}": 100.0 * counts[name] for name in ("90d", "365d", "year", "half")},
            **columns,
        }
    )


def crowd(count: int = 400, seed: int = 3, closed: tuple[int, int] | None = None) -> list[np.ndarray]:
    """Customers with rhythms of 2 to 30 days over two and a half years, a third of whom left for good on some day.

    closed: first and last day on which nobody orders.
    """
    random = np.random.default_rng(seed)
    every = random.uniform(2, 30, count)
    end = np.where(random.random(count) < 1 / 3, random.uniform(-700, 0, count), 0)
    days = []
    for gap, last in zip(every, end, strict=True):
        own = np.cumsum(random.gamma(2.0, gap / 2, int(910 / gap) + 20)) - 910
        own = np.unique(np.floor(own[own <= last]).astype(np.int64))
        if closed:
            own = own[(own < closed[0]) | (own > closed[1])]
        days.append(own if len(own) else np.array([-905]))
    return days


def score(days: Sequence[Sequence[int]], **columns: list) -> pd.DataFrame:
    """Churn of the given customers, who stand before the crowd that the model is trained on."""
    everyone = [*days, *crowd()]
    history = history_of(everyone)
    parameters = churn_model.fit(history, AS_OF - 30)
    rest = len(everyone) - len(days)
    table = customers_of(history, **{name: [*values, *["active"] * rest] for name, values in columns.items()})
    return churn(history, table, NO_CATEGORIES, AS_OF, parameters).iloc[: len(days)]


def test_silence_is_judged_by_the_own_rhythm() -> None:
    every_three, every_thirty = np.arange(-600, -20, 3), np.arange(-600, -20, 30)

    result = score([every_three, every_thirty, np.arange(-600, 0, 3)])

    assert result["churn_risk"].tolist() == ["high", "low", "low"]
    assert result["reason_code"].tolist() == ["silent", "in_rhythm", "in_rhythm"]
    np.testing.assert_allclose(result["expected_gap_days"][:2], [3, 30], rtol=0.2)
    assert result["gap_ratio"].iloc[0] > 6 and result["gap_ratio"].iloc[1] < 1.5
    assert (result["method"] == "trained").all()


def test_a_customer_of_a_few_weeks_is_no_alarm() -> None:
    result = score([[-50, -48, -46], np.arange(-600, -45, 2)])

    assert result["reason_code"].tolist() == ["new_customer", "silent"]
    assert result["churn_risk"].tolist() == ["low", "high"]


def test_a_pause_that_repeats_the_one_of_last_year_is_no_alarm() -> None:
    day = np.arange(-720, 1)
    # A canteen of a school: orders every second day, but not in the weeks before the end of June.
    school = day[(day % 2 == 0) & ~((day > -400) & (day < -330)) & (day < -35)]
    steady = day[(day % 2 == 0) & (day < -35)]

    result = score([school, steady])

    assert result["reason_code"].tolist() == ["seasonal_pause", "silent"]
    assert result["churn_risk"].tolist() == ["low", "high"]


def test_a_pause_that_outlasts_the_one_of_last_year_becomes_an_alarm() -> None:
    day = np.arange(-720, 1)
    school = day[(day % 2 == 0) & ~((day > -434) & (day < -394)) & (day < -70)]

    assert score([school])["churn_risk"].tolist() == ["high"]


def test_days_on_which_a_whole_kind_is_closed_are_no_silence() -> None:
    closed = (-11, 0)
    everyone = [np.arange(-600, -11, 2), *crowd(closed=closed)]
    history = history_of(everyone)
    parameters = churn_model.fit(history, AS_OF - 30)

    result = churn(history, customers_of(history), NO_CATEGORIES, AS_OF, parameters).iloc[0]

    assert (result["churn_risk"], result["reason_code"]) == ("low", "closed_days")
    assert result["silence_days"] == 12 and result["silence_open_days"] < 3


def test_a_customer_who_is_long_gone_has_nothing_left_to_lose() -> None:
    result = score([np.arange(-600, -200, 3)]).iloc[0]

    assert (result["churn_risk"], result["reason_code"], result["value_at_risk"]) == ("high", "lapsed", 0)


def test_a_closed_account_is_shown_but_not_worth_an_effort() -> None:
    result = score([np.arange(-600, -50, 3)], customer_status=["closed"]).iloc[0]

    assert (result["churn_risk"], result["reason_code"], result["value_at_risk"]) == ("high", "account_closed", 0)


def test_a_blocked_account_is_no_alarm_however_long_it_is_silent() -> None:
    for last in (-50, -200):
        result = score([np.arange(-600, last, 3)], customer_status=["blocked"]).iloc[0]
        assert result["p_defected"] > 0.6
        assert (result["churn_risk"], result["reason_code"], result["value_at_risk"]) == ("low", "account_blocked", 0)


def test_value_at_risk_is_what_ninety_days_are_worth_times_the_chance_to_lose_it() -> None:
    result = score([np.arange(-600, -30, 3), np.arange(-600, 0, 3)])

    baseline = result["baseline_net_amount_90d"].iloc[0]
    assert baseline == pytest.approx(3000, rel=0.15)
    assert result["value_at_risk"].iloc[0] == pytest.approx(result["p_defected"].iloc[0] * baseline, rel=0.01)
    assert result["value_at_risk"].iloc[1] < 0.2 * result["value_at_risk"].iloc[0]


def with_another_future(days: Sequence[np.ndarray], cut: int, seed: int) -> list[np.ndarray]:
    """The same order days up to the cut; after it as many as before on other days. Customers who came later are gone."""
    random = np.random.default_rng(seed)
    return [
        np.union1d(own[own <= cut], random.choice(np.arange(cut + 1, 1), (own > cut).sum(), replace=False))
        for own in days
        if own.min() <= cut
    ]


def test_orders_after_the_day_change_nothing() -> None:
    cut, results = -60, []
    for seed in range(3):
        days = with_another_future(crowd(), cut, seed)
        history = history_of(days)
        table = customers_of(history_of([own[own <= cut] for own in days]))
        parameters = churn_model.fit(history, AS_OF + cut)
        results.append((parameters, churn(history, table, NO_CATEGORIES, AS_OF + cut, parameters)))

    assert results[0][0] is not None
    for parameters, result in results[1:]:
        assert parameters == results[0][0]
        pd.testing.assert_frame_equal(result, results[0][1], check_exact=True)


def test_too_little_history_serves_fixed_numbers_and_says_so() -> None:
    history = history_of([np.arange(-20, 0, 2), [-3]])

    assert churn_model.fit(history, AS_OF - 30) is None
    result = churn(history, customers_of(history), NO_CATEGORIES, AS_OF, None)
    assert result["method"].tolist() == ["untrained", "untrained"]
    assert result["p_no_order_30d"].between(0, 1).all()


def test_a_day_without_customers_and_one_with_the_long_gone_alone_are_scored() -> None:
    history = history_of([np.arange(-900, -800, 3)])
    table = customers_of(history)
    nobody = OrderHistory(*(np.array([], dtype=int),) * 2, (), *(np.array([], dtype=int),) * 2, np.array([0]))

    result = churn(history, table, NO_CATEGORIES, AS_OF, None)
    assert result[["reason_code", "gap_count", "silence_days"]].values.tolist() == [["lapsed", 0, 801]]
    assert churn(nobody, table.iloc[:0], NO_CATEGORIES, AS_OF, None).empty
    assert churn_model.fit(nobody, AS_OF) is None


def test_the_model_finds_the_customers_who_left_and_its_probabilities_hold() -> None:
    days = crowd(2000, seed=11)
    history = history_of(days)
    cut = AS_OF - 60
    parameters = churn_model.fit(history, cut - 20)
    known = history.until(cut)
    table = customers_of(history_of([own[own <= cut - AS_OF] for own in days]))
    result = churn(history, table, NO_CATEGORIES, cut, parameters)
    followed = history.orders_between(cut, cut + 30)
    no_order = followed[np.isin(history.customer_id, known.customer_id)] == 0

    bins = np.digitize(result["p_no_order_30d"], [0.2, 0.4, 0.6, 0.8])
    for one in range(5):
        assert abs(result["p_no_order_30d"][bins == one].mean() - no_order[bins == one].mean()) < 0.12


def _change(net: float, half: float, order_days: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "business_type": 0,
            "history_days": 300,
            "net_90d": [net],
            "order_days_90d": [5],
            "net_year": [0.0],
            "order_days_year": [0],
            "net_half": [half],
            "order_days_half": [order_days],
        }
    )


def test_spend_falls_when_it_is_far_below_what_the_season_leads_to_expect() -> None:
    steady = pd.concat([_change(1500, 2000, 40)] * 30)
    customers = pd.concat([_change(1500, 2000, 40), _change(600, 2000, 40), _change(600, 2000, 4), steady])

    result = falling_spend(customers.reset_index(drop=True))

    # The season makes 1.5 of 1; 600 is 60 % below it, but of two expected orders that is chance.
    assert result["baseline_net_amount_90d"].iloc[0] == 1500
    assert result["is_falling"].tolist()[:3] == [False, True, False]
    assert result["spend_change"].iloc[1] == pytest.approx(-0.6)


def test_the_dropped_category_is_the_regular_one_with_most_spend() -> None:
    customers = pd.DataFrame({"customer_id": [1, 2], "order_days_recent": [20, 1], "order_days_reference": [40, 40]})
    rows = [
        (1, 7, 20, 0, 900.0),
        (1, 8, 20, 0, 1000.0),
        (1, 9, 6, 0, 5000.0),
        (1, 10, 30, 5, 9000.0),
        (2, 7, 20, 0, 900.0),
    ]
    categories = pd.DataFrame(rows, columns=NO_CATEGORIES.columns)

    result = dropped_category(customers, categories)

    # Category 9 was rare, 10 is still bought, and customer 2 has ordered once: that may be chance.
    assert result.to_dict("records") == [{"customer_id": 1, "category_id": 8, "amount_90d": 500.0}]


def test_a_quiet_day_counts_by_its_share_of_the_usual_one() -> None:
    orders = np.full((2, 400), 100.0)
    orders[0, 200], orders[0, 300], orders[1] = 20, 60, 0

    clock = OpenDays(orders, AS_OF - 399)

    assert clock.shares[0, 200] == pytest.approx(0.2)
    assert clock.shares[0, 300] == 1.0
    # The second kind orders too little to be judged alone, so it follows all.
    np.testing.assert_array_equal(clock.shares[1], clock.shares[0])
    assert clock.elapsed(np.array([0]), AS_OF) - clock.elapsed(np.array([0]), AS_OF - 399) == pytest.approx(398.2)


def test_chance_does_not_make_quiet_days() -> None:
    orders = np.random.default_rng(2).poisson(40, (1, 700)).astype(float)

    shares = OpenDays(orders, 0).shares

    assert (shares < 1).mean() < 0.005
