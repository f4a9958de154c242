"""Potential and churn of a demo base of 200,000 customers: seconds, processor seconds and memory, fitted and scored.

    python -m benchmarks.potential_and_churn [CUSTOMERS] [DAYS]

Makes a world in a home of its own, builds one day of it, and then fits and scores that day once more.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration import history
from orchestration.landing import generator
from orchestration.predictive.artifacts import training_day
from orchestration.predictive.store_churn import fit_churn, refresh_churn
from orchestration.predictive.store_potential import fit_potential, refresh_potential
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

LAST_DATE = date(2026, 3, 31)


def main() -> None:
    """Make the world and a day of it, then measure each step of both models."""
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
        scored = history.build_day(client, settings, LAST_DATE)
        lines = client.command(f"SELECT count() FROM {settings.database('facts')}.fct_order_lines")
        print(f"{scored:,} customers, {days} days, {int(str(lines)):,} order lines, {os.cpu_count()} cores", flush=True)
        day, trained_until = LAST_DATE.isoformat(), training_day(LAST_DATE)
        steps: dict[str, Callable[[], object]] = {
            "potential, the month's fit": lambda: fit_potential(client, settings, trained_until),
            "potential, both versions": lambda: refresh_potential(client, settings, day),
            "churn, the month's fit": lambda: fit_churn(client, settings, trained_until),
            "churn": lambda: refresh_churn(client, settings, day),
        }
        for name, step in steps.items():
            _measure(client, name, step)
    finally:
        server = running_server(home)
        if server:
            os.kill(server.pid, 15)
            time.sleep(2)
        shutil.rmtree(home, ignore_errors=True)


def _measure(client: Client, name: str, step: Callable[[], object]) -> None:
    begin = client.command("SELECT toString(now64(6))")
    started, processor = time.monotonic(), time.process_time()
    step()
    seconds, processor = time.monotonic() - started, time.process_time() - processor
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    queries = client.query(
        "SELECT sum(query_duration_ms) / 1000 FROM system.query_log "
        f"WHERE type != 'QueryStart' AND event_time_microseconds >= '{begin}'"
    ).result_rows[0][0]
    print(
        f"{name:30} {seconds:6.1f} s; Python {processor:.1f} s of processor, {memory:.2f} GiB; queries {queries:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
