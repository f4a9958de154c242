"""Churn of every customer: silence against the own rhythm, partial defection, how grave it is and what it may cost.

Formulas and thresholds: docs/definitions.md. New customers, blocked ones, seasonal pauses that repeat last year's, and days on
which a whole kind of customer is closed are no alarms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from orchestration.predictive.churn_model import UNTRAINED, expected_gap, gap_ratio, probabilities
from orchestration.predictive.defection import WINDOW_DAYS, dropped_category, falling_spend
from orchestration.predictive.open_days import OpenDays
from orchestration.predictive.order_history import OrderHistory
from orchestration.predictive.rhythm import HISTORY_DAYS, rhythm

HIGH_DEFECTION, HIGH_RATIO = 0.6, 2.0
MEDIUM_DEFECTION, MEDIUM_RATIO = 0.3, 1.5
NEW_CUSTOMER_DAYS = 60
# Silent for longer: not leaving but gone, so there is nothing left to lose.
LAPSED_DAYS = 180
# Money is shown in whole cents, probabilities with as many digits as a model of gaps can mean.
_DIGITS = 6


def churn(
    history: OrderHistory,
    customers: pd.DataFrame,
    categories: pd.DataFrame,
    as_of: int,
    parameters: dict[str, Any] | None,
) -> pd.DataFrame:
    """Rhythm, probabilities, defection, risk and value at risk of every customer at the end of `as_of`.

    history: order days of the customers, of at least the two years that end on `as_of`; later days are not looked at.
    customers: one row per customer in the order of customer_id: customer_id, business_type (index into
    history.type_names), customer_status, first_day, last_day, net_90d, net_365d, order_days_90d, and what `falling_spend`
    and `dropped_category` ask for. categories: see `dropped_category`. parameters: of `churn_model.fit` at the training
    day; None where nothing could be trained.
    Returns the columns of `<prefix>_predictive.churn` from customer_id on.
    """
    method = "trained" if parameters else "untrained"
    parameters = parameters or UNTRAINED
    start = as_of - HISTORY_DAYS + 1
    known = history.until(as_of, since=start)
    clock = OpenDays(known.per_day(start, as_of), start)
    rhythms = _of_everyone(rhythm(known, clock, as_of), customers, as_of)
    gap = expected_gap(rhythms, history.type_names, parameters)
    ratio = gap_ratio(rhythms, gap)
    no_order, defected = probabilities(gap, ratio, rhythms["gap_count"].to_numpy(), parameters)

    history_days = as_of - customers["first_day"].to_numpy() + 1
    fall = falling_spend(customers.assign(history_days=history_days))
    dropped = customers[["customer_id"]].merge(dropped_category(customers, categories), on="customer_id", how="left")
    lost_amount = dropped["amount_90d"].fillna(0.0).to_numpy()
    is_dropped = dropped["category_id"].notna().to_numpy()

    risk, reason = _judge(
        status=customers["customer_status"].to_numpy(),
        is_new=history_days <= NEW_CUSTOMER_DAYS,
        defected=defected,
        ratio=ratio,
        rhythms=rhythms,
        gap=gap,
        is_falling=fall["is_falling"].to_numpy(),
        is_dropped=is_dropped,
    )
    usual = fall["baseline_net_amount_90d"].to_numpy()
    recent = customers["net_365d"].to_numpy(dtype=np.float64) * WINDOW_DAYS / np.clip(history_days, WINDOW_DAYS, 365)
    usual = np.maximum(np.where(np.isnan(usual), recent, usual), 0.0)
    shortfall = np.where(fall["is_falling"], usual - customers["net_90d"].to_numpy(dtype=np.float64), 0.0)
    partial = np.minimum(np.maximum(shortfall, lost_amount), usual)
    at_risk = np.where(
        np.isin(reason, ["account_closed", "account_blocked", "lapsed"]),
        0.0,
        defected * usual + (1.0 - defected) * partial,
    )
    return pd.DataFrame(
        {
            "customer_id": customers["customer_id"].to_numpy(),
            "method": method,
            "gap_count": rhythms["gap_count"].to_numpy(),
            "expected_gap_days": np.round(gap, _DIGITS),
            "silence_days": rhythms["silence_days"].to_numpy(),
            "silence_open_days": np.round(rhythms["silence_open_days"].to_numpy(), _DIGITS),
            "pause_open_days": np.round(rhythms["pause_open_days"].to_numpy(), _DIGITS),
            "gap_ratio": np.round(ratio, _DIGITS),
            "p_no_order_30d": np.round(no_order, _DIGITS),
            "p_defected": np.round(defected, _DIGITS),
            "baseline_net_amount_90d": fall["baseline_net_amount_90d"].to_numpy(),
            "spend_change": fall["spend_change"].to_numpy(),
            "is_spend_falling": fall["is_falling"].to_numpy(),
            "dropped_category_id": dropped["category_id"].to_numpy(),
            "dropped_category_amount_90d": dropped["amount_90d"].to_numpy(),
            "churn_risk": risk,
            "reason_code": reason,
            "value_at_risk": np.round(at_risk, 2),
        }
    )


def _of_everyone(rhythms: pd.DataFrame, customers: pd.DataFrame, as_of: int) -> pd.DataFrame:
    """Rhythms in the order of the customers; those without an order in two years have no rhythm, only a silence."""
    rows = customers[["customer_id", "business_type", "last_day"]].merge(
        rhythms.drop(columns=["business_type", "last_day", "first_day"]), on="customer_id", how="left"
    )
    rows["silence_days"] = as_of - rows["last_day"]
    rows["silence_open_days"] = rows["silence_open_days"].fillna(rows["silence_days"].astype(np.float64))
    rows["pause_open_days"] = rows["pause_open_days"].fillna(0.0)
    rows["gap_count"] = rows["gap_count"].fillna(0).astype(np.int64)
    return rows


def _judge(
    status: np.ndarray,
    is_new: np.ndarray,
    defected: np.ndarray,
    ratio: np.ndarray,
    rhythms: pd.DataFrame,
    gap: np.ndarray,
    is_falling: np.ndarray,
    is_dropped: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Risk and the code of its reason, the first that holds."""
    is_high = (defected >= HIGH_DEFECTION) & (ratio >= HIGH_RATIO)
    is_medium = (defected >= MEDIUM_DEFECTION) & (ratio >= MEDIUM_RATIO)
    # Would be overdue, if days of a pause of last year, or days on which the whole kind was closed, counted.
    without_pause = rhythms["silence_open_days"].to_numpy() / gap
    without_holiday = rhythms["silence_days"].to_numpy() / gap
    cases = [
        (status == "closed", "high", "account_closed"),
        # Who may not order says nothing by not ordering.
        (status == "blocked", "low", "account_blocked"),
        (is_new, "low", "new_customer"),
        (is_high & (rhythms["silence_days"].to_numpy() > LAPSED_DAYS), "high", "lapsed"),
        (is_high, "high", "silent"),
        (is_medium, "medium", "silent"),
        (is_dropped, "medium", "dropped_category"),
        (is_falling, "medium", "falling_spend"),
        ((ratio < MEDIUM_RATIO) & (without_pause >= MEDIUM_RATIO), "low", "seasonal_pause"),
        ((ratio < MEDIUM_RATIO) & (without_holiday >= MEDIUM_RATIO), "low", "closed_days"),
    ]
    conditions = [condition for condition, _, _ in cases]
    risk = np.select(conditions, [risk for _, risk, _ in cases], "low")
    return risk, np.select(conditions, [reason for _, _, reason in cases], "in_rhythm")
