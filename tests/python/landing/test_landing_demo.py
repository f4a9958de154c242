"""The demo world: a pure function of its numbers, accepted whole by the judges, and going on day by day."""

from __future__ import annotations

from datetime import date

import pytest

from orchestration.errors import TierhouseError
from orchestration.landing.generator import land_demo, land_next_day

LAST = date(2024, 3, 31)
TABLES = ("customers", "products", "orders", "order_lines", "refunds", "complaints", "invoices", "payments")


def fingerprint(warehouse, table: str) -> tuple:
    return warehouse.rows(
        f"SELECT count(), sum(sipHash64(tuple(* EXCEPT (_loaded_at, _batch_id)))) FROM {{landing}}.{table}"
    )[0]


def test_the_same_numbers_give_the_same_world_and_another_seed_another(warehouse, other):
    report = land_demo(warehouse.client, warehouse.settings, customers=120, days=100, seed=3, last_date=LAST)
    assert sum(table.quarantined + table.already_there for table in report.tables) == 0
    assert all(table.landed for table in report.tables)
    again = land_demo(warehouse.client, warehouse.settings, customers=120, days=100, seed=3, last_date=LAST)
    assert sum(table.landed for table in again.tables) == 0
    with pytest.raises(TierhouseError, match="already holds other orders"):
        land_demo(warehouse.client, warehouse.settings, customers=120, days=100, seed=4, last_date=LAST)
    land_demo(other.client, other.settings, customers=120, days=100, seed=4, last_date=LAST)
    assert fingerprint(warehouse, "orders") != fingerprint(other, "orders")


def test_the_world_is_lifelike_where_it_must_be(warehouse):
    land_demo(warehouse.client, warehouse.settings, customers=400, days=120, seed=1, last_date=LAST)
    one = warehouse.one
    orders = "{landing}.orders"
    assert one("SELECT uniqExact(customer_id) FROM {demo}.customers") == 400
    # Spring Festival 2024 fell on 10 February: its week against one in March.
    day = "toDate(ordered_at, 'Asia/Shanghai')"
    festival = one(f"SELECT uniqExact(order_id) FROM {orders} WHERE {day} BETWEEN '2024-02-10' AND '2024-02-16'")
    normal = one(f"SELECT uniqExact(order_id) FROM {orders} WHERE {day} BETWEEN '2024-03-09' AND '2024-03-15'")
    assert festival < 0.6 * normal
    assert one(f"SELECT count() FROM {orders} WHERE updated_at < ordered_at") == 0
    assert one("SELECT count() FROM {landing}.order_lines WHERE discount_amount < tier_discount_amount") == 0
    unregistered = (
        "SELECT count() FROM {landing}.orders AS o LEFT JOIN (SELECT customer_id, min(registered_at) AS at "
        "FROM {landing}.customers GROUP BY customer_id) AS c USING (customer_id) WHERE c.at > o.ordered_at + 86400"
    )
    assert one(unregistered) == 0
    dead = "SELECT customer_id FROM {demo}.customers WHERE dead_day BETWEEN 0 AND 60"
    late = f"{day} > toDate('2024-03-31') - 119 + 61"
    assert one(f"SELECT count() FROM {orders} WHERE customer_id IN ({dead}) AND {late}") == 0
    assert one("SELECT count() FROM (SELECT order_id FROM {landing}.orders GROUP BY order_id HAVING count() > 1)") > 0


def test_next_days_deliver_the_last_states_and_new_orders_each_once(warehouse):
    land_demo(warehouse.client, warehouse.settings, customers=200, days=60, seed=2, last_date=LAST)
    open_orders = (
        "SELECT count() FROM (SELECT order_id, argMax(status, updated_at) AS s FROM {landing}.orders "
        "WHERE toDate(ordered_at, 'Asia/Shanghai') = '2024-03-31' GROUP BY order_id) WHERE s IN ('paid', 'created')"
    )
    before = warehouse.one(open_orders)
    for _ in range(2):
        report = land_next_day(warehouse.client, warehouse.settings)
        assert sum(table.quarantined + table.already_there for table in report.tables) == 0
    assert before > warehouse.one(open_orders)
    last = warehouse.one("SELECT max(toDate(ordered_at, 'Asia/Shanghai')) FROM {landing}.orders")
    assert last == date(2024, 4, 2)
