"""Bases that leave a fit nothing to learn from, or only one thing: finite numbers within their bounds or a named reason, and
nothing that a library would warn of. Warnings are errors here."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.predictive import churn_model, spend_forecast
from orchestration.predictive.acceptance import acceptance, fit_prior
from orchestration.predictive.churn import churn
from orchestration.predictive.defection import dropped_category
from orchestration.predictive.forecast import forecast
from orchestration.predictive.growth import growth_slopes
from orchestration.predictive.lifetime_value import (
    OPTIONS,
    fit_lifetime_value,
    reason_not_to_fit,
    score_lifetime_value,
)
from orchestration.predictive.maximum_likelihood import NoMaximum
from orchestration.predictive.order_history import OrderHistory
from orchestration.predictive.potential_parts import annual_spend, fit_bands, potential_parts, size_bands
from orchestration.predictive.recommendation import Fold, choose, learn, recommend
from orchestration.predictive.recommendation_sources import Catalogue, history_of
from orchestration.predictive.spend_blocks import BLOCKS, SpendBlocks

UNTIL = date(2024, 6, 30)
AS_OF = (UNTIL - date(1970, 1, 1)).days
WEIGHTS = {"headroom": 0.4, "growth": 0.35, "acceptance": 0.25}
# Order days of every customer, back from the day: [on the day alone, daily, weekly, once long ago, with a gap of half a year].
RHYTHMS = {
    "the day alone": [0],
    "daily": list(range(200)),
    "weekly": list(range(0, 700, 7)),
    "once, long ago": [600],
    "a gap of six months": [*range(0, 60, 3), *range(240, 400, 3)],
}
unhurried = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _strictly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _training(count: int, rhythm: list[int], value: float) -> pd.DataFrame:
    """Customers who are all alike."""
    days = np.sort(-np.array(rhythm))
    gaps = np.diff(days)[::-1]
    early = days[days <= -90]
    return pd.DataFrame(
        {
            "customer_id": np.arange(count, dtype=np.uint64),
            "order_day_count": float(len(days)),
            "days_to_last_order": float(days[-1] - days[0]),
            "days_since_first_order": float(-days[0]),
            "is_from_revenue": np.uint8(1),
            "last_gap": float(gaps[0]) if len(gaps) else np.nan,
            "gap_before": float(gaps[1]) if len(gaps) > 1 else np.nan,
            "early_order_day_count": float(len(early)),
            "early_days_to_last_order": float(early[-1] - days[0]) if len(early) else 0.0,
            "value_to_date": value * len(days),
        }
    )


@pytest.mark.parametrize("rhythm", RHYTHMS.values(), ids=RHYTHMS.keys())
@pytest.mark.parametrize(("count", "value"), [(1, 10.0), (300, 10.0), (300, 0.0), (300, -5.0)])
def test_the_lifetime_value_of_customers_who_are_all_alike_is_finite_or_has_a_reason(
    rhythm: list[int], count: int, value: float
) -> None:
    training = _training(count, rhythm, value)
    reason, artifact = reason_not_to_fit(training, OPTIONS), None
    if not reason:
        try:
            artifact = fit_lifetime_value(training, UNTIL, 90, OPTIONS)
        except NoMaximum as error:
            reason = str(error)
    assert artifact is not None or reason
    scores = score_lifetime_value(training, artifact, OPTIONS, reason)
    for column in ("expected_order_count_365d", "expected_order_value", "expected_margin_365d"):
        assert np.isfinite(scores[column]).all(), column
    assert (scores["expected_order_count_365d"] <= 366).all()
    known = scores[["p_alive", "p_no_order_30d"]].dropna()
    assert ((known >= 0) & (known <= 1)).all(axis=None)
    assert scores[["p_alive", "p_no_order_30d"]].notna().all(axis=None) == (artifact is not None)


@pytest.mark.parametrize("rhythm", RHYTHMS.values(), ids=RHYTHMS.keys())
@pytest.mark.parametrize("count", [1, 400])
def test_the_churn_of_customers_who_are_all_alike_is_a_chance_and_an_amount(rhythm: list[int], count: int) -> None:
    days = np.sort(AS_OF - np.array(rhythm))
    history = OrderHistory(
        customer_id=np.arange(count, dtype=np.uint64),
        business_type=np.zeros(count, dtype=np.int64),
        type_names=("only",),
        first_day=np.full(count, days[0]),
        days=np.tile(days, count),
        offsets=np.arange(count + 1) * len(days),
    )
    windows = {
        "90d": (90, 0), "365d": (365, 0), "year": (454, 90), "half": (270, 90), "recent": (60, 0), "reference": (240, 60)
    }  # fmt: skip
    counts = {name: history.orders_between(AS_OF - start, AS_OF - end) for name, (start, end) in windows.items()}
    customers = pd.DataFrame(
        {
            "customer_id": history.customer_id,
            "business_type": history.business_type,
            "customer_status": "active",
            "first_day": history.first_day,
            "last_day": days[-1],
            **{f"order_days_{name}": number for name, number in counts.items()},
            **{f"net_{name}": 10.0 * counts[name] for name in ("90d", "365d", "year", "half")},
        }
    )
    categories = pd.DataFrame(
        {
            "customer_id": history.customer_id,
            "category_id": 1,
            "order_days_reference": counts["reference"],
            "order_days_recent": counts["recent"],
            "amount_reference": 10.0 * counts["reference"],
        }
    )
    assert len(dropped_category(customers, categories)) <= count
    scores = churn(history, customers, categories, AS_OF, churn_model.fit(history, AS_OF - 30))
    assert scores["customer_id"].tolist() == list(range(count))
    for column in ("p_no_order_30d", "p_defected"):
        assert scores[column].dropna().between(0, 1).all(), column
    assert (scores["value_at_risk"] >= 0).all() and np.isfinite(scores["value_at_risk"]).all()


def _blocks(net: np.ndarray, age: int, silence: int) -> SpendBlocks:
    count = len(net)
    return SpendBlocks(
        customer_id=np.arange(count, dtype=np.uint64),
        business_type=np.full(count, "only"),
        net=net,
        orders=np.ceil(np.abs(net)),
        days_since_first_order=np.full(count, age),
        days_since_last_order=np.full(count, silence),
    )


@unhurried
@given(
    count=st.sampled_from([1, 60, 600]),
    spend=st.lists(st.sampled_from([-3.0, 0.0, 7.0]), min_size=BLOCKS, max_size=BLOCKS),
    age=st.sampled_from([0, 27, 200, 800]),
)
def test_the_potential_of_customers_who_are_all_alike_is_a_share_or_unknown(
    count: int, spend: list[float], age: int
) -> None:
    blocks = _blocks(np.tile(np.array(spend), (count, 1)), age, min(age, 5))
    trees = spend_forecast.fit([(blocks, blocks.net[:, -3:].sum(axis=1))])
    is_anything_bought = blocks.net[:, -3:].sum() > 0
    assert (trees is None) == (count < spend_forecast.FEWEST_EXAMPLES or not is_anything_bought)
    if trees:
        assert np.isfinite(spend_forecast.predict(blocks, trees)).all()
    slopes = growth_slopes(blocks)
    assert slopes["growth_slope_p_value"].dropna().between(0, 1).all()
    bands = fit_bands(blocks.business_type, annual_spend(blocks))
    assert (bands is None) == (count < 40)
    assert set(size_bands(blocks.business_type, annual_spend(blocks), bands)) <= {None, 1, 2, 3, 4}
    features = pd.DataFrame(
        {
            "customer_id": blocks.customer_id,
            "business_type": "only",
            "region_code": "only",
            "order_count_90d": blocks.orders[:, -3:].sum(axis=1),
            "net_amount_90d": blocks.net[:, -3:].sum(axis=1),
            "category_count_90d": 1.0,
            "new_product_offered_count_180d": 0,
            "new_product_tried_count_180d": 0,
        }
    )
    category = pd.DataFrame(
        {"customer_id": blocks.customer_id, "category_id": 1, "spend_90d": features["net_amount_90d"]}
    )
    parts = potential_parts(features, category, blocks, WEIGHTS, None)
    assert len(parts) == count
    assert parts["potential_index_v2"].dropna().between(0, 1).all()


@given(st.integers(1, 300), st.integers(0, 5), st.integers(0, 5))
@unhurried
def test_acceptance_by_customers_who_are_all_alike_is_a_rate_or_unknown(count: int, offered: int, tried: int) -> None:
    offers, tries = np.full(count, offered), np.full(count, min(tried, offered))
    prior = fit_prior(offers, tries)
    assert (prior is None) == (count < 100 or not offered)
    rate = acceptance(offers, tries, prior or (1.0, 9.0))
    assert np.isnan(rate).all() if not offered else ((rate >= 0) & (rate <= 1)).all()


@pytest.mark.parametrize("weeks", [1, 2, 33, 60, 120])
@pytest.mark.parametrize("sales", ["none", "constant", "a gap of six months", "once"])
def test_sales_of_one_value_or_with_a_long_gap_are_forecast_with_finite_amounts(weeks: int, sales: str) -> None:
    series = {"none": np.zeros(weeks), "constant": np.full(weeks, 7.0), "once": np.r_[np.zeros(weeks - 1), 7.0]}
    series["a gap of six months"] = np.where(np.abs(np.arange(weeks) - weeks / 2) < 13, 0.0, 7.0)
    made = forecast(series[sales], date(2024, 6, 24))
    assert np.isfinite(made.path.middle).all()
    assert made.method and made.verdict


def test_the_first_forecast_of_a_process_prints_no_warning_of_a_model_that_did_not_converge() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import numpy, datetime; from orchestration.predictive.forecast import forecast; "
            "forecast(numpy.full(60, 7.0), datetime.date(2024, 6, 24))",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (said.stdout, said.stderr) == ("", "")


@pytest.mark.parametrize(("customers", "products"), [(1, 1), (300, 1), (300, 2), (1, 300)])
def test_customers_who_bought_the_same_have_recommendations_or_none_and_a_reason(customers: int, products: int) -> None:
    people = pd.DataFrame({"customer_id": range(customers), "region_code": "only"})
    pairs = pd.MultiIndex.from_product([range(customers), range(products)]).to_frame(index=False)
    pairs.columns = ["customer_id", "product_id"]
    pairs = pairs.assign(lines_28d=0, lines_90d=1, lines_365d=1, first_age=100, last_age=30)
    everywhere = np.ones((1, products))
    catalogue = Catalogue(np.arange(products, dtype=np.uint64), ("only",), everywhere > 0, everywhere)
    fold = Fold(catalogue, history_of(people, pairs, catalogue), pairs[["customer_id", "product_id"]])
    choice, rows = choose(fold, fold)
    made = recommend(fold.history, learn(fold.history, catalogue), catalogue, choice)
    assert rows["recall_at_10"].dropna().between(0, 1).all()
    assert made["customer_id"].nunique() == customers and np.isfinite(made["score"]).all()
    assert choice.reason in ("judged", "too_few_customers")
