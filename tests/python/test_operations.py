"""The log of refreshes says in which order they ran, whatever the clock did meanwhile."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from orchestration.operations import create_refresh_runs, end_run, last_run, start_run
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings


def test_the_last_run_is_the_one_that_ran_last_where_the_clock_was_set_back_between(own_warehouse: Settings) -> None:
    client: Client = connect(own_warehouse, autogenerate_session_id=False)
    create_refresh_runs(client, own_warehouse)
    table = f"{own_warehouse.database('marts')}.refresh_runs"
    client.command(
        f"INSERT INTO {table} (run_id, started_at, ended_at, status) "
        "SELECT '1', now64(3) + 3600, now64(3) + 3700, 'published'"
    )
    start_run(client, own_warehouse, "2", "2024-07-01")
    end_run(client, own_warehouse, "2", "no room on the disk")
    assert last_run(client, own_warehouse)[1:] == ("failed", "no room on the disk")
    assert client.query(f"SELECT count() FROM {table} WHERE ended_at < started_at").result_rows == [(0,)]
    client.command(f"DROP TABLE {table}")
