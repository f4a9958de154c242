"""Facts built change by change equal facts built from nothing, whatever arrives late, changed, cancelled or deleted."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from reference.histories import random_history

from orchestration import dbt, evaluations, predictions
from orchestration.errors import TierhouseError
from orchestration.history import refreshed_days
from orchestration.landing import create_landing_tables
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

LAST_DAY = date(2026, 3, 31)
FACTS = ["fct_order_lines", "fct_orders"]
# What the facts of orders are made of, up to the lines.
UNTIL_LINES = "stg_orders stg_order_lines stg_refunds fct_changed_orders fct_order_lines"
FIRST_LOAD = pd.Timestamp("2026-04-01", tz="UTC")


@pytest.fixture
def settings(in_own_warehouse: Settings) -> Settings:
    return in_own_warehouse


@pytest.mark.parametrize("seed", [1, 2])
def test_three_deliveries_in_any_order_give_the_facts_of_one(settings: Settings, seed: int) -> None:
    client = connect(settings, autogenerate_session_id=False)
    _start_anew(client, settings)
    random = np.random.default_rng(seed)
    history = random_history(seed, LAST_DAY, settings.zone)
    share = {name: random.integers(0, 3, len(rows)) for name, rows in history.items()}
    for delivery in range(3):
        for name, rows in history.items():
            _land(client, settings, name, rows[share[name] == delivery], FIRST_LOAD + timedelta(hours=delivery))
        _build(settings, f"{seed}-{delivery}")
    grown = [_rows(client, settings, fact) for fact in FACTS]

    _build(settings, f"{seed}-full", "--full-refresh")
    anew = [_rows(client, settings, fact) for fact in FACTS]

    assert all(len(rows) > 50 for rows in anew)
    assert grown == anew


def test_facts_of_a_build_that_was_killed_are_refused_and_made_up_by_the_next(settings: Settings) -> None:
    client = connect(settings, autogenerate_session_id=False)
    _start_anew(client, settings)
    with pytest.raises(TierhouseError, match="nothing is refreshed yet"):
        refreshed_days(client, settings)
    client.command(f"CREATE DATABASE {settings.database('snapshots')}")
    client.command(
        f"CREATE TABLE {settings.database('snapshots')}.published_builds ENGINE = Memory AS SELECT toDate('{LAST_DAY}') AS as_of_date"
    )
    history = random_history(9, LAST_DAY, settings.zone)
    half = {name: np.arange(len(rows)) % 2 == 0 for name, rows in history.items()}
    for name, rows in history.items():
        _land(client, settings, name, rows[half[name]], FIRST_LOAD)
    _build(settings, "first")
    for name, rows in history.items():
        _land(client, settings, name, rows[~half[name]], FIRST_LOAD + timedelta(hours=1))
    # The lines are made, the orders and the watermark are not: what a kill in between leaves.
    _build(settings, "killed", select=UNTIL_LINES)
    for choose in (refreshed_days, predictions.choose_day, evaluations.choose_day):
        with pytest.raises(TierhouseError, match=r"cut off .*run `tierhouse refresh` first"):
            choose(client, settings)
    _build(settings, "next")
    assert refreshed_days(client, settings) == [LAST_DAY]
    grown = [_rows(client, settings, fact) for fact in FACTS]

    _build(settings, "killed from nothing", "--full-refresh", select=UNTIL_LINES)
    with pytest.raises(TierhouseError, match=r"cut off .*run `tierhouse refresh` first"):
        refreshed_days(client, settings)

    _build(settings, "full", "--full-refresh")

    assert grown == [_rows(client, settings, fact) for fact in FACTS]


def test_a_refresh_with_nothing_new_leaves_every_part_of_the_facts_as_it_is(settings: Settings) -> None:
    client = _built(settings, 4)
    parts = _parts(client, settings)

    _build(settings, "again")

    assert _parts(client, settings) == parts


def test_headers_that_only_repeat_themselves_leave_every_part_as_it_is_and_are_passed_by_the_watermark(
    settings: Settings,
) -> None:
    client = _built(settings, 5)
    parts = _parts(client, settings)
    orders = f"{settings.database('landing')}.orders"
    # Of orders with one version: the same once more, only a day later and paid.
    client.command(
        f"INSERT INTO {orders} SELECT * REPLACE (updated_at + INTERVAL 1 DAY AS updated_at, 'paid' AS status, "
        f"_loaded_at + INTERVAL 1 HOUR AS _loaded_at) FROM {orders} "
        f"WHERE order_id IN (SELECT order_id FROM {orders} GROUP BY order_id HAVING count() = 1 AND any(status) != 'cancelled')"
    )
    repeated, newest = client.query(
        f"SELECT countIf(_loaded_at = (SELECT max(_loaded_at) FROM {orders})), max(_loaded_at) FROM {orders}"
    ).result_rows[0]
    assert repeated > 50

    _build(settings, "repeated")

    assert _parts(client, settings) == parts
    assert client.query(f"SELECT loaded_at FROM {settings.database('facts')}.fct_watermark").result_rows == [(newest,)]


def test_facts_refuse_a_full_build_without_its_work_list(settings: Settings) -> None:
    _built(settings, 4)
    _build(settings, "nothing new")
    with pytest.raises(dbt.DbtFailure, match="work list"):
        _build(settings, "orders alone", "--full-refresh", select="fct_orders")


def _built(settings: Settings, seed: int) -> Client:
    """A client of a warehouse with the facts of a history that came in one delivery."""
    client = connect(settings, autogenerate_session_id=False)
    _start_anew(client, settings)
    for name, rows in random_history(seed, LAST_DAY, settings.zone).items():
        _land(client, settings, name, rows, FIRST_LOAD)
    _build(settings, "base")
    return client


def _start_anew(client: Client, settings: Settings) -> None:
    for layer in ("landing", "staging", "facts", "snapshots"):
        client.command(f"DROP DATABASE IF EXISTS {settings.database(layer)} SYNC")
    # As in another, empty warehouse that this same process builds next.
    client.command(f"DROP DATABASE IF EXISTS {settings.prefix} SYNC")
    create_landing_tables(client, settings)


def _land(client: Client, settings: Settings, name: str, rows: pd.DataFrame, loaded_at: pd.Timestamp) -> None:
    """Rows as a loader leaves them; their judgement is not this module's matter."""
    table = f"{settings.database('landing')}.{name}"
    types = dict(
        client.query(
            f"SELECT name, type FROM system.columns WHERE concat(database, '.', table) = '{table}'"
        ).result_rows
    )
    frame = rows[[column for column in rows.columns if column in types]].copy()
    for column in frame.columns:
        if "DateTime" in types[column]:
            moments = pd.to_datetime(frame[column])
            zoned = moments if moments.dt.tz is not None else moments.dt.tz_localize(settings.zone)
            frame[column] = zoned.dt.tz_convert("UTC")
        elif "Decimal" in types[column] or "Date" in types[column]:
            frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    frame["_loaded_at"], frame["_batch_id"] = loaded_at, str(loaded_at)
    if len(frame):
        client.insert(table, frame.astype(object).where(frame.notna(), None).to_numpy().tolist(), list(frame.columns))


def _build(
    settings: Settings, run: str, *arguments: str, select: str = f"{UNTIL_LINES} fct_orders fct_watermark"
) -> None:
    selection = ["--select", *select.split(), "--exclude", "resource_type:test", "resource_type:unit_test"]
    list(dbt.build(settings, run, LAST_DAY.isoformat(), [*selection, *arguments]))


def _rows(client: Client, settings: Settings, fact: str) -> list[tuple]:
    return sorted(client.query(f"SELECT * FROM {settings.database('facts')}.{fact}").result_rows)


def _parts(client: Client, settings: Settings) -> list[tuple]:
    return client.query(
        "SELECT table, partition, name, rows FROM system.parts WHERE active AND database = {database:String} "
        "AND table IN {tables:Array(String)} ORDER BY ALL",
        parameters={"database": settings.database("facts"), "tables": FACTS},
    ).result_rows
