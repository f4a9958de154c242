"""The demo world as facts, made straight from its truth, so that models can be held against it without a refresh."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from test_store_artifacts import create_predictive_tables

from orchestration.landing.generator import World, make_world
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

LAST = date(2026, 6, 20)
WORLD = World(customers=1500, days=500, seed=5, last_date=LAST, zone="Asia/Shanghai")
_EVER = "toDateTime64('2200-01-01 00:00:00', 3, 'UTC')"
_FROM_THE_START = "toUInt8(0) AS is_deleted, toDateTime64(0, 3, 'UTC') AS known_at"


def demo_facts(own_warehouse: Settings, prefix: str) -> Settings:
    """Settings of databases under `prefix` with the truth, facts and staging of WORLD, and empty predictive tables.

    Every order has one line of one product, which was launched a hundred days before the last day.
    """
    settings = replace(own_warehouse, prefix=prefix)
    client = connect(settings, autogenerate_session_id=False)
    make_world(client, settings, WORLD)
    demo, facts, staging, seeds = (settings.database(layer) for layer in ("demo", "facts", "staging", "seeds"))
    for database in (facts, staging, seeds, settings.database("predictive")):
        client.command(f"DROP DATABASE IF EXISTS {database}")
        client.command(f"CREATE DATABASE {database}")
    tables = {
        f"{facts}.fct_orders": f"SELECT order_id, customer_id, toDate('{WORLD.first_date}') + day AS business_date, "
        f"toDateTime64(ordered, 3, 'UTC') AS known_from, {_EVER} AS known_to, toDecimal64(value, 2) AS net_amount, "
        "toUInt8(NOT is_cancelled) AS is_valid, toUInt8(0) AS is_cost_known, toDecimal64(0, 2) AS cost_amount, "
        f"toDecimal64(0, 2) AS tier_discount_amount FROM {demo}.orders",
        f"{facts}.fct_order_lines": "SELECT customer_id, business_date, known_from, known_to, is_valid, "
        f"toUInt64(1) AS product_id, net_amount AS gross_amount FROM {facts}.fct_orders",
        f"{facts}.dim_products": "SELECT toUInt64(1) AS product_id, toNullable(toUInt32(101)) AS category_id",
        f"{staging}.stg_products": "SELECT toUInt64(1) AS product_id, "
        f"toNullable(toDate('{LAST}') - 100) AS launched_on, {_FROM_THE_START}",
        f"{staging}.stg_customers": "SELECT customer_id, business_type, 'active' AS customer_status, "
        f"{_FROM_THE_START} FROM {demo}.customers",
        f"{seeds}.score_weights": "SELECT toDate('2000-01-01') AS valid_from, one.1 AS component, one.2 AS weight "
        "FROM (SELECT arrayJoin([('r', 0.3), ('f', 0.25), ('m', 0.3), ('p', 0.15)]) AS one)",
        f"{staging}.stg_categories": "SELECT one.1 AS category_id, one.2 AS category_name, one.3 AS parent_category_id, "
        f"{_FROM_THE_START} FROM (SELECT arrayJoin(CAST([(1, 'vegetables', NULL), (101, 'cabbage', 1)], "
        "'Array(Tuple(UInt32, String, Nullable(UInt32)))')) AS one)",
    }
    for name, rows in tables.items():
        client.command(f"CREATE TABLE {name} ENGINE = MergeTree ORDER BY tuple() AS {rows}")
    create_predictive_tables(client, settings)
    return settings
