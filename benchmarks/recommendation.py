"""Recommendations for a demo base of 200,000 customers: wall and processor seconds, engine seconds, memory.

    python -m benchmarks.recommendation [CUSTOMERS] [DAYS]

Lands a world in a home of its own, builds its facts, and makes the lists of the last complete day.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from orchestration import history
from orchestration.landing import generator
from orchestration.predictions import recommend_products
from orchestration.tables import recommendation_table
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

LAST_DATE = date(2026, 3, 31)


def main() -> None:
    """Make the world and its facts, recommend, print what it took and how good it was."""
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
        begin = client.command("SELECT toString(now64(6))")
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.monotonic()
        made = recommend_products(client, settings, LAST_DATE)
        seconds = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_SELF)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        # OSCPUVirtualTimeMicroseconds is 0 on systems that do not account for threads.
        queries, engine = client.query(
            "SELECT sum(query_duration_ms) / 1000, sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']) / 1e6 "
            f"FROM system.query_log WHERE type != 'QueryStart' AND event_time_microseconds >= '{begin}'"
        ).result_rows[0]
        print(
            f"{made.row_count:,} rows for {made.customer_count:,} customers in {seconds:.1f} s; Python {processor:.1f} s of "
            f"processor and {after.ru_maxrss / 2**20:.2f} GiB; queries {queries:.1f} s, {engine:.1f} s of processor"
        )
        print(recommendation_table(client, settings, LAST_DATE))
        size = client.command(
            "SELECT formatReadableSize(sum(bytes_on_disk)) FROM system.parts WHERE active AND table = 'product_recommendations'"
        )
        print(f"stored: {size}")
    finally:
        server = running_server(home)
        if server:
            os.kill(server.pid, 15)
            time.sleep(2)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
