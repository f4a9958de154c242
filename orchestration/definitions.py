"""All Dagster definitions: loads `defs/`, adds resources and what holds for whole layers. No connection is made here."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg

from orchestration.defs.resources import RefreshRun, Warehouse


def _with_freshness(spec: dg.AssetSpec) -> dg.AssetSpec:
    # A daily cadence plus two hours to finish; only what consumers read may raise the alarm.
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26))
    return spec.replace_attributes(freshness_policy=policy) if spec.key.path[0] == "marts" else spec


@dg.definitions
def defs() -> dg.Definitions:
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    resources = {"warehouse": Warehouse(), "refresh_run": RefreshRun()}
    # What the pages materialize without a job, too, is one process and so one refresh: steps in processes of their own would each
    # take the writer lock, repair what the others are making, and judge a build that another one made.
    shared = dg.Definitions(resources=resources, executor=dg.in_process_executor)
    return dg.Definitions.merge(loaded, shared).map_asset_specs(func=_with_freshness)
