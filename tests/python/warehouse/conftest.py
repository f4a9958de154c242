"""One embedded warehouse for the tests of this folder: a process of its own, a free port, a temporary home."""

from collections.abc import Iterator

import pytest
from embedded_server import READER, READER_PASSWORD, Server, start_server


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    running = start_server(
        tmp_path_factory.mktemp("warehouse"), TIERHOUSE_READER_USER=READER, TIERHOUSE_READER_PASSWORD=READER_PASSWORD
    )
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def table(server) -> Iterator[str]:
    """An empty table (a UInt64, b String)."""
    server.ask("DROP TABLE IF EXISTS subject")
    assert server.ask("CREATE TABLE subject (a UInt64, b String) ENGINE = MergeTree ORDER BY a").status == 200
    yield "subject"
    server.ask("DROP TABLE IF EXISTS subject")
