"""What is judged: scores of the models at one cut day, each customer scored by a fit on the other half, and the baselines.

A customer belongs to one of two halves by a hash of the id. Whatever is trained is fitted twice, on each half, and scores
the half that it has not seen. Everything is pure: histories and sums come in, arrays in the order of the customers go out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from orchestration.predictive import churn_model, spend_forecast
from orchestration.predictive.evaluation import as_probability
from orchestration.predictive.lifetime_value import Options, fit_lifetime_value, reason_not_to_fit, score_lifetime_value
from orchestration.predictive.maximum_likelihood import NoMaximum
from orchestration.predictive.open_days import OpenDays
from orchestration.predictive.order_history import OrderHistory
from orchestration.predictive.order_process import OrderModel, expected_orders, group_histories
from orchestration.predictive.regularity import scattered
from orchestration.predictive.rhythm import HISTORY_DAYS, rhythm
from orchestration.predictive.spend_blocks import SpendBlocks

Array = np.ndarray

DECAY_DAYS = 90
# Customers who ordered in these days may still be lost; who is silent for longer is gone already.
ACTIVE_DAYS = 90
HALVES = (0, 1)


@dataclass(frozen=True)
class LifetimeValue:
    """By customer: margin expected in the horizon and in 365 days, and P(no order in the next 30 days)."""

    expected_margin: Array
    expected_margin_365d: Array
    p_no_order: Array


def half_of(customer_id: Array) -> Array:
    """0 or 1 by a hash of the id."""
    return (scattered(customer_id) >> np.uint64(40)).astype(np.int64) % len(HALVES)


def baselines(customers: pd.DataFrame) -> dict[str, Array]:
    """Scores that need no model, higher for better customers.

    customers: net_amount_to_date, value_to_date, value_90d, order_count_365d, days_since_last_order, ratio_to_max_score and
    midrank_score.
    """
    spend = customers["net_amount_to_date"].to_numpy(np.float64)
    silence = customers["days_since_last_order"].to_numpy(np.float64)
    return {
        "historical_spend": spend,
        "historical_margin": customers["value_to_date"].to_numpy(np.float64),
        "margin_of_90_days": customers["value_90d"].to_numpy(np.float64),
        "order_count": customers["order_count_365d"].to_numpy(np.float64),
        "recency": -silence,
        "decayed_spend": spend * np.exp(-silence / DECAY_DAYS),
        "example_formula": customers["ratio_to_max_score"].to_numpy(np.float64),
        "midrank_formula": customers["midrank_score"].to_numpy(np.float64),
    }


def active(customers: pd.DataFrame) -> pd.DataFrame:
    """Those whose chance of no order is judged."""
    return customers[customers["days_since_last_order"] < ACTIVE_DAYS].reset_index(drop=True)


def no_order_scores(customers: pd.DataFrame) -> dict[str, Array]:
    """The baselines for no order: who is expected to buy is not expected to stay away."""
    return {name: -score for name, score in baselines(customers).items()}


def no_order_chances(customers: pd.DataFrame, earlier: pd.DataFrame) -> dict[str, Array]:
    """The same as P(no order in the next 30 days), by what followed the scores of 30 days before; none where nobody had one.

    earlier: the customers of then, with order_count_after of the 30 days.
    """
    if earlier.empty:
        return {}
    before, happened = no_order_scores(earlier), (earlier["order_count_after"].to_numpy() == 0).astype(np.float64)
    return {name: as_probability(score, before[name], happened) for name, score in no_order_scores(customers).items()}


def lifetime_value(
    training: pd.DataFrame,
    trained_until: date,
    holdout: int,
    customers: pd.DataFrame,
    horizon_days: int,
    options: Options,
) -> LifetimeValue | str:
    """Out-of-half predictions in the order of `customers`; a text that says why where one of the halves supports no model.

    training and customers: as `fit_lifetime_value` and `score_lifetime_value` ask for, customers by customer_id.
    """
    margin, margin_365d, no_order = (np.full(len(customers), np.nan) for _ in range(3))
    half, training_half = half_of(customers["customer_id"].to_numpy()), half_of(training["customer_id"].to_numpy())
    for number in HALVES:
        seen = training[training_half != number]
        reason = reason_not_to_fit(seen, options)
        if reason:
            return f"half of the customers: {reason}"
        try:
            artifact = fit_lifetime_value(seen, trained_until, holdout, options)
        except NoMaximum as error:
            return str(error)
        rows = customers[half == number]
        if rows.empty:
            continue
        scored = score_lifetime_value(rows, artifact, options)
        histories, place = group_histories(
            rows["order_day_count"].to_numpy(np.float64) - 1,
            rows["days_to_last_order"].to_numpy(np.float64),
            rows["days_since_first_order"].to_numpy(np.float64),
        )
        model = OrderModel(**artifact.parameters["orders"])
        orders = expected_orders(model, histories, [float(horizon_days)])[place, 0]
        margin[half == number] = orders * scored["expected_order_value"].to_numpy(np.float64)
        margin_365d[half == number] = scored["expected_margin_365d"].to_numpy(np.float64)
        no_order[half == number] = scored["p_no_order_30d"].to_numpy(np.float64)
    return LifetimeValue(margin, margin_365d, no_order)


def churn_no_order(
    training: OrderHistory, trained_until: int, history: OrderHistory, as_of: int, customer_id: Array
) -> Array | str:
    """Out-of-half P(no order in the next 30 days) of the churn model, in the order of `customer_id`; a text where there is none.

    training needs the order days of `churn_model.TRAINING_DAYS`, history of `HISTORY_DAYS`; later days are not looked at.
    """
    start = as_of - HISTORY_DAYS + 1
    known = history.until(as_of, since=start)
    if not len(known.customer_id):
        return "no order"
    rhythms = rhythm(known, OpenDays(known.per_day(start, as_of), start), as_of)
    half, training_half = half_of(rhythms["customer_id"].to_numpy()), half_of(training.customer_id)
    chance = np.full(len(rhythms), np.nan)
    for number in HALVES:
        seen = _customers(training, training_half != number)
        parameters = churn_model.fit(seen, trained_until) if len(seen.customer_id) else None
        if parameters is None:
            return "half of the customers: too few examples to train on"
        gap = churn_model.expected_gap(rhythms, history.type_names, parameters)
        ratio = churn_model.gap_ratio(rhythms, gap)
        no_order, _ = churn_model.probabilities(gap, ratio, rhythms["gap_count"].to_numpy(), parameters)
        chance[half == number] = no_order[half == number]
    return pd.Series(chance, index=rhythms["customer_id"].to_numpy()).reindex(customer_id).to_numpy()


def expected_spend(examples: list[tuple[SpendBlocks, Array]], blocks: SpendBlocks, customer_id: Array) -> Array | str:
    """Out-of-half net spend of the next 90 days by the trees, in the order of `customer_id`; 0 for who ordered nothing in a year."""
    half, result = half_of(blocks.customer_id), np.zeros(len(blocks.customer_id))
    for number in HALVES:
        seen = []
        for spend, outcome in examples:
            rows = half_of(spend.customer_id) != number
            seen.append((_spenders(spend, rows), outcome[rows]))
        parameters = spend_forecast.fit(seen)
        if parameters is None:
            return f"half of the customers: fewer than {spend_forecast.FEWEST_EXAMPLES} examples"
        rows = half == number
        if rows.any():
            result[rows] = spend_forecast.predict(_spenders(blocks, rows), parameters)
    return pd.Series(result, index=blocks.customer_id).reindex(customer_id).fillna(0.0).to_numpy()


def _customers(history: OrderHistory, chosen: Array) -> OrderHistory:
    """The history of some of the customers."""
    counts = history.counts[chosen]
    return replace(
        history,
        customer_id=history.customer_id[chosen],
        business_type=history.business_type[chosen],
        first_day=history.first_day[chosen],
        days=history.days[chosen[history.owner]],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
    )


def _spenders(spend: SpendBlocks, chosen: Array) -> SpendBlocks:
    return SpendBlocks(
        spend.customer_id[chosen],
        spend.business_type[chosen],
        spend.net[chosen],
        spend.orders[chosen],
        spend.days_since_first_order[chosen],
        spend.days_since_last_order[chosen],
    )
