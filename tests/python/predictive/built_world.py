"""A warehouse of its own with the facts of a demo world, as a refresh builds them, for tests that change these facts."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from orchestration import history
from orchestration.landing import generator
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings


@contextmanager
def built_world(home: Path, customers: int, days: int, last_date: date) -> Iterator[Settings]:
    """Its settings, with the environment naming it; the server ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = ensure_running(Settings.from_environment({"TIERHOUSE_HOME": str(home), "TIERHOUSE_PORT": str(port)}))
    generator.land_demo(connect(made), made, customers=customers, days=days, seed=3, last_date=last_date)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment().items():
            patch.setenv(name, value)
        history.build_facts(connect(made), made, last_date)
        yield made
    running = running_server(home)
    if running:
        os.kill(running.pid, signal.SIGTERM)
