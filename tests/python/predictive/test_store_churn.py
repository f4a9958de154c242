"""Churn in a warehouse: who really left the demo world is found, and what became known after the cut-off changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from scipy.stats import rankdata
from test_store_artifacts import create_predictive_tables

from orchestration.landing.generator import World, make_world
from orchestration.predictive.store_churn import refresh_churn
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

LAST = date(2026, 6, 20)
WORLD = World(customers=1500, days=500, seed=5, last_date=LAST, zone="Asia/Shanghai")
AS_OF = LAST - timedelta(days=40)
DAY_NUMBER = WORLD.days - 1 - 40

_EVER = "toDateTime64('2200-01-01 00:00:00', 3, 'UTC')"


def _facts(settings: Settings) -> list[str]:
    """The truth of the demo world as facts, so that no refresh is needed."""
    demo, facts, staging = (settings.database(layer) for layer in ("demo", "facts", "staging"))
    day = f"toDate('{WORLD.first_date}') + day"
    return [
        f"CREATE TABLE {facts}.fct_orders ENGINE = MergeTree ORDER BY customer_id AS SELECT order_id, customer_id, "
        f"{day} AS business_date, toDateTime64(ordered, 3, 'UTC') AS known_from, {_EVER} AS known_to, "
        f"toDecimal64(value, 2) AS net_amount, toUInt8(NOT is_cancelled) AS is_valid FROM {demo}.orders",
        f"CREATE TABLE {facts}.fct_order_lines ENGINE = MergeTree ORDER BY customer_id AS SELECT customer_id, business_date, "
        f"known_from, known_to, is_valid, toUInt64(1) AS product_id, net_amount AS gross_amount FROM {facts}.fct_orders",
        f"CREATE TABLE {facts}.dim_products ENGINE = MergeTree ORDER BY product_id AS SELECT toUInt64(1) AS product_id, "
        "toNullable(toUInt32(101)) AS category_id, toNullable(toUInt32(1)) AS parent_category_id",
        f"CREATE TABLE {staging}.stg_customers ENGINE = MergeTree ORDER BY customer_id AS SELECT customer_id, business_type, "
        f"'active' AS customer_status, toUInt8(0) AS is_deleted, toDateTime64(0, 3, 'UTC') AS known_at FROM {demo}.customers",
        f"CREATE TABLE {staging}.stg_categories ENGINE = MergeTree ORDER BY category_id AS SELECT toUInt32(1) AS category_id, "
        "'vegetables' AS category_name, toDateTime64(0, 3, 'UTC') AS known_at",
    ]


@pytest.fixture(scope="module")
def settings(own_warehouse: Settings) -> Settings:
    settings = replace(own_warehouse, prefix="churn")
    client = connect(settings, autogenerate_session_id=False)
    make_world(client, settings, WORLD)
    for layer in ("facts", "staging", "predictive"):
        client.command(f"CREATE DATABASE {settings.database(layer)}")
    for statement in _facts(settings):
        client.command(statement)
    create_predictive_tables(client, settings)
    return settings


@pytest.fixture
def client(settings: Settings) -> Client:
    return connect(settings, autogenerate_session_id=False)


def stored(client: Client, settings: Settings) -> pd.DataFrame:
    return client.query_df(
        f"SELECT * FROM {settings.database('predictive')}.churn WHERE as_of_date = {{day:Date}} ORDER BY customer_id",
        parameters={"day": AS_OF},
    )


def area_under_curve(score: pd.Series, is_positive: pd.Series) -> float:
    """P(a positive scores above a negative), ties counting half."""
    ranks, positives = rankdata(score), int(is_positive.sum())
    below = ranks[is_positive.to_numpy()].sum() - positives * (positives + 1) / 2
    return float(below / (positives * (len(score) - positives)))


def test_customers_who_left_the_demo_world_are_found_far_better_than_by_chance(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    result = stored(client, settings)
    truth = client.query_df(f"SELECT customer_id, dead_day FROM {settings.database('demo')}.customers")
    result = result.merge(truth, on="customer_id")
    result = result[(result["silence_days"] < 365) & (result["reason_code"] != "new_customer")]
    is_gone = result["dead_day"] <= DAY_NUMBER

    assert set(result["method"]) == {"trained"}
    assert len(result) > 600 and 0.1 < is_gone.mean() < 0.4
    # Margins: chance is an area of 0.5, and a precision of the share of those who left.
    assert area_under_curve(result["p_defected"], is_gone) > 0.85
    high = result["churn_risk"] == "high"
    assert is_gone[high].mean() > 2.5 * is_gone.mean()
    assert high[is_gone].mean() > 0.7


def test_the_chance_of_no_order_in_thirty_days_holds_in_the_demo_world(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    result = stored(client, settings)
    followed = client.query_df(
        f"SELECT DISTINCT customer_id FROM {settings.database('facts')}.fct_orders WHERE is_valid = 1 "
        "AND business_date > {day:Date} AND business_date <= {day:Date} + 30",
        parameters={"day": AS_OF},
    )
    result = result[result["silence_days"] < 365]
    no_order = ~result["customer_id"].isin(followed["customer_id"])

    brier = ((result["p_no_order_30d"] - no_order) ** 2).mean()
    base = no_order.mean() * (1 - no_order.mean())
    assert brier < 0.7 * base
    assert abs(result["p_no_order_30d"].mean() - no_order.mean()) < 0.04
    by_recency = area_under_curve(result["silence_days"], no_order)
    assert area_under_curve(result["p_no_order_30d"], no_order) > by_recency + 0.01


def test_what_happens_after_the_cutoff_changes_no_row(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    before, artifacts = stored(client, settings), settings.database("predictive") + ".model_artifacts"
    versions = client.query(f"SELECT version FROM {artifacts}").result_rows
    orders = f"{settings.database('facts')}.fct_orders"
    # Later orders go to other customers, earlier ones get corrections that come later, and the model is fitted again.
    client.command(f"CREATE TABLE {orders}_kept AS {orders}")
    client.command(f"INSERT INTO {orders}_kept SELECT * FROM {orders}")
    client.command(f"TRUNCATE TABLE {artifacts}")
    known = f"toDateTime64('{AS_OF + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    client.command(f"TRUNCATE TABLE {orders}")
    client.command(
        f"INSERT INTO {orders} SELECT * REPLACE (if(known_from >= {known}, 1 + cityHash64(order_id) % 1500, customer_id) AS "
        f"customer_id, if(known_from < {known} AND order_id % 3 = 0, {known}, known_to) AS known_to) FROM {orders}_kept"
    )
    client.command(
        f"INSERT INTO {orders} SELECT * REPLACE ({known} AS known_from, net_amount * 5 AS net_amount, toUInt8(0) AS is_valid) "
        f"FROM {orders}_kept WHERE known_from < {known} AND order_id % 3 = 0"
    )

    refresh_churn(client, settings, AS_OF.isoformat())

    assert client.query(f"SELECT version FROM {artifacts}").result_rows == versions
    pd.testing.assert_frame_equal(stored(client, settings), before, check_exact=True)
    # It is another day when the corrections count.
    refresh_churn(client, settings, AS_OF.isoformat(), (AS_OF + timedelta(days=1)).isoformat())
    assert not np.array_equal(stored(client, settings)["gap_ratio"], before["gap_ratio"])
    client.command(f"EXCHANGE TABLES {orders} AND {orders}_kept")
    client.command(f"DROP TABLE {orders}_kept")


def test_a_day_that_is_scored_again_in_another_month_order_comes_out_the_same(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    before = stored(client, settings)
    client.command(f"TRUNCATE TABLE {settings.database('predictive')}.model_artifacts")
    refresh_churn(client, settings, LAST.isoformat())

    refresh_churn(client, settings, AS_OF.isoformat())

    pd.testing.assert_frame_equal(stored(client, settings), before, check_exact=True)
