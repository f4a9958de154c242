"""The quality gates in a Dagster job: they stand between the steps, and behind a gate that fails nothing runs.

The steps that build tables are stand-ins with the asset keys of the real ones; the gates are the real ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client
from small_warehouse import DAY, make_small_warehouse, plant

from orchestration.defs.partitions import daily
from orchestration.defs.quality import quality_of_inputs, quality_of_landing, quality_of_marts
from orchestration.defs.resources import RefreshRun, Warehouse
from orchestration.quality.checks import Build
from orchestration.quality.suites import TABLES
from orchestration.warehouse.settings import Settings


class SmallWarehouse(Warehouse):
    """The warehouse of the test: its prefix and home come from the test, not from the environment."""

    prefix: str
    home: str
    port: int

    def settings(self) -> Settings:
        variables = {"TIERHOUSE_HOME": self.home, "TIERHOUSE_PORT": str(self.port), "TIERHOUSE_SCHEMA": self.prefix}
        return Settings.from_environment(variables)


class NoLock(RefreshRun):
    """The bookkeeping of a refresh, left out."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[RefreshRun]:
        yield self


def stand_ins(client: Client, build: Build) -> list[dg.AssetsDefinition]:
    """The dbt steps: the first two change nothing, the third publishes the build of its run."""

    def step(name: str, keys: list[list[str]], deps: list[list[str]], body: Any) -> dg.AssetsDefinition:
        @dg.multi_asset(
            name=name, specs=[dg.AssetSpec(key, deps=deps) for key in keys], partitions_def=daily(), can_subset=False
        )
        def run(context: dg.AssetExecutionContext) -> Any:
            body(context)
            for key in keys:
                yield dg.MaterializeResult(asset_key=key)

        return run

    def build_snapshots(context: dg.AssetExecutionContext) -> None:
        for layer, table in TABLES["marts"]:
            if layer != "snapshots":
                continue
            name = build.table(layer, table)
            client.command(f"INSERT INTO {name} SELECT * REPLACE ('{context.run.run_id}' AS build_id) FROM {name}")

    def publish(context: dg.AssetExecutionContext) -> None:
        table = build.table("snapshots", "published_builds")
        client.command(f"INSERT INTO {table} SELECT toDate('{DAY}'), '{context.run.run_id}', 2")

    def nothing(context: dg.AssetExecutionContext) -> None: ...

    landing, inputs = [list(asset) for asset in TABLES["landing"]], TABLES["facts"] + TABLES["features"]
    features, snapshots = [list(asset) for asset in inputs], [list(asset) for asset in TABLES["marts"]]
    return [
        step("dbt_features", features, landing, nothing),
        step("dbt_tiers", snapshots, [["features", "feature_snapshot"]], build_snapshots),
        step("dbt_marts", [["snapshots", "published_builds"]], snapshots, publish),
    ]


@pytest.fixture
def build(client, settings, request) -> Build:
    """A small warehouse whose build of today is not there yet."""
    return make_small_warehouse(client, settings, request.node.name.lower()[:50])


def refresh(client: Client, build: Build) -> dg.ExecuteInProcessResult:
    """Run the job of stand-ins and gates for the day."""
    settings = build.settings
    job = dg.define_asset_job(
        "refresh",
        selection=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
        executor_def=dg.in_process_executor,
    )
    definitions = dg.Definitions(
        assets=[*(dg.AssetSpec(list(asset)) for asset in TABLES["landing"]), *stand_ins(client, build)],
        asset_checks=[quality_of_landing, quality_of_inputs, quality_of_marts],
        jobs=[job],
        resources={
            "warehouse": SmallWarehouse(prefix=settings.prefix, home=str(settings.home), port=settings.port),
            "refresh_run": NoLock(),
        },
    )
    return definitions.resolve_job_def("refresh").execute_in_process(
        partition_key=DAY.isoformat(), instance=dg.DagsterInstance.ephemeral(), raise_on_error=False
    )


def steps(result: dg.ExecuteInProcessResult, kind: str = "STEP_SUCCESS") -> list[str]:
    return [event.step_key for event in result.all_events if event.event_type_value == kind and event.step_key]


def reason(result: dg.ExecuteInProcessResult, step: str) -> str:
    return result.failure_data_for_node(step).user_failure_data.description


def published(client: Client, build: Build) -> list[str]:
    rows = client.query(f"SELECT build_id FROM {build.table('snapshots', 'published_builds')} ORDER BY as_of_date")
    return [build_id for (build_id,) in rows.result_rows]


def test_gates_stand_between_the_steps_and_let_good_data_through(client, build):
    result = refresh(client, build)
    assert result.success
    assert steps(result) == [
        "quality_of_landing",
        "dbt_features",
        "quality_of_inputs",
        "dbt_tiers",
        "quality_of_marts",
        "dbt_marts",
    ]
    assert published(client, build) == ["build-of-yesterday", result.run_id]


def test_what_landed_broken_never_reaches_the_facts(client, build):
    plant(client, build, "landing.orders", {"status": "'unheard of'", "_loaded_at": "_loaded_at + 1"})
    result = refresh(client, build)
    assert not result.success and steps(result) == []
    assert reason(result, "quality_of_landing").startswith("landing.orders: status_known failed (1 violation): status")
    assert published(client, build) == ["build-of-yesterday"]


def test_broken_features_stop_before_the_tiers(client, build):
    plant(client, build, "features.feature_snapshot", {"order_count_7d": "9"})
    result = refresh(client, build)
    assert not result.success and steps(result) == ["quality_of_landing", "dbt_features"]
    assert "features.feature_snapshot: " in reason(result, "quality_of_inputs")
    assert published(client, build) == ["build-of-yesterday"]


def test_a_broken_build_is_not_published_and_one_line_says_why(client, build):
    client.command(f"INSERT INTO {build.table('seeds', 'tier_standards')} SELECT toDate('2024-01-01'), 'bronze'")
    result = refresh(client, build)
    assert not result.success and steps(result)[-1] == "dbt_tiers"
    line = reason(result, "quality_of_marts")
    assert "\n" not in line and line.startswith(
        "snapshots.customer_tier_snapshots: tier_of_the_ladder failed (1 violation): The tier is one of the ladder"
    )
    assert published(client, build) == ["build-of-yesterday"]


def test_a_build_made_of_broken_predictions_is_not_published(client, build):
    plant(client, build, "predictive.churn", {"p_defected": "2.", "customer_id": "3"})
    result = refresh(client, build)
    assert not result.success and steps(result)[-1] == "dbt_tiers"
    assert reason(result, "quality_of_marts").startswith("predictive.churn: chances_in_range failed (1 violation)")
    assert published(client, build) == ["build-of-yesterday"]


def test_a_warning_is_recorded_and_lets_the_refresh_go_on(client, build):
    plant(client, build, "landing.invoices", {"due_on": "issued_on - 1", "_loaded_at": "_loaded_at + 1"})
    result = refresh(client, build)
    assert result.success
    warned = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [(check.asset_key.path, check.severity) for check in warned] == [
        (["landing", "invoices"], dg.AssetCheckSeverity.WARN)
    ]
