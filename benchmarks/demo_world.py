"""A demo world with its facts in a home of its own, for benchmarks of what reads them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration import history
from orchestration.landing import generator
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

LAST_DATE = date(2026, 3, 31)


@contextmanager
def demo_facts() -> Iterator[tuple[Client, Settings]]:
    """The warehouse of a world of as many customers and days as the command line says; gone at the end."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    days = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    home = Path(tempfile.mkdtemp(prefix="tierhouse-bench-"))
    os.environ.update(TIERHOUSE_HOME=str(home), TIERHOUSE_TARGET="embedded")
    os.environ.pop("TIERHOUSE_PORT", None)
    settings = ensure_running(Settings.from_environment())
    os.environ.update(settings.environment())
    client = connect(settings, autogenerate_session_id=False)
    try:
        generator.land_demo(client, settings, customers, days, 1, LAST_DATE)
        history.build_facts(client, settings, LAST_DATE)
        lines = client.command(f"SELECT count() FROM {settings.database('facts')}.fct_order_lines")
        print(
            f"{customers:,} customers, {days} days, {int(str(lines)):,} order lines, {os.cpu_count()} cores", flush=True
        )
        yield client, settings
    finally:
        server = running_server(home)
        if server:
            os.kill(server.pid, 15)
            time.sleep(2)
        shutil.rmtree(home, ignore_errors=True)
