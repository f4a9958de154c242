"""The engine for the tests of the reason card, with a database for random bases."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings


@pytest.fixture(scope="session")
def engine(own_warehouse: Settings) -> Iterator[Client]:
    made = connect(own_warehouse, autogenerate_session_id=False)
    made.command("CREATE DATABASE explain_test")
    yield made
    made.command("DROP DATABASE explain_test")
