"""Recommendations for a demo base of 200,000 customers: wall and processor seconds, engine seconds, memory.

    python -m benchmarks.recommendation [CUSTOMERS] [DAYS]

Lands a world in a home of its own, builds its facts, and makes the lists of the last complete day.
"""

from __future__ import annotations

import resource
import time

from benchmarks.demo_world import LAST_DATE, demo_facts
from orchestration.predictions import recommend_products
from orchestration.tables import recommendation_table


def main() -> None:
    """Make the world and its facts, recommend, print what it took and how good it was."""
    with demo_facts() as (client, settings):
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


if __name__ == "__main__":
    main()
