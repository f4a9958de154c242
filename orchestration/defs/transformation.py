"""The dbt models as assets, in three groups, because Python steps and quality gates stand between them.

features: staging, facts, features, seeds. tiers: scoring, tiers, snapshots. marts: the published build, and the views on it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext
from dagster_dbt import DagsterDbtTranslator, dbt_assets
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from orchestration.dbt import DbtFailure, build
from orchestration.defs.partitions import daily
from orchestration.defs.resources import RefreshRun, Warehouse
from orchestration.progress import report
from orchestration.project import ensure_manifest
from orchestration.warehouse.settings import Settings

MANIFEST = ensure_manifest(Settings.from_environment())


class LayerTranslator(DagsterDbtTranslator):
    """One rule: the layer is the database, the first part of the asset key, and the group."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return self.get_asset_key(dbt_resource_props).path[0]


TRANSLATOR = LayerTranslator()

SELECTIONS = {
    "features": "resource_type:seed path:models/staging path:models/facts path:models/features",
    "tiers": "path:models/scoring path:models/tiers path:models/snapshots",
    "marts": "published_builds path:models/marts",
}
# Unit tests check the code, not the day: `make test` runs them.
EXCLUSIONS = {
    "features": "resource_type:unit_test",
    "tiers": "resource_type:unit_test published_builds",
    "marts": "resource_type:unit_test",
}


class RefreshConfig(dg.Config):
    """How a refresh treats what is already there."""

    full: bool = False


def _build(
    step: str, context: AssetExecutionContext, warehouse: Warehouse, manifest: Mapping[str, Any], full: bool
) -> Iterator[Any]:
    select = SELECTIONS[step].split()
    if context.is_subset:
        # Asset keys end with the name of the model.
        select = sorted(key.path[-1] for key in context.selected_asset_keys)
    arguments = ["--select", *select, "--exclude", *EXCLUSIONS[step].split()]
    if full:
        arguments.append("--full-refresh")
    events = build(warehouse.settings(), context.run_id, context.partition_key, arguments)
    try:
        for event in events:
            report(step, event)
            message = DbtCoreCliEventMessage(raw_event=dict(event), event_history_metadata={})
            yield from message.to_default_asset_events(manifest, TRANSLATOR, context)
    except DbtFailure as failure:
        raise dg.Failure(str(failure), allow_retries=_is_connection_fault(str(failure))) from None


def _is_connection_fault(text: str) -> bool:
    return any(sign in text for sign in ("Connection refused", "ConnectionError", "Connection reset", "timed out"))


def _assets(step: str) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=MANIFEST,
        dagster_dbt_translator=TRANSLATOR,
        name=f"dbt_{step}",
        select=SELECTIONS[step],
        exclude=EXCLUSIONS[step],
        partitions_def=daily(),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
        retry_policy=dg.RetryPolicy(max_retries=2, delay=10),
    )
    def run(context: AssetExecutionContext, config: RefreshConfig, warehouse: Warehouse, refresh_run: RefreshRun):
        yield from _build(step, context, warehouse, _read_manifest(), full=config.full and step == "features")

    return run


def _read_manifest() -> Mapping[str, Any]:
    from dagster_dbt.dbt_manifest import validate_manifest

    return validate_manifest(MANIFEST)


dbt_features = _assets("features")
dbt_tiers = _assets("tiers")
dbt_marts = _assets("marts")
