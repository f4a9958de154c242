"""Partial defection: customers who still order, but spend far less than their own season would have them, or dropped a category."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestration.predictive.grouping import positions_by_value

WINDOW_DAYS = 90
# Reference windows before the present 90 days: a year of whole weeks, or for younger customers half a year.
YEAR_DAYS, HALF_DAYS = 364, 180
# Customers whose change from the reference to now says what the season does.
_STEADY_ORDER_DAYS = 12
_FEWEST_STEADY = 20
# A fall counts when it is this share of the baseline, and more than two standard deviations of a customer's 90 days.
_FALL_SHARE = 0.4
_FALL_DEVIATIONS = 2.0
# Coefficient of variation of the value of an order day, for that deviation.
_VALUE_CV = 0.5

# A category is dropped when orders of CATEGORY_RECENT_DAYS hold none of it, which by its share of the order days in the
# CATEGORY_REFERENCE_DAYS before would be chance less than once in a hundred.
CATEGORY_RECENT_DAYS, CATEGORY_REFERENCE_DAYS = 60, 180
_REGULAR_ORDER_DAYS = 4
_REGULAR_SHARE = 0.2
_DROPPED_CHANCE = 0.01


def falling_spend(customers: pd.DataFrame) -> pd.DataFrame:
    """Spend of 90 days against the customer's own seasonal baseline.

    customers: business_type (index), history_days (since the first order), net_90d, order_days_90d, and of both reference windows
    net_year, order_days_year, net_half, order_days_half (money in CNY). Returns baseline_net_amount_90d (NaN without 180 days of
    reference), spend_change (NaN where the baseline is not positive) and is_falling, rows as given.

    baseline = mean of the reference scaled to 90 days x season; season = median over steady customers of the same business
    type (of all where fewer than 20, 1 where fewer still) of spend now / spend of the reference, both over 90 days.
    """
    net = customers["net_90d"].to_numpy(dtype=np.float64)
    baseline = np.full(len(customers), np.nan)
    expected_days = np.full(len(customers), np.nan)
    for name, days in (("half", HALF_DAYS), ("year", YEAR_DAYS)):
        has_reference = customers["history_days"].to_numpy() >= WINDOW_DAYS + days
        mean = customers[f"net_{name}"].to_numpy(dtype=np.float64) * WINDOW_DAYS / days
        order_days = customers[f"order_days_{name}"].to_numpy()
        is_steady = (
            has_reference
            & (order_days >= _STEADY_ORDER_DAYS)
            & (customers["order_days_90d"].to_numpy() > 0)
            & (mean > 0)
        )
        season = _season(customers["business_type"].to_numpy(), is_steady, net, mean)
        baseline[has_reference] = (mean * season)[has_reference]
        expected_days[has_reference] = (order_days * WINDOW_DAYS / days)[has_reference]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(baseline > 0, net / baseline - 1.0, np.nan)
        deviation = baseline * np.sqrt((1 + _VALUE_CV**2) / expected_days)
        shortfall = baseline - net
        is_falling = (
            (customers["order_days_90d"].to_numpy() > 0)
            & (shortfall >= _FALL_SHARE * baseline)
            & (shortfall >= _FALL_DEVIATIONS * deviation)
            & (baseline > 0)
        )
    return pd.DataFrame(
        {"baseline_net_amount_90d": np.round(baseline, 2), "spend_change": change, "is_falling": is_falling},
        index=customers.index,
    )


def _season(kind: np.ndarray, is_steady: np.ndarray, net: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What the season makes of each customer's reference, a factor per business type."""
    ratio = net[is_steady] / mean[is_steady]
    of_all = float(np.median(ratio)) if len(ratio) >= _FEWEST_STEADY else 1.0
    season = np.full(len(kind), of_all)
    place = np.cumsum(is_steady) - 1
    for _, members in positions_by_value(kind):
        of_kind = ratio[place[members[is_steady[members]]]]
        if len(of_kind) >= _FEWEST_STEADY:
            season[members] = np.median(of_kind)
    return season


def dropped_category(customers: pd.DataFrame, categories: pd.DataFrame) -> pd.DataFrame:
    """The regularly bought category that a customer who still orders stopped buying; of several the one with most spend.

    customers: customer_id, order_days_recent, order_days_reference (of the category windows). categories: customer_id, category_id,
    order_days_reference, order_days_recent (with the category), amount_reference (CNY). Returns customer_id, category_id and
    amount_90d, what 90 days of the reference were worth; one row per customer with a dropped category, by customer_id. Of equal amounts the
    lower category_id counts.
    """
    rows = categories.merge(customers, on="customer_id", suffixes=("", "_all"))
    share = rows["order_days_reference"] / (rows["order_days_reference_all"] + 1.0)
    chance = (1.0 - share) ** rows["order_days_recent_all"]
    is_dropped = (
        (rows["order_days_recent"] == 0)
        & (rows["order_days_reference"] >= _REGULAR_ORDER_DAYS)
        & (share >= _REGULAR_SHARE)
        & (chance <= _DROPPED_CHANCE)
    )
    rows = rows[is_dropped].sort_values(
        ["customer_id", "amount_reference", "category_id"], ascending=[True, False, True]
    )
    rows = rows.drop_duplicates("customer_id")
    amount = (rows["amount_reference"].clip(lower=0) * WINDOW_DAYS / CATEGORY_REFERENCE_DAYS).round(2)
    return pd.DataFrame(
        {"customer_id": rows["customer_id"], "category_id": rows["category_id"], "amount_90d": amount}
    ).reset_index(drop=True)
