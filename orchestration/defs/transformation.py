"""The dbt models as assets, in three groups, because Python steps and quality gates stand between them.

features: staging, facts, features, seeds. tiers: scoring, tiers, snapshots. marts: the published build, and the views on it.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets
from dagster_dbt.errors import DagsterDbtError

from orchestration.defs.partitions import daily
from orchestration.defs.resources import RefreshRun, Warehouse
from orchestration.project import ensure_manifest, target_directory
from orchestration.progress import report
from orchestration.warehouse.settings import Settings

MANIFEST = ensure_manifest(Settings.from_environment())

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
    step: str, context: dg.AssetExecutionContext, dbt: DbtCliResource, warehouse: Warehouse, full: bool
) -> Iterator[object]:
    settings = warehouse.settings()
    os.environ.update(settings.environment())
    # In the environment and not as dbt variables: other variables would make dbt parse the project anew.
    os.environ.update(TIERHOUSE_AS_OF_DATE=context.partition_key, TIERHOUSE_BUILD_ID=context.run_id)
    arguments = ["build"]
    if full:
        # Stored days are kept: only the facts are made anew from landing.
        arguments.append("--full-refresh")
    target = target_directory(settings) / "runs" / f"{context.run_id}-{step}"
    _share_parse(target_directory(settings), target)
    invocation = dbt.cli(arguments, context=context, target_path=target)
    try:
        for event in invocation.stream():
            report(step, event)
            yield event
    except DagsterDbtError as error:
        raise dg.Failure(failure_line(target, str(error)), allow_retries=_is_connection_error(str(error))) from error
    shutil.rmtree(target, ignore_errors=True)


def _share_parse(source: Path, target: Path) -> None:
    """Let this invocation start from the parsed project instead of parsing it again."""
    target.mkdir(parents=True, exist_ok=True)
    parsed = source / "partial_parse.msgpack"
    if parsed.exists():
        shutil.copy(parsed, target / parsed.name)


def failure_line(target: Path, otherwise: str) -> str:
    """The first failed node of a dbt run and its message, in one line."""
    path = target / "run_results.json"
    if path.exists():
        for result in json.loads(path.read_text(encoding="utf-8"))["results"]:
            if result["status"] in ("error", "fail"):
                kind, _, name, *_ = result["unique_id"].split(".")
                return f"{kind} {name} failed: {' '.join((result['message'] or '').split())}"
    return " ".join(otherwise.split())[:500]


def _is_connection_error(text: str) -> bool:
    return any(sign in text for sign in ("Connection refused", "ConnectionError", "Connection reset", "timed out"))


def _assets(step: str) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=MANIFEST,
        name=f"dbt_{step}",
        select=SELECTIONS[step],
        exclude=EXCLUSIONS[step],
        partitions_def=daily(),
        retry_policy=dg.RetryPolicy(max_retries=2, delay=10),
    )
    def run(
        context: dg.AssetExecutionContext,
        config: RefreshConfig,
        dbt: DbtCliResource,
        warehouse: Warehouse,
        refresh_run: RefreshRun,
    ):
        yield from _build(step, context, dbt, warehouse, full=config.full and step == "features")

    return run


dbt_features = _assets("features")
dbt_tiers = _assets("tiers")
dbt_marts = _assets("marts")
