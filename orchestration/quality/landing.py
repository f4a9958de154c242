"""Expectations of landing: what landed since the last published refresh keeps the contract, whoever wrote it.

Only new rows are read. Landing is an append-only log: rows that were judged once do not change.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from orchestration.landing.contract import TABLES, Column, Table
from orchestration.landing.judge import FIRST_MOMENT
from orchestration.landing.tables import scalar
from orchestration.quality.checks import Build, Expectation, Suite, rows, whole
from orchestration.warehouse.settings import Settings

_OF_TABLE: dict[str, list[Expectation]] = {
    "order_lines": [
        rows(
            "tier_discount_within_discount",
            "The tier's discount of a line is a part of its whole discount.",
            "tier_discount_amount <= discount_amount",
            severity="warning",
        ),
    ],
    "invoices": [
        rows(
            "due_after_issued",
            "An invoice is due on or after the day it was issued.",
            "due_on >= issued_on",
            severity="warning",
        ),
    ],
}


def suites(client: Client, build: Build) -> list[Suite]:
    """One suite per landing table that has rows, and for orders in any case."""
    newest = _newest_loads(client, build.settings)
    return [_suite(build, table, newest) for table in TABLES.values() if table.name in newest or table.name == "orders"]


def _suite(build: Build, table: Table, newest: dict[str, str]) -> Suite:
    name = build.table("landing", table.name)
    since = f"toDateTime64('{newest.get(table.name, '1970-01-01 00:00:00.000')}', 3, 'UTC')"
    expectations = [
        rows(
            "keys_present",
            f"Every row says which one it is: {', '.join(table.key)}.",
            " AND ".join(f"{column} IS NOT NULL" for column in table.key),
        ),
        rows(
            "update_time_present",
            "Every row says when the source wrote this version of it.",
            f"updated_at >= {FIRST_MOMENT}",
        ),
        whole(
            "load_time_present",
            "Every row of the table, old ones too, says when it was loaded.",
            f"(SELECT count() FROM {name} WHERE _loaded_at < {FIRST_MOMENT}) = 0",
        ),
        *(_value_expectation(column) for column in table.columns if _is_limited(column)),
        *_OF_TABLE.get(table.name, []),
    ]
    if table.name == "orders":
        expectations.insert(0, whole("not_empty", "Orders have landed.", f"(SELECT count() FROM {name}) > 0"))
    return Suite("landing", ("landing", table.name), f"SELECT * FROM {name} WHERE _loaded_at >= {since}", expectations)


def _is_limited(column: Column) -> bool:
    is_amount = column.kind == "decimal" and not column.may_be_negative
    return bool(column.values) or column.at_most is not None or is_amount


def _value_expectation(column: Column) -> Expectation:
    if column.values:
        values = ", ".join(repr(value) for value in column.values)
        texts = ", ".join(str(value) for value in column.values)
        return rows(f"{column.name}_known", f"{column.name} is one of {texts}.", f"{column.name} IN ({values})")
    if column.at_most is not None:
        bound = f"{column.name} is at most {column.at_most}."
        return rows(f"{column.name}_in_range", bound, f"{column.name} <= {column.at_most}")
    return rows(f"{column.name}_not_negative", f"{column.name} is not negative.", f"{column.name} >= 0")


def _newest_loads(client: Client, settings: Settings) -> dict[str, str]:
    """Per landing table with rows, the load time from which rows are judged: all that landed since the last published
    refresh began, which judged the others. Reads partition bounds, no rows.
    """
    landing = settings.database("landing")
    runs = f"{settings.database('marts')}.refresh_runs"
    published = "NULL"
    if scalar(client, f"EXISTS TABLE {runs}"):
        # By the last batch, not by the clock, which may have been set back since: later batches always have later load times.
        published = (
            "(SELECT coalesce(maxOrNull(landed_until) + toIntervalMillisecond(1), maxOrNull(started_at)) "
            f"FROM {runs} WHERE status = 'published')"
        )
    tables = " UNION ALL ".join(
        f"SELECT '{name}' AS name, count() AS n, "
        f"toString(coalesce({published}, min(_loaded_at))) AS since FROM {landing}.{name}"
        for name in TABLES
    )
    return {name: since for name, count, since in client.query(tables).result_rows if count}
