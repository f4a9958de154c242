"""Stability is reported on the first stored day of a week and on no other, where its query is not even sent."""

from datetime import date

import pytest

from orchestration import dbt
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

FRIDAY, SUNDAY, MONDAY, TUESDAY = date(2026, 3, 27), date(2026, 3, 29), date(2026, 3, 30), date(2026, 3, 31)
STORED = {
    "tiers.customer_tier_states": "tier_rank UInt8",
    "tiers.customer_tier_inputs": "candidate_rank UInt8, is_in_force UInt8",
}


@pytest.fixture
def settings(in_own_warehouse: Settings) -> Settings:
    return in_own_warehouse


def test_stability_is_reported_on_the_first_stored_day_of_a_week_alone(settings: Settings) -> None:
    client = connect(settings)
    for layer in ("tiers", "scoring", "snapshots"):
        client.command(f"DROP DATABASE IF EXISTS {settings.database(layer)} SYNC")
        client.command(f"CREATE DATABASE {settings.database(layer)}")
    client.command(
        f"CREATE TABLE {settings.database('scoring')}.scoring_configuration ENGINE = Memory AS SELECT 'standards' AS policy"
    )
    for name, columns in STORED.items():
        client.command(
            f"CREATE TABLE {settings.prefix}_{name} (as_of_date Date, policy String, customer_id UInt64, {columns}) ENGINE = Memory"
        )

    for day in (FRIDAY, SUNDAY, MONDAY, TUESDAY):
        for name, columns in STORED.items():
            measures = ", 1" * len(columns.split(","))
            client.command(
                f"INSERT INTO {settings.prefix}_{name} SELECT toDate('{day}'), 'standards', number{measures} FROM numbers(3)"
            )
        exclude = ["--exclude", "resource_type:test", "resource_type:unit_test"]
        list(dbt.build(settings, f"{day}", day.isoformat(), ["--select", "tier_stability_snapshots", *exclude]))

    rows = client.query(
        f"SELECT as_of_date, policy, is_in_force, week_count, customer_count FROM {settings.database('snapshots')}."
        "tier_stability_snapshots ORDER BY as_of_date"
    ).result_rows
    assert rows == [(FRIDAY, "standards", 1, 1, 3), (MONDAY, "standards", 1, 2, 3)]
