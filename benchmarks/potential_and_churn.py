"""Potential and churn of a demo base of 200,000 customers: seconds, processor seconds and memory, fitted and scored.

    python -m benchmarks.potential_and_churn [CUSTOMERS] [DAYS]

Makes a world in a home of its own, builds one day of it, and then fits and scores that day once more.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

from clickhouse_connect.driver.client import Client

from benchmarks.demo_world import LAST_DATE, demo_facts
from orchestration import history
from orchestration.predictive.artifacts import training_day
from orchestration.predictive.store_churn import fit_churn, refresh_churn
from orchestration.predictive.store_potential import fit_potential, refresh_potential


def main() -> None:
    """Make the world and a day of it, then measure each step of both models."""
    with demo_facts() as (client, settings):
        print(f"{history.build_day(client, settings, LAST_DATE):,} customers scored", flush=True)
        day, trained_until = LAST_DATE.isoformat(), training_day(LAST_DATE)
        steps: dict[str, Callable[[], object]] = {
            "potential, the month's fit": lambda: fit_potential(client, settings, trained_until),
            "potential, both versions": lambda: refresh_potential(client, settings, day),
            "churn, the month's fit": lambda: fit_churn(client, settings, trained_until),
            "churn": lambda: refresh_churn(client, settings, day),
        }
        for name, step in steps.items():
            _measure(client, name, step)


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
