"""One embedded warehouse for all landing tests; each test gets its own databases in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from clickhouse_connect.driver.client import Client
from landing_warehouse import Warehouse, free_port

from orchestration.landing import create_landing_tables
from orchestration.landing.journal import drop_side_tables
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("landing")
    variables = {"TIERHOUSE_HOME": str(home), "TIERHOUSE_PORT": str(free_port())}
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
