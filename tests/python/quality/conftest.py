"""One embedded server for the tests of this folder, in a folder of its own, behind a free port."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from orchestration.warehouse.client import connect, ensure_running, server_file
from orchestration.warehouse.settings import Settings


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running, empty warehouse; the server is gone after the last test."""
    home = tmp_path_factory.mktemp("quality")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Settings.from_environment({"TIERHOUSE_HOME": str(home), "TIERHOUSE_PORT": str(port)})
    yield ensure_running(made)
    process = int(json.loads(server_file(made.home).read_text())["pid"])
    os.kill(process, signal.SIGTERM)
    for _ in range(200):
        # The server is a child of this process: it is gone when it has been waited for.
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[Client]:
    """A client of that warehouse."""
    made = connect(settings)
    yield made
    made.close()
