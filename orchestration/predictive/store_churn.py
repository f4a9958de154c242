"""Reading order days and spend for churn, as they were known at a cut-off, and writing its rows of an as-of date."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from orchestration.predictive import churn_model
from orchestration.predictive.artifacts import Artifact, fingerprint, training_day
from orchestration.predictive.candidates import ACTIVE_DAYS, active, no_order_chances
from orchestration.predictive.category_tree import ROOM, read_tops, top_of
from orchestration.predictive.churn import churn
from orchestration.predictive.cutoff import cutoff, days_before, known
from orchestration.predictive.defection import (
    CATEGORY_RECENT_DAYS,
    CATEGORY_REFERENCE_DAYS,
    HALF_DAYS,
    WINDOW_DAYS,
    YEAR_DAYS,
)
from orchestration.predictive.order_histories import described_from_facts
from orchestration.predictive.order_history import OrderHistory
from orchestration.predictive.promotions import served_model
from orchestration.predictive.rhythm import HISTORY_DAYS
from orchestration.predictive.store_artifacts import load_or_fit
from orchestration.predictive.store_evaluation import read_customers
from orchestration.predictive.store_tables import replace_day
from orchestration.warehouse.settings import Settings

MODEL = "churn"
# A fit learns from at most about this many customers, chosen by the hash of their id.
_TRAINING_CUSTOMERS = 50_000
_EPOCH = date(1970, 1, 1)


def refresh_churn(
    client: Client, settings: Settings, as_of: str, known_until: str = "", histories: str = ""
) -> pd.DataFrame:
    """Compute and replace the rows of `as_of` in `<prefix>_predictive.churn`; fits the month's model where it is missing.

    P(no order in 30 days) is that of the baseline where the verdict of the day says that one serves. known_until: last day
    whose knowledge counts, for a restatement; empty: the as-of date. Facts must be up to date. histories: a relation of
    `order_histories` for the day and that knowledge; empty: made from the facts.
    """
    day = date.fromisoformat(as_of)
    trained_until = training_day(day)
    artifact = load_or_fit(
        client,
        settings,
        MODEL,
        churn_model.CODE_VERSION,
        trained_until,
        lambda: fit_churn(client, settings, trained_until),
    )
    knows = _until(known_until, day)
    history, customers = read_churn_inputs(client, histories or described_from_facts(settings, day, knows), day)
    categories = _categories(client, settings, day, knows)
    result = churn(history, customers, categories, _number(day), artifact.parameters if artifact else None)
    result = _served(client, settings, result, day, knows)
    names = _category_names(client, settings, knows)
    result["dropped_category_name"] = result["dropped_category_id"].map(names)
    version = artifact.version if artifact else f"untrained-{churn_model.CODE_VERSION}"
    replace_day(client, settings, "churn", day, result, as_of_date=day, model_version=version)
    return result


def _served(client: Client, settings: Settings, result: pd.DataFrame, day: date, known_until: date) -> pd.DataFrame:
    """The rows with served_model and is_judged, and with p_no_order_30d of what serves.

    A verdict is on customers with an order in 90 days; the others keep the model, as does everyone where nobody could be scored
    30 days before. A baseline becomes a chance as in the evaluation.
    """
    served = served_model(client, settings, MODEL, day.isoformat())
    is_judged = (result["silence_days"] < ACTIVE_DAYS) & (served != "")
    if served in ("", MODEL):
        return result.assign(served_model=MODEL, is_judged=is_judged)
    horizon = churn_model.HORIZON_DAYS
    earlier = active(read_customers(client, settings, day - timedelta(days=horizon), horizon, known_until))
    customers = active(read_customers(client, settings, day, 0, known_until, scored_by=known_until))
    chance = no_order_chances(customers, earlier).get(served, np.array([]))
    by_customer = pd.Series(chance, index=customers["customer_id"][: len(chance)], dtype=np.float64)
    baseline = by_customer.reindex(result["customer_id"]).to_numpy()
    is_baseline = ~np.isnan(baseline)
    return result.assign(
        p_no_order_30d=np.where(is_baseline, np.round(baseline, 6), result["p_no_order_30d"]),
        served_model=np.where(is_baseline, served, MODEL),
        is_judged=is_baseline,
    )


def fit_churn(client: Client, settings: Settings, trained_until: date) -> Artifact | None:
    """The model of a training day, from what was known at its end; None where that is too little."""
    history = read_history(client, settings, trained_until, trained_until, churn_model.TRAINING_DAYS, is_training=True)
    parameters = churn_model.fit(history, _number(trained_until)) if len(history.customer_id) else None
    if parameters is None:
        return None
    return Artifact(
        model=MODEL,
        code_version=churn_model.CODE_VERSION,
        trained_from=_EPOCH + timedelta(days=int(history.days.min())),
        trained_until=trained_until,
        data_fingerprint=fingerprint(history.customer_id[history.owner], history.days),
        parameters=parameters,
    )


def read_churn_inputs(client: Client, histories: str, as_of: date) -> tuple[OrderHistory, pd.DataFrame]:
    """Order days of two years, and one row of sums per scored customer. histories: a relation of `order_histories`."""
    rows = _read_customers(client, histories, as_of)
    history = _as_history(rows.filter(pc.greater(pc.list_value_length(rows["order_days"]), 0)))
    table = _with_order_days(rows.drop_columns(["order_days"]).to_pandas(), history, as_of)
    names = list(history.type_names)
    customers = table.assign(business_type=pd.Categorical(table["business_type"], names).codes.astype(np.int64))
    # A type whose customers are all silent for two years has no order day: it follows all.
    unknown = customers["business_type"] < 0
    if unknown.any():
        more = sorted(set(table["business_type"][unknown]))
        history = OrderHistory(
            history.customer_id,
            history.business_type,
            (*names, *more),
            history.first_day,
            history.days,
            history.offsets,
        )
        codes = pd.Categorical(table["business_type"], list(history.type_names)).codes
        customers["business_type"] = codes.astype(np.int64)
    return history, customers


def _until(known_until: str, as_of: date) -> date:
    return date.fromisoformat(known_until) if known_until else as_of


def _number(day: date) -> int:
    return (day - _EPOCH).days


def _orders(settings: Settings, as_of: date, known_until: date, table: str = "fct_orders") -> str:
    """FROM and WHERE of the valid orders or lines up to `as_of` as they were known."""
    return (
        f"FROM {settings.database('facts')}.{table} AS facts WHERE {known(settings, known_until)} "
        f"AND is_valid = 1 AND business_date <= toDate('{as_of}')"
    )


def _order_days(as_of: date, days: int) -> str:
    """The order days of a customer of `order_histories` in the last `days` days, ascending."""
    return f"arrayMap(day -> toInt32(day), arrayFilter(day -> day > {days_before(as_of, days)}, order_dates)) AS order_days"


def read_history(
    client: Client, settings: Settings, as_of: date, known_until: date, days: int, is_training: bool = False
) -> OrderHistory:
    """Order days of the last `days` days up to `as_of`, as known at the end of `known_until`; for training of a sample of customers."""
    chosen = "true"
    if is_training:
        orders = _orders(settings, as_of, known_until)
        count = client.query(f"SELECT uniqExact(customer_id) {orders}").result_rows[0][0]
        chosen = f"cityHash64(customer_id) % {max(1, -(-count // _TRAINING_CUSTOMERS))} = 0"
    table = client.query_arrow(
        f"""
        SELECT customer_id, business_type, toInt32(order_dates[1]) AS first_day, {_order_days(as_of, days)}
        FROM {described_from_facts(settings, as_of, known_until, chosen)}
        WHERE notEmpty(order_days) ORDER BY customer_id
        """,
        settings={"output_format_arrow_string_as_string": 1},
    )
    return _as_history(table)


def _as_history(table: pa.Table) -> OrderHistory:
    """From rows of customer_id, business_type, first_day and order_days (ascending, never empty)."""
    kind, type_names = pd.factorize(np.array(table["business_type"].to_pylist(), dtype=object), sort=True)
    lists = table["order_days"].combine_chunks() if table.num_rows else pa.array([], pa.list_(pa.int32()))
    lengths = np.diff(lists.offsets.to_numpy()) if table.num_rows else np.array([], dtype=np.int64)
    return OrderHistory(
        customer_id=table["customer_id"].to_numpy(),
        business_type=kind.astype(np.int64),
        type_names=tuple(str(name) for name in type_names),
        first_day=table["first_day"].to_numpy().astype(np.int64),
        days=lists.flatten().to_numpy().astype(np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def _read_customers(client: Client, histories: str, as_of: date) -> pa.Table:
    """One row per scored customer: first and last day, sums of windows, order days of HISTORY_DAYS, type and status."""
    # As Arrow, because an empty data frame would name no columns.
    return client.query_arrow(
        f"""
        SELECT customer_id, toInt64(order_dates[1]) AS first_day, toInt64(order_dates[-1]) AS last_day,
            toFloat64(net_amount_90d) AS net_90d, toFloat64(net_amount_365d) AS net_365d,
            toFloat64(net_amount_prior_364d) AS net_year, toFloat64(net_amount_prior_180d) AS net_half,
            {_order_days(as_of, HISTORY_DAYS)}, business_type, customer_status
        FROM {histories} ORDER BY customer_id
        """,
        settings={"output_format_arrow_string_as_string": 1},
    )


def _with_order_days(customers: pd.DataFrame, history: OrderHistory, as_of: date) -> pd.DataFrame:
    """The customers with their order days in the windows of partial defection, all of which lie within the history."""
    windows = {
        "90d": (0, WINDOW_DAYS),
        "year": (WINDOW_DAYS, YEAR_DAYS),
        "half": (WINDOW_DAYS, HALF_DAYS),
        "recent": (0, CATEGORY_RECENT_DAYS),
        "reference": (CATEGORY_RECENT_DAYS, CATEGORY_REFERENCE_DAYS),
    }
    rows = pd.Index(history.customer_id).get_indexer(customers["customer_id"])
    counts = {}
    for name, (ends_before, length) in windows.items():
        until = _number(as_of) - ends_before
        # Who has no order day in the history has position -1: none.
        counts[f"order_days_{name}"] = np.append(history.orders_between(until - length, until), 0)[rows]
    return customers.assign(**counts)


def _categories(client: Client, settings: Settings, as_of: date, known_until: date) -> pd.DataFrame:
    """Top-level categories that a customer bought on four days or more of the reference and on none of the recent ones."""
    recent = days_before(as_of, CATEGORY_RECENT_DAYS)
    reference = days_before(as_of, CATEGORY_RECENT_DAYS + CATEGORY_REFERENCE_DAYS)
    top = top_of("assumeNotNull(product.category_id)", read_tops(client, settings, known_until))
    products = (
        f"SELECT product_id, toUInt32({top}) AS category_id "
        f"FROM {settings.database('facts')}.dim_products AS product WHERE product.category_id IS NOT NULL"
    )
    # What was bought lately is taken out before the days are counted: most of it.
    table = client.query_arrow(
        f"""
        WITH lines AS (
            SELECT customer_id, products.category_id AS category_id, business_date, gross_amount
            FROM (
                SELECT customer_id, product_id, business_date, gross_amount
                {_orders(settings, as_of, known_until, "fct_order_lines")}
            ) AS bought
            INNER JOIN ({products}) AS products ON bought.product_id = products.product_id
        )
        SELECT customer_id, category_id, toUInt32(arrayUniq(groupArray(business_date))) AS order_days_reference,
            toUInt32(0) AS order_days_recent, toFloat64(sum(gross_amount)) AS amount_reference
        FROM lines
        WHERE business_date > {reference} AND business_date <= {recent}
            AND (customer_id, category_id) NOT IN (
                SELECT customer_id, category_id FROM lines WHERE business_date > {recent}
            )
        GROUP BY customer_id, category_id
        HAVING order_days_reference >= 4
        ORDER BY customer_id, category_id
        """,
        # Why in one step: see profiles.yml.
        settings=ROOM | {"enable_multiple_prewhere_read_steps": 0},
    )
    return table.to_pandas()


def _category_names(client: Client, settings: Settings, known_until: date) -> dict[int, str]:
    rows = client.query(
        f"SELECT category_id, argMax(category_name, if(known_at < {cutoff(settings, known_until)}, 1, -1) "
        f"* toUnixTimestamp64Milli(known_at)) FROM {settings.database('staging')}.stg_categories GROUP BY category_id"
    ).result_rows
    return {int(category): str(name) for category, name in rows}
