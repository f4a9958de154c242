"""A running embedded warehouse as tests see it: starting, asking, stopping."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import clickhouse_connect

ROOT = Path(__file__).resolve().parents[3]
READER, READER_PASSWORD = "bi", "readers-only"
PATIENCE_SECONDS = 60.0


@dataclass
class Answer:
    """A raw answer of the server; `is_cut` when the connection was closed before the end of the body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    is_cut: bool = False

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def code(self) -> int:
        """The ClickHouse exception code, 0 for none."""
        return int(self.headers.get("X-ClickHouse-Exception-Code", "0"))

    @property
    def summary(self) -> dict[str, int]:
        return {name: int(value) for name, value in json.loads(self.headers["X-ClickHouse-Summary"]).items()}


@dataclass
class Server:
    """A running server: how to reach it, and its process."""

    home: Path
    port: int
    process: subprocess.Popen
    environment: dict[str, str] = field(repr=False, default_factory=dict)

    def ask(
        self, body: bytes | str = b"", method: str = "POST", headers: dict[str, str] | None = None, **parameters
    ) -> Answer:
        """One request on a connection of its own; keyword arguments become URL parameters."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            return ask_on(connection, body, method, headers, **parameters)
        finally:
            connection.close()

    def client(self, **options):
        """A clickhouse-connect client."""
        options.setdefault("autogenerate_session_id", False)
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **options)

    def running(self, needle: str) -> int:
        """How many queries whose text contains `needle` run at this moment."""
        sql = (
            "SELECT count() FROM system.processes"
            " WHERE position(query, {needle:String}) > 0 AND query NOT LIKE '%system.processes%'"
        )
        return int(self.ask(sql, param_needle=needle).text)


def ask_on(connection, body: bytes | str = b"", method="POST", headers=None, **parameters) -> Answer:
    """One request on a connection that stays open."""
    data = body.encode() if isinstance(body, str) else body
    connection.request(method, "/?" + urllib.parse.urlencode(parameters), data or None, headers or {})
    response = connection.getresponse()
    try:
        return Answer(response.status, response.headers, response.read())
    except http.client.IncompleteRead as cut:
        return Answer(response.status, response.headers, cut.partial, is_cut=True)


def start_server(home: Path, **variables: str) -> Server:
    """Start a server and wait until it answers."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("TIERHOUSE_", "CLICKHOUSE_"))
    }
    environment = inherited | {"TIERHOUSE_HOME": str(home), "TIERHOUSE_MEMORY_LIMIT_GIB": "4"} | variables
    home.mkdir(parents=True, exist_ok=True)
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.warehouse.serve", "--port", "0"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    record = home / "warehouse" / "server.json"
    wait_until(lambda: process.poll() is not None or _answers(record, process.pid), "the server to answer")
    assert process.poll() is None, (home / "server.log").read_text()
    return Server(home, json.loads(record.read_text())["port"], process, environment)


def stop_server(server: Server) -> int:
    """Stop a server gracefully; gives its exit code."""
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(PATIENCE_SECONDS)


def wait_until(condition, what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition, generously."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.05)


def _answers(record: Path, pid: int) -> bool:
    try:
        found = json.loads(record.read_text())
        if found["pid"] != pid:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", found["port"], timeout=5)
        connection.request("GET", "/ping")
        return connection.getresponse().read() == b"Ok.\n"
    except (OSError, ValueError):
        return False
