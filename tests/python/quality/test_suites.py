"""The expectation suites against small tables made by hand: good data pass, each planted fault is found and kept."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from small_warehouse import BUILD, DAY, make_small_warehouse, plant

from orchestration.operations import create_refresh_runs
from orchestration.quality.checks import LAYERS, Build, Result
from orchestration.quality.results import latest_results
from orchestration.quality.suites import TABLES, run_suites


@pytest.fixture
def build(client, settings, request) -> Build:
    """A small warehouse of its own for each test, under a prefix made of the test's name."""
    name = re.sub(r"[^a-z0-9]", "_", request.node.name.lower())[-50:]
    return make_small_warehouse(client, settings, f"q_{name}")


def judge(build: Build, *layers: str) -> list[Result]:
    return run_suites(build.settings, layers, build.as_of, build.build_id)


def failed(results: list[Result]) -> set[tuple[str, str]]:
    return {(result.asset[1], result.expectation) for result in results if not result.is_success}


def test_good_data_pass_every_expectation_of_every_table(build):
    results = judge(build, *LAYERS)
    assert [result.line() for result in results if not result.is_success] == []
    judged = {result.asset for result in results}
    assert {asset for layer in ("facts", "features", "marts") for asset in TABLES[layer]} <= judged
    assert {asset[1] for asset in judged if asset[0] == "landing"} == {"orders", "order_lines", "invoices"}


def test_faults_in_what_landed_are_found(build, client):
    plant(client, build, "landing.order_lines", {"quantity": "-1", "_loaded_at": "_loaded_at + 1"})
    plant(client, build, "landing.invoices", {"due_on": "issued_on - 1", "_loaded_at": "_loaded_at + 1"})
    plant(
        client,
        build,
        "landing.orders",
        {"status": "'unheard of'", "_loaded_at": "_loaded_at + 1"},
        {"_loaded_at": "toDateTime64(0, 3, 'UTC')"},
    )
    results = judge(build, "landing")
    assert failed(results) == {
        ("orders", "status_known"),
        ("orders", "load_time_present"),
        ("order_lines", "quantity_not_negative"),
        ("invoices", "due_after_issued"),
    }
    assert {result.expectation for result in results if not result.blocks and not result.is_success} == {
        "due_after_issued"
    }


def test_a_version_of_the_first_day_that_lands_is_good_and_none_is_found(build, client):
    late = {"_loaded_at": "_loaded_at + 1"}
    plant(client, build, "landing.orders", late | {"updated_at": "toDateTime64('1970-01-02 00:00:00', 3, 'UTC')"})
    assert failed(judge(build, "landing")) == set()
    plant(client, build, "landing.orders", late | {"updated_at": "toDateTime64(0, 3, 'UTC')"})
    assert failed(judge(build, "landing")) == {("orders", "update_time_present")}


def test_faults_in_what_the_models_say_of_the_day_are_found_and_other_days_are_not_read(build, client):
    other_day = {"as_of_date": "as_of_date - 1", "customer_id": "customer_id"}
    plant(client, build, "predictive.potential", {"headroom_share": "nan", "customer_id": "3"}, {})
    plant(client, build, "predictive.potential_parts", {"potential_index_v2": "1.5", "customer_id": "3"})
    plant(
        client,
        build,
        "predictive.churn",
        {"p_defected": "1.01", "customer_id": "3"},
        {"gap_ratio": "inf", "customer_id": "4"},
        {"value_at_risk": "toDecimal64(-1, 2)", "churn_risk": "'none'", "customer_id": "5"},
        other_day | {"p_no_order_30d": "-1."},
    )
    plant(
        client,
        build,
        "predictive.lifetime_value",
        {"p_alive": "-0.1", "expected_order_count_365d": "nan", "customer_id": "3"},
        {},
        other_day,
    )
    assert failed(judge(build, "marts")) == {
        ("potential", "one_row_per_customer"),
        ("potential", "shares_in_range"),
        ("potential", "second_version_in_range"),
        ("churn", "chances_in_range"),
        ("churn", "silence_is_a_number"),
        ("churn", "value_at_risk_not_negative"),
        ("churn", "risk_known"),
        ("lifetime_value", "one_row_per_customer"),
        ("lifetime_value", "chances_in_range"),
        ("lifetime_value", "expected_orders_are_a_number"),
    }


def test_a_day_whose_predictions_are_no_longer_kept_can_be_judged(build, client):
    for table in TABLES["marts"]:
        if table[0] == "predictive":
            client.command(f"TRUNCATE TABLE {build.table(*table)}")
    client.command(f"TRUNCATE TABLE {build.table('predictive', 'potential_parts')}")
    assert failed(judge(build, "marts")) == set()


def test_landing_without_orders_is_found(build, client):
    client.command(f"TRUNCATE TABLE {build.table('landing', 'orders')}")
    assert failed(judge(build, "landing")) == {("orders", "not_empty")}


def test_rows_that_landed_before_the_last_published_refresh_are_not_read_again(build, client):
    plant(
        client,
        build,
        "landing.orders",
        {"status": "'unheard of'"},
        {"status": "'paid'", "_loaded_at": "_loaded_at + 60"},
    )
    assert failed(judge(build, "landing")) == {("orders", "status_known")}
    runs = f"{build.settings.database('marts')}.refresh_runs"
    create_refresh_runs(client, build.settings)
    client.command(f"INSERT INTO {runs} (run_id, started_at, status) VALUES ('1', '2024-07-01 01:00:30', 'published')")
    assert failed(judge(build, "landing")) == set()


def test_rows_that_landed_after_the_last_published_refresh_are_judged_where_the_clock_was_set_back_between(
    build, client
):
    plant(client, build, "landing.orders", {"status": "'unheard of'"})
    runs = f"{build.settings.database('marts')}.refresh_runs"
    create_refresh_runs(client, build.settings)
    # A day after all that has landed, by the clock of then.
    client.command(
        f"INSERT INTO {runs} (run_id, started_at, status, landed_until) "
        "SELECT '1', max(_loaded_at) + 86400, 'published', max(_loaded_at) - toIntervalMillisecond(1) "
        f"FROM {build.table('landing', 'orders')}"
    )
    assert failed(judge(build, "landing")) == {("orders", "status_known")}
    client.command(
        f"INSERT INTO {runs} (run_id, status, landed_until) "
        f"SELECT '2', 'published', max(landed_until) + toIntervalMillisecond(1) FROM {runs}"
    )
    assert failed(judge(build, "landing")) == set()


def test_the_results_shown_are_those_of_the_last_run_where_the_clock_was_set_back_between(build, client):
    plant(client, build, "landing.orders", {"status": "'unheard of'"})
    judge(build, "landing")
    table = f"{build.settings.database('marts')}.data_quality_results"
    client.command(f"CREATE TABLE {table}_ahead AS {table}")
    client.command(f"INSERT INTO {table}_ahead SELECT * REPLACE (evaluated_at + 3600 AS evaluated_at) FROM {table}")
    client.command(f"EXCHANGE TABLES {table}_ahead AND {table}")
    run_suites(build.settings, ["landing"], build.as_of, "a later run")
    assert {row["run_id"] for row in latest_results(client, build.settings)} == {"a later run"}


def test_faults_in_facts_are_found(build, client):
    plant(
        client,
        build,
        "facts.fct_orders",
        {"known_to": "known_from"},
        {"net_amount": "net_amount + 1"},
        {"order_id": "9", "line_count": "0"},
        {"order_id": "8", "is_valid": "0"},
    )
    plant(
        client,
        build,
        "facts.fct_order_lines",
        {"gross_amount": "gross_amount + 0.01"},
        {"order_id": "7", "cost_amount": "1"},
    )
    plant(client, build, "facts.dim_customers", {"customer_status": "'asleep'"})
    plant(client, build, "facts.dim_products", {})
    plant(client, build, "landing.refunds", {})
    plant(client, build, "landing.orders", {"_loaded_at": "_loaded_at + 1"})
    assert failed(judge(build, "facts")) == {
        ("fct_orders", "period_has_length"),
        ("fct_orders", "net_is_gross_less_refunds"),
        ("fct_orders", "one_version_at_cutoff"),
        ("fct_orders", "valid_orders_have_lines"),
        ("fct_orders", "void_orders_have_no_value"),
        ("fct_order_lines", "value_is_quantity_times_price"),
        ("fct_order_lines", "unknown_cost_is_zero"),
        ("fct_order_lines", "lines_add_up_to_orders"),
        ("dim_customers", "one_row_per_customer"),
        ("dim_customers", "status_known"),
        ("dim_products", "one_row_per_product"),
        ("fct_watermark", "facts_hold_all_that_landed"),
    }


def test_faults_in_features_are_found(build, client):
    plant(
        client,
        build,
        "features.feature_snapshot",
        {"order_count_7d": "9", "overdue_share": "1.5"},
        {"customer_id": "3", "last_order_date": "as_of_date + 1"},
        {"customer_id": "4", "order_count_to_date": "0", "as_of_date": "as_of_date - 1"},
        {"customer_id": "5", "average_order_value_90d": "NULL", "overdue_amount": "11"},
    )
    assert failed(judge(build, "features")) == {
        ("feature_snapshot", "of_the_day"),
        ("feature_snapshot", "one_row_per_customer"),
        ("feature_snapshot", "sales_of_the_facts"),
        ("feature_snapshot", "ordered_at_least_once"),
        ("feature_snapshot", "order_counts_grow_with_window"),
        ("feature_snapshot", "last_order_not_ahead"),
        ("feature_snapshot", "average_exists_with_orders"),
        ("feature_snapshot", "overdue_share_in_range"),
        ("feature_snapshot", "overdue_within_receivable"),
    }


def test_a_tier_set_by_hand_that_does_not_count_is_told_and_blocks_nothing(build, client):
    plant(
        client,
        build,
        "tiers.tier_overrides",
        {"override_status": "'superseded'"},
        {"override_status": "'unknown_tier'"},
    )
    results = judge(build, "marts")
    assert failed(results) == {("tier_overrides", "override_counts")}
    assert not any(result.blocks for result in results)


def test_faults_in_the_build_are_found(build, client):
    plant(
        client,
        build,
        "snapshots.customer_tier_snapshots",
        {"tier": "'platinum'", "decision": "'guessed'"},
        {"customer_id": "3", "r_score": "1.5", "total_score": "0.51"},
        {"customer_id": "4", "m_score": "nan", "config_version": "'v2'", "predicted_margin_365d": "toDecimal64(9, 2)"},
    )
    plant(client, build, "snapshots.customer_feature_snapshots", {"potential_index": "-0.1"})
    plant(client, build, "snapshots.tier_value_contribution_snapshots", {})
    plant(client, build, "snapshots.tier_migration_snapshots", {"share_of_from": "0.5", "from_date": "as_of_date"})
    assert failed(judge(build, "marts")) == {
        ("customer_tier_snapshots", "one_row_per_customer"),
        ("customer_tier_snapshots", "customers_of_the_features"),
        ("customer_tier_snapshots", "tier_of_the_ladder"),
        ("customer_tier_snapshots", "predicted_margin_of_a_model"),
        ("customer_tier_snapshots", "decision_known"),
        ("customer_tier_snapshots", "scores_in_range"),
        ("customer_tier_snapshots", "scores_are_numbers"),
        ("customer_tier_snapshots", "contributions_add_up"),
        ("customer_tier_snapshots", "one_configuration"),
        ("customer_feature_snapshots", "one_row_per_customer"),
        ("customer_feature_snapshots", "as_many_customers_as_tiers"),
        ("customer_feature_snapshots", "potential_in_range"),
        ("tier_distribution_snapshots", "as_many_customers_as_tiers"),
        ("tier_distribution_snapshots", "sales_of_the_customers"),
        ("tier_value_contribution_snapshots", "one_row_per_tier"),
        ("tier_value_contribution_snapshots", "as_many_customers_as_tiers"),
        ("tier_value_contribution_snapshots", "shares_add_up"),
        ("tier_migration_snapshots", "from_an_earlier_day"),
        ("tier_migration_snapshots", "shares_add_up"),
    }


def test_other_builds_of_the_day_do_not_count(build, client):
    plant(client, build, "snapshots.customer_tier_snapshots", {"tier": "'platinum'", "build_id": "'build-of-noon'"})
    assert failed(judge(build, "marts")) == set()


def test_a_base_that_loses_most_of_its_customers_overnight_is_found(build, client):
    plant(client, build, "snapshots.published_builds", {"as_of_date": f"toDate('{DAY}') - 2", "customer_count": "1000"})
    assert failed(judge(build, "marts")) == set()
    client.command(f"TRUNCATE TABLE {build.table('snapshots', 'published_builds')}")
    assert failed(judge(build, "marts")) == set()
    client.command(f"INSERT INTO {build.table('snapshots', 'published_builds')} SELECT toDate('{DAY}') - 1, 'b', 1000")
    assert failed(judge(build, "marts")) == {("customer_tier_snapshots", "base_did_not_collapse")}


def test_a_missing_table_fails_with_the_words_of_the_engine(build, client):
    client.command(f"DROP TABLE {build.table('facts', 'dim_products')}")
    (result,) = [result for result in judge(build, "facts") if not result.is_success]
    assert result.blocks and result.unexpected_count is None
    assert "dim_products" in result.observed_value and "\n" not in result.line()


def test_results_are_kept_once_per_run_and_layer_with_a_comment_on_every_column(build, client):
    table = f"{build.settings.database('marts')}.data_quality_results"
    count = len(judge(build, "facts", "features"))
    assert len(judge(build, "facts", "features")) == count
    stored = client.query(
        f"SELECT layer, count(), uniqExact(table_name, expectation) FROM {table} GROUP BY layer"
    ).result_rows
    assert sum(rows for _, rows, _ in stored) == count and all(rows == distinct for _, rows, distinct in stored)
    run_suites(build.settings, ["features"], DAY, "another run")
    assert client.query(f"SELECT uniqExact(run_id) FROM {table} WHERE layer = 'features'").result_rows == [(2,)]
    comments = client.query(
        "SELECT comment FROM system.columns WHERE database = {database:String} AND table = 'data_quality_results'",
        parameters={"database": build.settings.database("marts")},
    ).result_rows
    assert len(comments) == 11 and all(comment for (comment,) in comments)


def test_data_docs_are_plain_pages_that_name_what_failed_and_load_nothing(build, client, tmp_path):
    build = replace(build, settings=replace(build.settings, home=tmp_path, target="server"))
    plant(client, build, "features.feature_snapshot", {"customer_id": "9", "order_count_7d": "9"})
    judge(build, "facts")
    judge(build, "features")
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "data_docs").iterdir()}
    assert set(pages) == {"index.html", "facts.html", "features.html"}
    assert "order_counts_grow_with_window" in pages["features.html"] and BUILD in pages["index.html"]
    for page in pages.values():
        links = re.findall(r"(?:href|src)=\"([^\"]*)\"", page)
        assert "<script" not in page and "://" not in page and set(links) <= set(pages)


def test_nothing_is_written_outside_the_home(build, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    judge(build, "facts")
    assert list(tmp_path.rglob("*")) == []


def test_a_look_at_the_file_of_every_module_loads_none_of_those_that_wait_for_their_use():
    # dbt does so, by inspect.stack(), once per command.
    code = """
import inspect, sys
import orchestration.quality.validation
inspect.stack()
assert "norm" not in vars(sys.modules["scipy.stats"])
import scipy.stats
assert abs(scipy.stats.norm.cdf(0) - 0.5) < 1e-12
assert not hasattr(scipy.stats, "no_such_name")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
