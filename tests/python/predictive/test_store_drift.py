"""Drift in a warehouse: against a reference day whose bins stay, and only for days that are published."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from test_store_artifacts import create_predictive_tables

from orchestration.errors import TierhouseError
from orchestration.predictive.store_drift import refresh_drift
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

REFERENCE, SAME, LATER = date(2024, 3, 31), date(2024, 4, 10), date(2024, 4, 20)


@pytest.fixture
def settings(own_warehouse: Settings) -> Settings:
    """Three published days of 4,000 customers; on the last one they order half as much, and in another region."""
    settings = replace(own_warehouse, prefix="drift")
    client = connect(settings, autogenerate_session_id=False)
    snapshots = settings.database("snapshots")
    for database in (snapshots, settings.database("predictive")):
        client.command(f"DROP DATABASE IF EXISTS {database}")
        client.command(f"CREATE DATABASE {database}")
    days = ", ".join(f"(toDate('{day}'), 'build-{day}')" for day in (REFERENCE, SAME, LATER))
    rows = f"FROM numbers(4000) AS numbers ARRAY JOIN [{days}] AS build"
    chance = "cityHash64(number, build.1) % 1000 / 1000"
    create = "ENGINE = MergeTree ORDER BY customer_id AS SELECT build.1 AS as_of_date, build.2 AS build_id, "
    client.command(
        f"CREATE TABLE {snapshots}.customer_feature_snapshots {create} number AS customer_id, "
        f"toDecimal64(1000 * {chance} / if(build.1 = '{LATER}', 2, 1), 2) AS net_amount_90d, "
        f"if(number % 3 = 0, NULL, {chance}) AS growth_share, toDecimal64(number, 2) AS net_amount_to_date, "
        "[(toUInt32(number), toDecimal64(1, 2))] AS overdue_invoices, "
        f"if(build.1 = '{LATER}' AND number % 4 = 0, 'west', 'east') AS region_code, 'hotel' AS business_type {rows}"
    )
    client.command(
        f"CREATE TABLE {snapshots}.customer_tier_snapshots {create} number AS customer_id, {chance} AS r_score {rows}"
    )
    client.command(
        f"CREATE TABLE {snapshots}.churn_snapshots {create} number AS customer_id, {chance} AS gap_ratio {rows}"
    )
    client.command(
        f"CREATE TABLE {snapshots}.published_builds ENGINE = MergeTree ORDER BY as_of_date AS "
        f"SELECT build.1 AS as_of_date, build.2 AS build_id FROM (SELECT arrayJoin([{days}]) AS build)"
    )
    create_predictive_tables(client, settings)
    return settings


@pytest.fixture
def client(settings: Settings) -> Client:
    return connect(settings, autogenerate_session_id=False)


def verdicts(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["feature"]: row["verdict"] for row in rows}


def test_what_changed_since_the_reference_is_named(client: Client, settings: Settings) -> None:
    rows = refresh_drift(client, settings, LATER.isoformat())

    alarms = {row["feature"] for row in rows if row["is_alarm"]}
    assert alarms == {"net_amount_90d", "region_code"}
    # What grows by itself, what is a name and what is a list is left out; scores stand beside features.
    assert {(row["feature"], row["kind"]) for row in rows} == {
        ("net_amount_90d", "feature"), ("growth_share", "feature"), ("region_code", "feature"),
        ("business_type", "feature"), ("r_score", "score"), ("gap_ratio", "score"),
    }  # fmt: skip
    assert {row["reference_date"] for row in rows} == {REFERENCE}
    for row in rows:
        assert row["reference_count"] + row["current_count"] == 4000 and row["reference_count"] > 1800


def test_a_column_that_the_reference_does_not_know_has_none(client: Client, settings: Settings) -> None:
    table = f"{settings.database('snapshots')}.customer_feature_snapshots"
    client.command(f"ALTER TABLE {table} ADD COLUMN growth_slope_52w Nullable(Float64)")
    client.command(
        f"ALTER TABLE {table} UPDATE growth_slope_52w = 0.5 WHERE as_of_date = '{SAME}' SETTINGS mutations_sync = 1"
    )

    assert verdicts(refresh_drift(client, settings, SAME.isoformat()))["growth_slope_52w"] == "no_reference"


def test_without_a_change_there_is_no_alarm(client: Client, settings: Settings) -> None:
    rows = refresh_drift(client, settings, SAME.isoformat())

    assert not any(row["is_alarm"] for row in rows)
    assert verdicts(rows)["region_code"] == "stable"


def test_a_day_without_an_earlier_month_says_so(client: Client, settings: Settings) -> None:
    rows = refresh_drift(client, settings, REFERENCE.isoformat())

    assert set(verdicts(rows).values()) == {"no_reference"}
    assert all(row["psi"] is None for row in rows)


def test_the_reference_stays_when_its_day_is_gone_and_a_day_compared_again_has_the_same_rows(client, settings) -> None:
    before = refresh_drift(client, settings, LATER.isoformat())
    for table in ("customer_feature_snapshots", "customer_tier_snapshots", "churn_snapshots", "published_builds"):
        client.command(f"DELETE FROM {settings.database('snapshots')}.{table} WHERE as_of_date = '{REFERENCE}'")

    again = refresh_drift(client, settings, LATER.isoformat())

    assert again == before
    stored = client.query(f"SELECT count(), uniqExact(feature) FROM {settings.database('predictive')}.feature_drift")
    assert stored.result_rows == [(len(before), len(before))]


def test_a_day_that_is_not_published_is_refused(client: Client, settings: Settings) -> None:
    with pytest.raises(TierhouseError, match="2024-04-11 is not published"):
        refresh_drift(client, settings, "2024-04-11")
