"""The dbt models as assets, in three groups, because Python steps and quality gates stand between them.

features: staging, facts, features, seeds. tiers: scoring, tiers, snapshots. marts: the published build, and the views on it.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext
from dagster_dbt import DagsterDbtTranslator, dbt_assets
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from orchestration import days_in_work
from orchestration.dbt import DbtFailure, build, one_by_one
from orchestration.defs.partitions import daily
from orchestration.defs.resources import RefreshRun, Warehouse
from orchestration.defs.retries import again_where_disconnected
from orchestration.operations import is_project_settled, is_published, settle_project, unsettle_project
from orchestration.progress import report
from orchestration.project import ensure_manifest, is_settled_node, project_version
from orchestration.warehouse.settings import Settings

MANIFEST = ensure_manifest(Settings.from_environment())


class LayerTranslator(DagsterDbtTranslator):
    """One rule: the layer is the database, the first part of the asset key, and the group."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return self.get_asset_key(dbt_resource_props).path[0]


TRANSLATOR = LayerTranslator()

SELECTIONS = {
    "features": "resource_type:seed fqn:tierhouse.staging fqn:tierhouse.facts fqn:tierhouse.features",
    "tiers": "fqn:tierhouse.scoring fqn:tierhouse.tiers fqn:tierhouse.snapshots",
    "marts": "published_builds fqn:tierhouse.marts",
}
PUBLISHED = dg.AssetKey(["snapshots", "published_builds"])
# What is_settled_node() names; built unless this very project made all of it.
SETTLED = "config.materialized:view resource_type:seed"
# Unit tests check the code, not the day: `make test` runs them.
EXCLUSIONS = {
    "features": "resource_type:unit_test",
    "tiers": "resource_type:unit_test published_builds",
    "marts": "resource_type:unit_test",
}


class RefreshConfig(dg.Config):
    """How a refresh treats what is already there."""

    full: bool = False


@cache
def _manifest() -> Mapping[str, Any]:
    from dagster_dbt.dbt_manifest import validate_manifest

    return validate_manifest(MANIFEST)


def settled_keys() -> set[dg.AssetKey]:
    """Asset keys of the nodes that SETTLED names."""
    return {TRANSLATOR.get_asset_key(node) for node in _manifest()["nodes"].values() if is_settled_node(node)}


def _build(step: str, context: AssetExecutionContext, warehouse: Warehouse, full: bool) -> Iterator[Any]:
    selected = context.selected_asset_keys
    is_whole_step = _STEPS[step].keys - selected <= settled_keys()
    # Asset keys end with the name of the model.
    select = SELECTIONS[step].split() if is_whole_step else sorted(key.path[-1] for key in selected)
    exclude = EXCLUSIONS[step].split()
    settings, client = warehouse.settings(), warehouse.client()
    version = project_version(settings)
    is_settled = not full and is_project_settled(client, settings, version)
    if not is_settled:
        # Until the last step has made the views of the marts too.
        unsettle_project(client, settings)
    elif is_whole_step:
        exclude += SETTLED.split()
    arguments = ["--select", *select, "--exclude", *exclude]
    if full:
        arguments.append("--full-refresh")
    if full or not is_settled:
        arguments += one_by_one(settings)
    if step == "tiers":
        days_in_work.begin(client, settings, date.fromisoformat(context.partition_key), context.run.run_id)
    unchanged = set(selected & settled_keys()) if is_settled and is_whole_step else set()
    for event in build(settings, context.run.run_id, context.partition_key, arguments):
        report(step, event)
        key = _asset_key(event)
        if key is None or key in selected:
            if key is not None:
                # Dagster wants what is not made again before what follows from it.
                unchanged.discard(key)
                yield from _unchanged_before(key, step, unchanged)
            message = DbtCoreCliEventMessage(raw_event=dict(event), event_history_metadata={})
            yield from message.to_default_asset_events(_manifest(), TRANSLATOR, context)
    if PUBLISHED in selected and not is_published(client, settings, context.run.run_id):
        # As where a run that failed is gone on with: the rows of the build have the name of the run that made them.
        raise dg.Failure(
            f"nothing is published: this run has not made the tiers of {context.partition_key}; run the whole day again (re-execute all)"
        )
    if step == "marts" and is_whole_step and not is_settled:
        settle_project(client, settings, version)
    while unchanged:
        key = min(unchanged)
        yield from _unchanged_before(key, step, unchanged)
        yield _as_it_was(key, unchanged)


def _unchanged_before(key: dg.AssetKey, step: str, unchanged: set[dg.AssetKey]) -> Iterator[dg.MaterializeResult]:
    """Results of those of `unchanged` that an asset follows from, each behind what it follows from itself."""
    for parent in sorted(_STEPS[step].asset_deps[key] & unchanged):
        yield from _unchanged_before(parent, step, unchanged)
        if parent in unchanged:
            yield _as_it_was(parent, unchanged)


def _as_it_was(key: dg.AssetKey, unchanged: set[dg.AssetKey]) -> dg.MaterializeResult:
    """The result of a view, which shows what is new below it without being made again, or of a seed."""
    unchanged.remove(key)
    return dg.MaterializeResult(asset_key=key, metadata={"definition": "unchanged"})


def _asset_key(event: Mapping[str, Any]) -> dg.AssetKey | None:
    """Key of the model or seed that an event reports on; None for tests."""
    node = _manifest()["nodes"].get(event["data"]["node_info"]["unique_id"], {})
    return TRANSLATOR.get_asset_key(node) if node.get("resource_type") in ("model", "seed") else None


def _assets(step: str) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=MANIFEST,
        dagster_dbt_translator=TRANSLATOR,
        name=f"dbt_{step}",
        select=SELECTIONS[step],
        exclude=EXCLUSIONS[step],
        partitions_def=daily(),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def run(context: AssetExecutionContext, config: RefreshConfig, warehouse: Warehouse, refresh_run: RefreshRun):
        try:
            with again_where_disconnected():
                yield from _build(step, context, warehouse, full=config.full and step == "features")
        except DbtFailure as failure:
            raise dg.Failure(str(failure)) from None

    return run


dbt_features = _assets("features")
dbt_tiers = _assets("tiers")
dbt_marts = _assets("marts")
_STEPS = {"features": dbt_features, "tiers": dbt_tiers, "marts": dbt_marts}
