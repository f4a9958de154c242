"""A warehouse of its own, in a home and behind a port of its own, for tests that drive it from outside."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "tests" / "data" / "small_distributor"


def with_parsed_project(home: Path, parsed: Path) -> Path:
    """The home, with dbt's state of the parsed project in it: dbt parses anew what it does not find there as it needs it."""
    target = home / "target"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(parsed, target)
    return home


class OwnWarehouse:
    """Settings, environment variables and clients of one embedded warehouse; nothing is started yet."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.variables = {"TIERHOUSE_HOME": str(home), "TIERHOUSE_PORT": str(port), "TIERHOUSE_TARGET": "embedded"}
        self.settings = Settings.from_environment(self.variables)

    def client(self) -> Client:
        return connect(self.settings)
