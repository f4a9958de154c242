"""The Dagster definitions load without a warehouse and hold what the schedule needs."""

import socket

import dagster as dg
import pytest

from orchestration.definitions import defs
from orchestration.defs.transformation import SELECTIONS
from orchestration.landing.contract import TABLES

LAYERS = {"landing", "staging", "facts", "features", "predictive", "scoring", "tiers", "snapshots", "marts", "seeds"}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """Loaded while no socket opens: definitions must not look at the network."""
    patch = pytest.MonkeyPatch()

    def refuse(*_: object) -> None:
        raise AssertionError("definitions opened a connection while loading")

    patch.setattr(socket.socket, "connect", refuse)
    loaded = defs()
    graph = loaded.resolve_asset_graph()
    patch.undo()
    assert graph is not None
    return loaded


def test_every_asset_is_named_by_layer_and_table_and_grouped_by_layer(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert len(spec.key.path) == 2
        assert spec.key.path[0] in LAYERS
        assert spec.group_name == spec.key.path[0]


def test_one_lineage_runs_from_landing_to_marts(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found = {dg.AssetKey(["marts", "customer_tiers"])}
    frontier = set(found)
    while frontier:
        frontier = {parent for key in frontier for parent in graph.get(key).parent_keys} - found
        found |= frontier
    for table in ("orders", "order_lines", "refunds", "customers", "invoices", "payments", "products"):
        assert dg.AssetKey(["landing", table]) in found
    assert dg.AssetKey(["predictive", "potential"]) in found


def test_all_landing_tables_are_assets(definitions: dg.Definitions) -> None:
    keys = {spec.key for spec in definitions.resolve_all_asset_specs()}
    assert {dg.AssetKey(["landing", name]) for name in TABLES} <= keys


def test_marts_alone_have_a_freshness_policy(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert (spec.freshness_policy is not None) == (spec.key.path[0] == "marts")


def test_it_runs_at_five_every_morning_and_on_mondays_in_the_business_zone(definitions: dg.Definitions) -> None:
    daily = definitions.resolve_schedule_def("daily_at_five")
    weekly = definitions.resolve_schedule_def("weekly_on_monday")
    assert (daily.cron_schedule, daily.execution_timezone) == ("0 5 * * *", "Asia/Shanghai")
    assert (weekly.cron_schedule, weekly.execution_timezone) == ("0 6 * * 1", "Asia/Shanghai")


def test_no_step_has_a_retry_policy_which_would_try_again_what_somebody_ends(definitions: dg.Definitions) -> None:
    for job in ("weekly_refresh", "weekly_predictions", "monthly_evaluation", "quarterly_review"):
        nodes = definitions.resolve_job_def(job).graph.nodes
        assert [node.name for node in nodes if node.definition.retry_policy] == [] and nodes


def test_a_refresh_judges_landing_inputs_and_the_build(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("daily_refresh")
    names = {node.name for node in job.graph.nodes}
    assert {"quality_of_landing", "quality_of_inputs", "quality_of_marts"} <= names
    assert {f"dbt_{step}" for step in SELECTIONS} <= names


@pytest.mark.parametrize("name", ["daily_refresh", "weekly_refresh"])
@pytest.mark.parametrize(
    ("step", "gate"),
    [
        ("dbt_features", "quality_of_landing"),
        ("predictive__potential", "quality_of_inputs"),
        ("dbt_tiers", "quality_of_inputs"),
        ("dbt_marts", "quality_of_marts"),
    ],
)
def test_a_step_of_a_refresh_waits_for_the_gate_before_it(
    definitions: dg.Definitions, name: str, step: str, gate: str
) -> None:
    dependencies = definitions.resolve_job_def(name).graph.dependencies
    (inputs,) = (found for node, found in dependencies.items() if node.name == step)
    assert gate in {output.node for one in inputs.values() for output in one.get_node_dependencies()}


def test_what_is_materialized_without_a_job_is_one_process_too_and_so_one_refresh(definitions: dg.Definitions) -> None:
    jobs = definitions.get_repository_def().get_all_jobs()
    assert "__ASSET_JOB" in {job.name for job in jobs}
    assert {job.executor_def.name for job in jobs} == {"in_process"}


def test_dbt_tests_are_asset_checks(definitions: dg.Definitions) -> None:
    checks = {check.asset_key.path[-1] for check in definitions.resolve_asset_graph().asset_check_keys}
    assert {"customer_tiers", "fct_orders", "score_weights"} <= checks


def test_predictions_run_on_mondays_in_a_job_of_their_own(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("predictions_on_monday")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 8 * * 1", "Asia/Shanghai")
    weekly = {node.name for node in definitions.resolve_job_def("weekly_predictions").graph.nodes}
    daily = {node.name for node in definitions.resolve_job_def("daily_refresh").graph.nodes}
    assert {"predictive__product_recommendations", "predictive__sales_forecast"} <= weekly
    assert not weekly & daily


def test_models_are_judged_monthly_and_thresholds_quarterly_in_jobs_of_their_own(definitions: dg.Definitions) -> None:
    judged = definitions.resolve_schedule_def("evaluation_on_the_first")
    reviewed = definitions.resolve_schedule_def("review_on_the_first_of_a_quarter")
    assert (judged.cron_schedule, judged.execution_timezone) == ("0 9 1 * *", "Asia/Shanghai")
    assert (reviewed.cron_schedule, reviewed.execution_timezone) == ("0 10 1 1,4,7,10 *", "Asia/Shanghai")
    daily = {node.name for node in definitions.resolve_job_def("daily_refresh").graph.nodes}
    for job, asset in (("monthly_evaluation", "model_evaluation"), ("quarterly_review", "threshold_review")):
        names = {node.name for node in definitions.resolve_job_def(job).graph.nodes}
        assert names == {f"predictive__{asset}"} and not names & daily
