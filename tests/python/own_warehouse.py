"""A warehouse of its own, in a home and behind a port of its own, for tests that drive it from outside."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "tests" / "data" / "small_distributor"


def with_parsed_project(home: Path, parsed: Path) -> Path:
    """The home, with dbt's state of the parsed project in it: dbt parses anew what it does not find there as it needs it."""
    target = home / "target"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(parsed, target)
    return home


def copied(home: Path, to: Path) -> Path:
    """Another home with all that is in the first, whose server has ended."""
    return shutil.copytree(home, to, symlinks=True)


class OwnWarehouse:
    """Settings, environment, commands and clients of one embedded warehouse; nothing is started yet."""

    def __init__(self, home: Path, zone: str = "Asia/Shanghai") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.variables = {
            "TIERHOUSE_HOME": str(home),
            "TIERHOUSE_PORT": str(port),
            "TIERHOUSE_TARGET": "embedded",
            "TIERHOUSE_SCHEMA": "tierhouse",
            "TIERHOUSE_ZONE": zone,
        }
        self.settings = Settings.from_environment(self.variables)

    def running(self) -> Settings:
        """The settings with the port of the server, which is started where none runs."""
        return ensure_running(self.settings)

    def client(self) -> Client:
        return connect(self.settings, autogenerate_session_id=False)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command and go on."""
        command = [sys.executable, "-m", "orchestration.cli", *arguments]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | self.variables | variables
        # Not in the project's folder: a scheduler may start anywhere.
        folder = self.settings.home.parent
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command."""
        process = self.start(*arguments, **variables)
        output, errors = process.communicate(timeout=600)
        return process.returncode, output, errors

    def tierhouse(self, *arguments: str) -> str:
        """The output of a command; fails with all it printed when it exits with an error."""
        code, output, errors = self.run(*arguments)
        assert code == 0, f"tierhouse {' '.join(arguments)}:\n{output}\n{errors}"
        return output

    def stop(self) -> None:
        """End the server that the commands started, and wait until it is gone."""
        running = running_server(self.settings.home)
        if running is None:
            return
        os.kill(running.pid, signal.SIGTERM)
        # The process holds the lock of its folder to its end.
        with (self.settings.home / "warehouse" / "server.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
