"""Clients of the warehouse: connect to the configured server, starting the embedded one where none answers yet."""

import fcntl
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from orchestration.errors import TierhouseError
from orchestration.warehouse.settings import Settings

START_SECONDS = 60.0
PROBE_SECONDS = 5.0
# Exit code of a server process that found another one on its folder.
FOLDER_IN_USE = 75
IDENTITY_HEADER = "X-Tierhouse-Home"


@dataclass(frozen=True)
class RunningServer:
    """What an embedded server wrote about itself into home/warehouse/server.json."""

    pid: int
    host: str
    port: int


def connect(settings: Settings, **kwargs) -> Client:
    """A clickhouse-connect client of the warehouse; keyword arguments go to `clickhouse_connect.get_client`.

    Requests run without a server session unless `session_id` is given, so that one client serves several threads.
    Raises TierhouseError when the warehouse is not reachable or refuses the password."""
    return _connect(located(settings), **kwargs)


def shared_client(settings: Settings) -> Client:
    """The client that the steps of this process share; a new one asks the server for its version and all its settings.

    Not to be closed. Raises TierhouseError as `connect` does."""
    return _shared(located(settings))


@cache
def _shared(settings: Settings) -> Client:
    return _connect(settings)


def ensure_running(settings: Settings) -> Settings:
    """The same settings with the host and port really in use; starts the embedded server when none answers.

    Raises TierhouseError for an unreachable server, a wrong password or a port that something else holds."""
    found = located(settings)
    _connect(found).close()
    return found


def located(settings: Settings) -> Settings:
    """The same settings with the host and port of the embedded server, which is started where none answers.

    Unlike `ensure_running` it does not look whether the server lets the user in."""
    if settings.target != "embedded":
        return settings
    server = running_server(settings.home)
    if server is None:
        server = _start_embedded(settings)
    return replace(settings, host=server.host, port=server.port)


def running_server(home: Path) -> RunningServer | None:
    """The embedded server of this home if one is alive and answers for this home, else None."""
    try:
        record = json.loads(server_file(home).read_text())
        server = RunningServer(int(record["pid"]), str(record["host"]), int(record["port"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server if _serves(server, home) else None


def server_file(home: Path) -> Path:
    """Where the embedded server of a home says which process it is and where it listens."""
    return home / "warehouse" / "server.json"


def _serves(server: RunningServer, home: Path) -> bool:
    """Whether the process is alive and answers a ping for this very home (a port may have gone to another server)."""
    try:
        os.kill(server.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        return answer.status == 200 and answer.headers.get(IDENTITY_HEADER) == home_identity(home)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def home_identity(home: Path) -> str:
    """A short name of a home that gives away no path: the device and inode numbers of its warehouse folder."""
    state = (home / "warehouse").stat()
    return f"{state.st_dev:x}-{state.st_ino:x}"


def _start_embedded(settings: Settings) -> RunningServer:
    log = settings.home / "logs" / "warehouse.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        (settings.home / "warehouse").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TierhouseError(f"cannot write to {settings.home}: {error.strerror}; set TIERHOUSE_HOME") from None
    with _start_lock(settings.home):
        process = None
        in_use = False
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            server = running_server(settings.home)
            if server is not None:
                return server
            if process is None:
                process = _launch(settings, log)
            elif process.poll() is not None:
                # Another one is on its way down, as after idle minutes, or on its way up: the folder is free or answers soon.
                in_use = process.returncode == FOLDER_IN_USE
                if not in_use:
                    raise TierhouseError(_last_words(log))
                process = None
            time.sleep(0.05)
        if process is not None:
            process.terminate()
    if in_use:
        raise TierhouseError(_last_words(log))
    raise TierhouseError(f"the embedded warehouse did not answer within {START_SECONDS:.0f} s; see {log}")


def _launch(settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    """A server process of its own for the home; it ends at once, with FOLDER_IN_USE, where another one holds the folder."""
    port = _free_port(settings)
    command = [sys.executable, "-m", "orchestration.warehouse.serve", "--host", settings.host, "--port", str(port)]
    environment = os.environ | settings.environment()
    package_root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, environment.get("PYTHONPATH", "")]))
    with log.open("ab") as output:
        return subprocess.Popen(
            [*command, "--until-idle"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=settings.home,
            start_new_session=True,
        )


@contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    """One starter at a time: the second command finds the server that the first one started."""
    with (home / "warehouse" / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_port(settings: Settings) -> int:
    """The configured port, or a free one when the default is taken and nobody asked for it by name."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    for port in (settings.port, 0):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                if settings.port_is_explicit or port == 0:
                    raise TierhouseError(
                        f"cannot listen on {settings.host}:{port} ({error.strerror}); set TIERHOUSE_PORT to a free port"
                    ) from None
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("unreachable: the second round binds or raises")


def _last_words(log: Path) -> str:
    """The line with which a server that could not start said why."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line.removeprefix("tierhouse: ") for line in lines if line.startswith("tierhouse: ")]
    return said[-1] if said else f"the embedded warehouse did not start; see {log}"


def connection_failure(text: str) -> str | None:
    """Why a connection failed or broke, out of the words that the HTTP library wraps it in; None for other errors."""
    found = re.search(r"(?:Failed to establish a new connection: |Failed to resolve [^(]*\()([^\"')]*)", text)
    found = found or re.search(r"\('Connection aborted\.', \w+\((?:\d+, )?[\"']([^\"']*)", text)
    return found[1].strip() if found else None


def _connect(settings: Settings, **kwargs) -> Client:
    options = {"autogenerate_session_id": False, **kwargs}
    try:
        return clickhouse_connect.get_client(
            host=settings.host,
            port=settings.port,
            username=settings.user,
            password=settings.password,
            secure=settings.secure,
            **options,
        )
    except ClickHouseError as error:
        text = str(error)
        variable = "TIERHOUSE" if settings.target == "embedded" else "CLICKHOUSE"
        if any(f"code {code}" in text or f"Code: {code}" in text for code in (192, 193, 194, 516)):
            raise TierhouseError(
                f"{settings.url} refuses user {settings.user!r}; check {variable}_USER and {variable}_PASSWORD"
            ) from None
        reason = connection_failure(text) or (text.splitlines()[0] if text else type(error).__name__)
        raise TierhouseError(f"cannot reach the warehouse at {settings.url}: {reason}") from None
