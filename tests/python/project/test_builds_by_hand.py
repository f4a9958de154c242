"""dbt run by hand beside a refreshed warehouse: what it may not publish or empty, what the next refresh makes anew, what its pages say."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from dbt.cli.main import dbtRunner
from own_warehouse import OwnWarehouse, copied

from orchestration import dbt
from orchestration.errors import TierhouseError
from orchestration.history import refreshed_days
from orchestration.project import ensure_manifest


@pytest.fixture(scope="module")
def warehouse(refreshed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnWarehouse]:
    opened = OwnWarehouse(copied(refreshed_home, tmp_path_factory.mktemp("by_hand") / "home"))
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("TIERHOUSE_")]:
        patch.delenv(name)
    for name, value in (opened.running().environment() | {"TIERHOUSE_AS_OF_DATE": "2024-06-30"}).items():
        patch.setenv(name, value)
    yield opened
    patch.undo()
    opened.stop()


@pytest.fixture(scope="module")
def client(warehouse: OwnWarehouse) -> Client:
    return warehouse.client()


@pytest.fixture(scope="module")
def by_hand(warehouse: OwnWarehouse) -> Callable[..., str]:
    """Runs a command of dbt; why it failed, empty where it did not."""

    def run(command: str, *arguments: str) -> str:
        whole = [*dbt._global_arguments(), command, *dbt._paths(warehouse.settings), *arguments]
        # A manifest names databases, so it is of one prefix.
        manifest = dbt._manifest(f"by hand in {os.environ['TIERHOUSE_SCHEMA']}")
        done = dbtRunner(manifest=manifest).invoke(whole)
        if done.success:
            return ""
        return str(done.exception or " ".join(one.message for one in done.result.results if one.status == "error"))

    return run


def is_settled(client: Client) -> bool:
    return bool(client.command("SELECT count() FROM tierhouse_marts.settled_project"))


def test_every_column_that_the_pages_describe_exists(warehouse: OwnWarehouse, client: Client) -> None:
    manifest = json.loads(ensure_manifest(warehouse.settings).read_text(encoding="utf-8"))
    existing = set(client.query("SELECT database, table, name FROM system.columns").result_rows)
    described = {
        (node["schema"], node["alias"], column)
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed")
        for column in node["columns"]
    }
    assert described - existing == set()


def test_every_mart_and_column_tells_in_the_database_what_it_holds(client: Client) -> None:
    in_marts = "WHERE database = 'tierhouse_marts' AND comment = ''"
    assert client.query(f"SELECT name FROM system.tables {in_marts}").result_rows == []
    assert client.query(f"SELECT table, name FROM system.columns {in_marts}").result_rows == []


def test_empty_is_refused_where_the_marts_are_in_use(by_hand: Callable[..., str], client: Client) -> None:
    assert "would leave the views of a warehouse that is in use without rows" in by_hand(
        "run", "--empty", "--select", "stg_orders"
    )
    assert client.command("SELECT count() FROM tierhouse_staging.stg_orders") > 0


def test_another_zone_is_refused(by_hand: Callable[..., str], client: Client, warehouse: OwnWarehouse) -> None:
    assert "are days in Asia/Shanghai, and TIERHOUSE_ZONE is Europe/London" in by_hand(
        "run", "--select", "stg_orders", "--vars", "{zone: Europe/London}"
    )
    assert "Asia/Shanghai" in client.command("SHOW CREATE TABLE tierhouse_staging.stg_orders")
    with pytest.raises(TierhouseError, match="set it to Asia/Shanghai"):
        refreshed_days(client, replace(warehouse.settings, zone="Europe/London"))


def test_where_nothing_has_landed_a_build_says_so(by_hand: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERHOUSE_SCHEMA", "elsewhere")
    assert "nothing has landed yet; run `tierhouse demo`" in by_hand("run", "--select", "stg_orders")


def test_a_test_by_hand_leaves_the_views_to_the_refresh_that_made_them(
    by_hand: Callable[..., str], client: Client
) -> None:
    assert is_settled(client)
    assert by_hand("test", "--select", "unique_dim_products_product_id") == ""
    assert is_settled(client)


def test_a_build_by_hand_takes_away_the_mark_by_which_a_refresh_leaves_views_and_seeds_alone(
    by_hand: Callable[..., str], client: Client
) -> None:
    assert by_hand("run", "--select", "stg_payments") == ""
    assert not is_settled(client)


def test_tiers_without_their_features_are_not_published(by_hand: Callable[..., str], client: Client) -> None:
    shown = "SELECT count(), any(b.build_id) FROM tierhouse_marts.customer_features, tierhouse_snapshots.published_builds AS b"
    before = client.query(shown).result_rows
    failure = by_hand("run", "--select", "candidate_tiers+")
    assert (
        "This build of 2024-06-30 has tiers, but no rows of that day in customer_feature_snapshots, and is not published"
        in failure
    )
    assert client.query(shown).result_rows == before


def test_what_follows_from_a_feature_is_a_whole_build(by_hand: Callable[..., str], client: Client) -> None:
    counts = (
        "SELECT (SELECT count() FROM tierhouse_marts.customer_features), (SELECT count() FROM tierhouse_marts.customer_tiers), "
        "(SELECT count() FROM tierhouse_marts.customer_benefits)"
    )
    before = client.query(counts).result_rows
    build = client.command("SELECT build_id FROM tierhouse_snapshots.published_builds")
    assert by_hand("run", "--select", "feature_snapshot+") == ""
    assert client.command("SELECT build_id FROM tierhouse_snapshots.published_builds") != build
    assert client.query(counts).result_rows == before


def test_a_part_of_the_models_is_not_published_as_another_day(
    by_hand: Callable[..., str], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = "SELECT as_of_date, build_id FROM tierhouse_snapshots.published_builds"
    before = client.query(shown).result_rows
    monkeypatch.setenv("TIERHOUSE_AS_OF_DATE", "2024-06-28")
    failure = by_hand("run", "--select", "customer_order_features+")
    assert "hold 2024-06-30, and this selection would publish 2024-06-28 without making" in failure
    assert "customer_credit_features" in failure and "customer_scores" not in failure
    assert client.query(shown).result_rows == before


def test_tables_of_an_earlier_version_get_the_columns_that_they_lack(
    by_hand: Callable[..., str], client: Client
) -> None:
    lacking = {
        "seeds.labels": "label_zh",
        "tiers.customer_tier_inputs": "cap_rank",
        "tiers.customer_tier_states": "decision",
    }
    asked = {}
    for table in lacking:
        names = [name for name, *_ in client.query(f"DESCRIBE tierhouse_{table}").result_rows]
        asked[table] = f"SELECT {', '.join(names)} FROM tierhouse_{table} ORDER BY ALL"
    rows = {table: client.query(asked[table]).result_rows for table in lacking}
    for table, column in lacking.items():
        client.command(f"ALTER TABLE tierhouse_{table} DROP COLUMN {column}")
    assert by_hand("run", "--select", "customer_tier_inputs", "customer_tier_states") == ""
    assert by_hand("seed", "--select", "labels") == ""
    for table in lacking:
        assert client.query(asked[table]).result_rows == rows[table]
