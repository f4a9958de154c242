"""Days after the one that was refreshed: a tier follows from the day before, so a day in the past moves the days after it."""

from datetime import date

import dagster as dg

from orchestration import days_in_work
from orchestration.defs.partitions import daily
from orchestration.defs.resources import RefreshRun, Warehouse
from orchestration.history import decide_again
from orchestration.progress import report


@dg.asset(
    key=["snapshots", "later_days"],
    group_name="snapshots",
    description="One run: published days later than the one that was refreshed, their tiers decided again where they changed.",
    deps=[["snapshots", "published_builds"], ["tiers", "customer_tier_states"]],
    partitions_def=daily(),
    kinds={"python"},
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def later_days(
    context: dg.AssetExecutionContext, warehouse: Warehouse, refresh_run: RefreshRun
) -> dg.MaterializeResult:
    changed = []
    client, settings = warehouse.client(), warehouse.settings()
    for day in decide_again(client, settings, date.fromisoformat(context.partition_key)):
        report("later days", day)
        changed.append(day.isoformat())
    days_in_work.end(client, settings)
    return dg.MaterializeResult(metadata={"days": len(changed), "last": changed[-1] if changed else ""})
