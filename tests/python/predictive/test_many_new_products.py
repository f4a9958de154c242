"""After a move to another system every product is new: what counts them takes no more room for that."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from orchestration.predictive.store_potential import _launches
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

DAY = date(2026, 6, 30)
COUNT = 12_000


def test_thousands_of_new_products_are_counted_for_thousands_of_customers_in_little_room(
    own_warehouse: Settings,
) -> None:
    settings = replace(own_warehouse, prefix="many_new_products")
    client = connect(settings, autogenerate_session_id=False)
    facts, staging = settings.database("facts"), settings.database("staging")
    always = "toDateTime64(0, 3, 'UTC') AS known_from, toDateTime64('2200-01-01 00:00:00', 3, 'UTC') AS known_to"
    # The first half began before all launches, the others on the day of the last one. Each bought one new product.
    bought = (
        f"number AS customer_id, toDate('{DAY}') - if(number < {COUNT // 2}, 100, 1) AS business_date, {always}, "
        f"toUInt8(1) AS is_valid FROM numbers({COUNT})"
    )
    tables = {
        f"{facts}.fct_orders": f"SELECT {bought}",
        f"{facts}.fct_order_lines": f"SELECT number AS product_id, {bought}",
        f"{staging}.stg_products": "SELECT number AS product_id, toNullable(toDate("
        f"'{DAY}') - 1 - number % 50) AS launched_on, toUInt8(0) AS is_deleted, toDateTime64(0, 3, 'UTC') AS known_at "
        f"FROM numbers({COUNT})",
    }
    for name, rows in tables.items():
        client.command(f"CREATE DATABASE IF NOT EXISTS {name.partition('.')[0]}")
        client.command(f"CREATE TABLE {name} ENGINE = MergeTree ORDER BY tuple() AS {rows}")
    client.set_client_setting("max_memory_usage", 150_000_000)

    offered, tried = _launches(client, settings, DAY)

    assert len(offered) == COUNT
    assert sorted(set(zip(offered.tolist(), tried.tolist(), strict=True))) == [
        (COUNT // 50, 0),
        (COUNT // 50, 1),
        (COUNT, 1),
    ]
