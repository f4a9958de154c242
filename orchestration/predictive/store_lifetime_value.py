"""Reading order histories for the lifetime value, summed up in the engine as they were known, and writing its rows of a day."""

from __future__ import annotations

from datetime import date

import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.predictive.artifacts import Artifact, training_day
from orchestration.predictive.cutoff import days_before, known, until
from orchestration.predictive.lifetime_value import (
    MODEL,
    OPTIONS,
    Options,
    fit_lifetime_value,
    holdout_days,
    reason_not_to_fit,
    score_lifetime_value,
)
from orchestration.predictive.maximum_likelihood import NoMaximum
from orchestration.predictive.order_histories import from_facts
from orchestration.predictive.promotions import served_model
from orchestration.predictive.store_artifacts import load_or_fit
from orchestration.predictive.store_tables import replace_day
from orchestration.warehouse.settings import Settings


def refresh_lifetime_value(
    client: Client,
    settings: Settings,
    as_of: str,
    known_until: str = "",
    options: Options = OPTIONS,
    histories: str = "",
) -> pd.DataFrame:
    """Score and replace the rows of `as_of` in `<prefix>_predictive.lifetime_value`; fits the month's model where it is missing.

    known_until: last day whose knowledge counts, for a restatement; empty: the as-of date. Facts must be up to date.
    histories: a relation of `order_histories` for the day and that knowledge; empty: made from the facts.
    """
    day = date.fromisoformat(as_of)
    artifact, reason = model_of_day(client, settings, day, options)
    knows = date.fromisoformat(known_until) if known_until else day
    customers = read_customers(client, histories or from_facts(settings, day, knows), day)
    result = score_lifetime_value(customers, artifact, options, reason)
    # Beside the model's numbers, whoever serves: the verdicts on them as rankings and as chances.
    result = result.assign(
        served_model=served_model(client, settings, MODEL, as_of),
        no_order_served_model=served_model(client, settings, f"{MODEL}_no_order", as_of),
    )
    replace_day(client, settings, "lifetime_value", day, result, as_of_date=day)
    return result


def model_of_day(
    client: Client, settings: Settings, as_of: date, options: Options = OPTIONS
) -> tuple[Artifact | None, str]:
    """The artifact that scores a day, fitted where it is missing; or None, and why there is none."""
    until = training_day(as_of)
    reason = ""

    def fit() -> Artifact | None:
        nonlocal reason
        training, holdout = read_training(client, settings, until, options)
        reason = reason_not_to_fit(training, options)
        if not reason:
            try:
                return fit_lifetime_value(training, until, holdout, options)
            except NoMaximum as error:
                reason = str(error)
        reason = f"on {until}: {reason}"
        return None

    return load_or_fit(client, settings, MODEL, options.code_version, until, fit), reason


def read_customers(client: Client, histories: str, as_of: date) -> pd.DataFrame:
    """One row per customer of a relation of `order_histories` for `as_of`, for `score_lifetime_value`."""
    table = client.query_arrow(
        f"""
        SELECT customer_id,
            toUInt32(length(order_dates)) AS order_day_count,
            toUInt32(order_dates[-1] - order_dates[1]) AS days_to_last_order,
            toUInt32({until(as_of)} - order_dates[1]) AS days_since_first_order,
            value_to_date, is_from_revenue
        FROM {histories} ORDER BY customer_id
        """
    )
    return table.to_pandas()


def read_training(client: Client, settings: Settings, day: date, options: Options) -> tuple[pd.DataFrame, int]:
    """The rows for `fit_lifetime_value` as known at the end of `day`, and the length of the hold-out in days."""
    first, count = client.query(
        f"SELECT min(business_date), count() FROM {settings.database('facts')}.fct_orders "
        f"WHERE {known(settings, day)} AND is_valid = 1 AND business_date <= {until(day)}"
    ).result_rows[0]
    holdout = holdout_days((day - first).days + 1, options) if count else 1
    table = client.query_arrow(
        f"""
        SELECT customer_id,
            toUInt32(length(days)) AS order_day_count,
            toUInt32(days[-1] - days[1]) AS days_to_last_order,
            toUInt32({until(day)} - days[1]) AS days_since_first_order,
            value_to_date,
            is_from_revenue,
            if(length(days) > 2, toNullable(toFloat64(days[-1] - days[-2])), NULL) AS last_gap,
            if(length(days) > 2, toNullable(toFloat64(days[-2] - days[-3])), NULL) AS gap_before,
            toUInt32(arrayCount(day -> day <= {days_before(day, holdout)}, days)) AS early_order_day_count,
            toUInt32(if(early_order_day_count > 0, days[early_order_day_count] - days[1], 0)) AS early_days_to_last_order
        FROM (SELECT customer_id, order_dates AS days, value_to_date, is_from_revenue FROM {from_facts(settings, day, day)})
        ORDER BY customer_id
        """
    )
    return table.to_pandas(), holdout
