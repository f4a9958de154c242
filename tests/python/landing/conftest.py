"""One embedded warehouse for all landing tests; each test gets its own databases in it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from orchestration.landing import create_landing_tables, land_directory
from orchestration.landing.journal import drop_side_tables
from orchestration.landing.report import LandingReport, TableReport
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings


@dataclass(frozen=True)
class Warehouse:
    """A client and settings with a prefix of their own."""

    client: Client
    settings: Settings

    def land(self, directory: Path, limit: float | None = None) -> dict[str, TableReport]:
        """Land the folder; the outcome by table."""
        return {table.table: table for table in self.report(directory, limit).tables}

    def report(self, directory: Path, limit: float | None = None) -> LandingReport:
        settings = self.settings if limit is None else replace(self.settings, refusal_limit=limit)
        return land_directory(self.client, settings, directory)

    def rows(self, query: str) -> list[tuple]:
        """Rows of a query in which {landing}, {quarantine}, {marts}, {incoming}, {demo} stand for the databases."""
        names = {name: self.settings.database(name) for name in ("landing", "quarantine", "marts", "incoming", "demo")}
        return [tuple(row) for row in self.client.query(query.format(**names)).result_rows]

    def one(self, query: str):
        """The one value of a query."""
        return self.rows(query)[0][0]

    def contents(self, table: str) -> list[tuple]:
        """All rows of a landing table but for the batch that brought them, sorted."""
        return self.rows(
            f"SELECT * EXCEPT (_loaded_at, _batch_id) FROM {{landing}}.{table} "
            f"ORDER BY toString(tuple(* EXCEPT (_loaded_at, _batch_id)))"
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("landing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"TIERHOUSE_HOME": str(home), "TIERHOUSE_PORT": str(port)}
    settings = ensure_running(Settings.from_environment(variables))
    running = running_server(home)
    yield settings
    assert running is not None
    os.kill(running.pid, signal.SIGTERM)


@pytest.fixture(scope="session")
def client(server: Settings) -> Iterator[Client]:
    client = connect(server)
    yield client
    client.close()


@pytest.fixture
def warehouse(server: Settings, client: Client) -> Warehouse:
    """An empty warehouse; its tables are emptied rather than made anew, which is faster."""
    _empty(client, server)
    return Warehouse(client, server)


@pytest.fixture
def other(server: Settings, client: Client) -> Warehouse:
    """A second one beside it."""
    settings = replace(server, prefix="other")
    _empty(client, settings)
    return Warehouse(client, settings)


def _empty(client: Client, settings: Settings) -> None:
    create_landing_tables(client, settings)
    drop_side_tables(client, settings)
    client.command(f"DROP DATABASE IF EXISTS {settings.database('demo')} SYNC")
    filled = client.query(
        f"SELECT database, name FROM system.tables WHERE startsWith(database, '{settings.prefix}_') AND total_rows > 0"
    ).result_rows
    for database, name in filled:
        client.command(f"TRUNCATE TABLE {database}.{name} SYNC")
