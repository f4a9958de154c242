"""The tier machine alone: histories of 200,000 customers folded at once, weekly for a year and daily for a year.

    python -m benchmarks.replay [CUSTOMERS]

Candidates walk at random from a hash, so that runs compare. The daily history is folded in parts of the customers, which
bounds the memory; time of the parts is summed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from orchestration.macros import render
from orchestration.warehouse.client import connect, ensure_running
from orchestration.warehouse.settings import Settings

_HISTORY = """
SELECT toDate('2025-01-06') + day * {step} AS as_of_date, 'standards' AS policy, customer_id,
    toUInt8(1 + (cityHash64(customer_id) % 3 + (cityHash64(customer_id, intDiv(day * {step}, 21)) % 5 = 0)
        + (cityHash64(customer_id, day) % 9 = 0)) % 4) AS candidate_rank,
    toUInt8(least(4, candidate_rank + (cityHash64(customer_id, day, 1) % 4 = 0))) AS strict_rank,
    toUInt8(greatest(1, candidate_rank - (cityHash64(customer_id, day, 2) % 4 = 0))) AS lenient_rank,
    CAST('active' AS Enum8('active' = 0, 'new' = 1, 'lapsed' = 2, 'blocked' = 3)) AS standing,
    CAST('decide' AS Enum8('decide' = 0, 'follow' = 1, 'protect' = 2, 'lowest' = 3, 'freeze' = 4)) AS treatment,
    toUInt8(if(cityHash64(customer_id, intDiv(day, 5), 3) % 40 = 0, 2, 1)) AS cap_rank,
    toUInt8(if(cityHash64(customer_id, intDiv(day, 9), 4) % 200 = 0, 1, 0)) AS override_rank,
    toUInt8(4) AS lowest_rank, toUInt8(1) AS confirm_up_decisions, toUInt8(3) AS confirm_down_decisions,
    toUInt8(1) AS maximum_steps_down, toUInt16(56) AS minimum_dwell_days, toUInt16(56) AS grace_days_after_upgrade,
    toUInt8(1) AS downgrade_weekdays
FROM (SELECT number AS customer_id FROM numbers({customers})) AS customers CROSS JOIN (SELECT number AS day FROM numbers({days})) AS days
"""


def main() -> None:
    """Make both histories, replay them three times, print the median seconds."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    os.environ["TIERHOUSE_HOME"] = str(Path(tempfile.mkdtemp()) / "home")
    os.environ["TIERHOUSE_PORT"] = "18399"
    client = connect(ensure_running(Settings.from_environment()), autogenerate_session_id=False)
    client.command("CREATE DATABASE bench")
    for name, days, step, parts in (("weekly", 52, 7, 1), ("daily", 365, 1, 8)):
        history = _HISTORY.format(step=step, customers=customers, days=days)
        client.command(
            f"CREATE TABLE bench.{name} ENGINE = MergeTree PARTITION BY as_of_date ORDER BY customer_id "
            f"SETTINGS index_granularity = 8192 AS {history} SETTINGS max_partitions_per_insert_block = 0"
        )
        seconds = []
        for _ in range(3):
            started = time.monotonic()
            changes = 0
            for part in range(parts):
                folded = render("replayed_states", "part")
                changes += int(
                    str(
                        client.command(
                            f"WITH part AS (SELECT * FROM bench.{name} WHERE customer_id >= {customers * part // parts} "
                            f"AND customer_id < {customers * (part + 1) // parts}) "
                            f"SELECT countIf(tier_rank != previous_rank) FROM {folded}"
                        )
                    )
                )
            seconds.append(time.monotonic() - started)
        print(
            f"{days} {name} days of {customers:,} customers replayed in {sorted(seconds)[1]:.1f} s "
            f"({days * customers:,} decisions, {changes:,} changes of tier)"
        )


if __name__ == "__main__":
    main()
