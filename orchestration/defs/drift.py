"""Drift of features and scores, once a week: are the customers still those that the models were trained on?"""

import dagster as dg

from orchestration.defs.partitions import daily
from orchestration.defs.resources import Warehouse, patient_lock
from orchestration.defs.retries import again_where_disconnected
from orchestration.predictive.drift import CODE_VERSION
from orchestration.progress import report


@dg.asset(
    key=["predictive", "feature_drift"],
    group_name="predictive",
    description="One row per compared day and feature or score: stability index, critical value, verdict.",
    deps=[["snapshots", name] for name in ("customer_feature_snapshots", "customer_tier_snapshots", "churn_snapshots")],
    partitions_def=daily(),
    code_version=CODE_VERSION,
    tags={"runs": "weekly_predictions"},
    kinds={"python"},
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def feature_drift(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    # Imported when it runs: every refresh imports this module.
    from orchestration.predictive import store_drift

    settings = warehouse.settings()
    with patient_lock(settings, f"drift of {context.partition_key}", context.log), again_where_disconnected():
        rows = store_drift.refresh_drift(warehouse.client(), settings, context.partition_key)
    report("drift", len(rows))
    alarms = [row["feature"] for row in rows if row["is_alarm"]]
    return dg.MaterializeResult(metadata={"compared": len(rows), "alarms": len(alarms), "features": ", ".join(alarms)})
