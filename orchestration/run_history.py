"""How long Dagster's log of a refresh is kept: each run leaves some 2 MB, whatever the size of the warehouse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from orchestration.event_log import OneEngineEventLogStorage

# Longer than a quarter, so that the latest run of every schedule is among them. `refresh_runs` and the data quality results,
# which people query, are kept for ever.
RUNS_KEPT = timedelta(days=100)
# A home with more of them to forget does so over some days instead of making one refresh long.
FORGOTTEN_AT_ONCE = 20


def forget_old_runs(instance: dg.DagsterInstance, now: datetime | None = None) -> int:
    """Delete the oldest runs that started more than RUNS_KEPT ago, with their events; the number deleted.

    Does nothing where Dagster's state is not kept by this project, but in a DAGSTER_HOME with a storage of its owner's.
    """
    if not isinstance(instance.event_log_storage, OneEngineEventLogStorage):
        return 0
    before = (now or datetime.now(UTC)) - RUNS_KEPT
    old = instance.get_run_records(dg.RunsFilter(created_before=before), limit=FORGOTTEN_AT_ONCE, ascending=True)
    for record in old:
        instance.delete_run(record.dagster_run.run_id)
    return len(old)
