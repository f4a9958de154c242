"""Lifetime value: how many orders and how much margin a customer will bring, and whether the customer still orders at all.

Orders by BG/NBD, MBG/NBD or a regular variant (order_process.py), value by Gamma-Gamma (order_value.py), the kind of model
by a hold-out (regularity.py). Orders of one business date count as one. Fitting makes an artifact; scoring reads it and the
customer's own history, nothing else, so a score does not move because other customers arrive.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np
import pandas as pd

from orchestration.predictive.artifacts import Artifact, fingerprint
from orchestration.predictive.one_thread import in_one_thread
from orchestration.predictive.order_process import (
    OrderModel,
    discounted_orders,
    expected_orders,
    fit_order_model,
    group_histories,
    probability_alive,
    probability_no_order,
)
from orchestration.predictive.order_value import ValueModel, expected_value, fit_value_model
from orchestration.predictive.regularity import Choice, choose_order_model, measure_regularity

Array = np.ndarray

MODEL = "lifetime_value"
YEAR_DAYS = 365
NO_ORDER_DAYS = 30
FALLBACK = "historical_rate"
NO_MODEL = "none"

# What an order's value is measured in, by customer: margin, or net sales where no cost of the customer is known.
_BASES = {"margin": 0, "revenue": 1}


@dataclass(frozen=True)
class Options:
    """What fitting and scoring may be told.

    fewest_customers, fewest_repeaters (customers with two order days), fewest_days (of history): below these no model is
    fitted. holdout_days: length of the hold-out, at most a third of the history. largest_k: most regular variant tried.
    most_in_choice: customers on which the kind of model is chosen. residual_days and annual_discount_rate: horizon and rate of
    the residual value. shortest_exposure_days: of the fallback's rate.
    """

    fewest_customers: int = 200
    fewest_repeaters: int = 50
    fewest_days: int = 90
    holdout_days: int = 90
    largest_k: int = 4
    most_in_choice: int = 50_000
    residual_days: int = 1095
    annual_discount_rate: float = 0.10
    shortest_exposure_days: int = 90

    @property
    def code_version(self) -> str:
        """Version of this code with these options: what was fitted under others does not serve."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"2-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


OPTIONS = Options()


def reason_not_to_fit(training: pd.DataFrame, options: Options) -> str:
    """Why these customers cannot support a model, in a few words; empty when they can. Columns: see `fit_lifetime_value`."""
    count = len(training)
    if count < options.fewest_customers:
        return f"{count} customers, fewer than {options.fewest_customers}"
    repeaters = int((training["order_day_count"] > 1).sum())
    if repeaters < options.fewest_repeaters:
        return f"{repeaters} customers with two order days, fewer than {options.fewest_repeaters}"
    days = int(training["days_since_first_order"].max()) + 1
    if days < options.fewest_days:
        return f"{days} days of orders, fewer than {options.fewest_days}"
    return ""


def holdout_days(history_days: int, options: Options) -> int:
    """Length of the hold-out within a history: what was asked for, but at most a third of the history."""
    return max(1, min(options.holdout_days, history_days // 3))


@in_one_thread()
def fit_lifetime_value(training: pd.DataFrame, trained_until: date, holdout: int, options: Options) -> Artifact:
    """Fit everything on what was known at the end of a day.

    training, one row per customer with an order by then: customer_id, order_day_count, days_to_last_order (from the first
    order day to the last), days_since_first_order (to `trained_until`), value_to_date (margin, or net sales where
    is_from_revenue = 1, before the tier's discount), is_from_revenue, last_gap, gap_before (days; NaN where there is none),
    and early_order_day_count, early_days_to_last_order: the same as they were `holdout` days before, 0 for customers who
    came later. Raises ValueError when `reason_not_to_fit` has one.
    """
    reason = reason_not_to_fit(training, options)
    if reason:
        raise ValueError(reason)
    training = training.sort_values("customer_id", kind="stable")
    days = training["order_day_count"].to_numpy(dtype=np.float64)
    t_x, T = (_floats(training, name) for name in ("days_to_last_order", "days_since_first_order"))
    regularity = measure_regularity(
        _floats(training, "last_gap"), _floats(training, "gap_before"), options.fewest_repeaters
    )
    largest_k = 1 if regularity.k is None else max(1, min(options.largest_k, round(regularity.k)))
    choice = _choose(training, holdout, largest_k, options)

    histories, _ = group_histories(days - 1, t_x, T)
    orders = fit_order_model(histories, choice.stops_at_start, choice.k)
    value = _floats(training, "value_to_date")
    from_revenue = training["is_from_revenue"].to_numpy(dtype=np.int64)
    return Artifact(
        model=MODEL,
        code_version=options.code_version,
        trained_from=date.fromordinal(trained_until.toordinal() - int(T.max())),
        trained_until=trained_until,
        data_fingerprint=fingerprint(
            training["customer_id"].to_numpy(), days, t_x, T, np.nan_to_num(value), from_revenue
        ),
        parameters={
            "orders": orders.to_parameters(),
            "value": {
                name: _fit_value(days[from_revenue == code], value[from_revenue == code], options)
                for name, code in _BASES.items()
            },
            "regularity": asdict(regularity),
            "choice": asdict(choice),
            "holdout_days": holdout,
            "options": asdict(options),
        },
    )


@in_one_thread()
def score_lifetime_value(
    customers: pd.DataFrame, artifact: Artifact | None, options: Options, reason: str = ""
) -> pd.DataFrame:
    """Predict every customer from the customer's own history and the artifact; without one by the fallback, which says why.

    customers: customer_id, order_day_count, days_to_last_order, days_since_first_order, value_to_date, is_from_revenue, as
    for fitting. Returns, sorted by customer_id: customer_id, model_version, method, reason, value_method, is_from_revenue,
    expected_order_count_365d, expected_order_value, expected_margin_365d, p_alive, p_no_order_30d, residual_value. The last three are
    NaN under the fallback. Money is rounded to 2 decimals.
    """
    customers = customers.sort_values("customer_id", kind="stable").reset_index(drop=True)
    days = customers["order_day_count"].to_numpy(dtype=np.float64)
    T = _floats(customers, "days_since_first_order")
    mean = _floats(customers, "value_to_date") / days
    from_revenue = customers["is_from_revenue"].to_numpy(dtype=np.int64)
    if artifact is None:
        expected = days * YEAR_DAYS / np.maximum(T + 1.0, options.shortest_exposure_days)
        unknown = np.full(len(days), np.nan)
        alive, no_order, discounted = unknown, unknown, unknown
        worth, how = np.nan_to_num(mean), np.full(len(days), "own_mean", dtype=object)
    else:
        model = OrderModel(**artifact.parameters["orders"])
        histories, place = group_histories(days - 1, _floats(customers, "days_to_last_order"), T)
        expected = expected_orders(model, histories, [float(YEAR_DAYS)])[place, 0]
        alive = probability_alive(model, histories)[place]
        no_order = probability_no_order(model, histories, float(NO_ORDER_DAYS))[place]
        rate = float(np.log1p(options.annual_discount_rate)) / YEAR_DAYS
        discounted = discounted_orders(model, histories, float(options.residual_days), rate)[place]
        worth, how = _worth(artifact, days, mean, from_revenue)
    return pd.DataFrame(
        {
            "customer_id": customers["customer_id"],
            "model_version": artifact.version if artifact else NO_MODEL,
            "method": model.name if artifact else FALLBACK,
            "reason": reason if artifact is None else "",
            "value_method": how,
            "is_from_revenue": from_revenue,
            "expected_order_count_365d": expected,
            "expected_order_value": np.round(worth, 2),
            "expected_margin_365d": np.round(expected * worth, 2),
            "p_alive": alive,
            "p_no_order_30d": no_order,
            "residual_value": np.round(discounted * worth, 2),
        }
    )


def _choose(training: pd.DataFrame, holdout: int, largest_k: int, options: Options) -> Choice:
    early = training[training["early_order_day_count"] > 0]
    repeaters = int((early["early_order_day_count"] > 1).sum())
    if len(early) < options.fewest_customers or repeaters < options.fewest_repeaters:
        return Choice(
            True, 1, [], f"too few customers ordered more than {holdout} days ago to try models; mbg_nbd is taken"
        )
    days = early["early_order_day_count"].to_numpy(dtype=np.float64)
    return choose_order_model(
        early["customer_id"].to_numpy(),
        days - 1,
        _floats(early, "early_days_to_last_order"),
        _floats(early, "days_since_first_order") - holdout,
        early["order_day_count"].to_numpy(dtype=np.float64) - days,
        float(holdout),
        largest_k,
        options.most_in_choice,
    )


def _fit_value(days: Array, value: Array, options: Options) -> dict[str, object] | None:
    """Gamma-Gamma of one basis; None where too few customers with two order days and a positive mean are there to tell."""
    mean = value / days
    if int(((days > 1) & (mean > 0)).sum()) < options.fewest_repeaters:
        return None
    return fit_value_model(days, mean).to_parameters()


def _worth(artifact: Artifact, days: Array, mean: Array, from_revenue: Array) -> tuple[Array, Array]:
    """Expected value of an order, and how it came about, by customer."""
    worth, how = np.nan_to_num(mean), np.full(len(days), "own_mean", dtype=object)
    for name, code in _BASES.items():
        parameters = artifact.parameters["value"][name]
        rows = from_revenue == code
        if parameters is None:
            continue
        worth[rows] = expected_value(ValueModel(**parameters), days[rows], mean[rows])
        how[rows] = np.where(mean[rows] > 0, "gamma_gamma", "shrunk_mean")
    how[np.isnan(mean)] = "mean_of_all"
    return worth, how


def _floats(frame: pd.DataFrame, column: str) -> Array:
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
