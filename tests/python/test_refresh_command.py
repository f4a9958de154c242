"""The refresh as a command: days it refuses, a second one beside it, a kill in the middle, settings that are wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from forked_commands import ForkedCommands
from own_warehouse import REPOSITORY, OwnWarehouse, copied

from orchestration import days_in_work, dbt, history, project, refresh
from orchestration.defs import transformation
from orchestration.defs.resources import RefreshRun
from orchestration.errors import TierhouseError
from orchestration.lock import writer_lock
from orchestration.operations import drop_unpublished_builds
from orchestration.project import dbt_executable, project_version
from orchestration.refresh import check_days, choose_days, last_complete_day
from orchestration.warehouse.client import connect, running_server
from orchestration.warehouse.settings import Settings

FIRST, LAST = date(2026, 1, 5), date(2026, 3, 9)
COMPLETE = LAST - timedelta(days=1)


def test_the_default_day_and_the_default_end_of_a_range_are_the_last_complete_one() -> None:
    assert choose_days(FIRST, COMPLETE) == [date(2026, 3, 8)]
    assert choose_days(FIRST, COMPLETE, start=date(2026, 3, 7)) == [date(2026, 3, 7), date(2026, 3, 8)]


def test_an_order_dated_ahead_makes_no_day_complete(own_warehouse: Settings) -> None:
    client = connect(own_warehouse, autogenerate_session_id=False)
    orders = f"{own_warehouse.database('landing')}.orders"
    client.command(f"CREATE DATABASE IF NOT EXISTS {own_warehouse.database('landing')}")
    client.command(f"CREATE TABLE {orders} (_loaded_at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY tuple()")
    # In Shanghai the morning of the day of the last order.
    client.command(f"INSERT INTO {orders} VALUES ('{LAST - timedelta(days=1)} 23:59:59')")
    complete = partial(last_complete_day, client, own_warehouse, FIRST)
    assert complete(LAST) == LAST - timedelta(days=1)
    assert complete(LAST + timedelta(days=1)) == LAST - timedelta(days=1)
    assert complete(LAST - timedelta(days=9)) == LAST - timedelta(days=10)
    assert complete(FIRST) == FIRST
    client.command(f"DROP TABLE {orders}")


def test_a_range_holds_every_day_of_it() -> None:
    assert choose_days(FIRST, COMPLETE, start=date(2026, 2, 27), end=date(2026, 3, 1)) == [
        date(2026, 2, 27),
        date(2026, 2, 28),
        date(2026, 3, 1),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"as_of": date(2026, 1, 4)}, "before the first order"),
        ({"as_of": date(2026, 3, 10)}, "after the last order"),
        ({"start": date(2026, 3, 2), "end": date(2026, 3, 1)}, "swap them"),
        ({"as_of": date(2026, 2, 1), "start": date(2026, 2, 1)}, "one or the other"),
    ],
)
def test_a_day_outside_the_orders_is_refused(arguments: dict[str, date], message: str) -> None:
    with pytest.raises(TierhouseError, match=message):
        check_days(choose_days(FIRST, COMPLETE, **arguments), FIRST, LAST)


def test_a_restatement_never_knows_less_than_the_day_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last day of the data may not be complete, and can be published all the same."""
    known: dict[date, date] = {}
    yesterday, later = LAST - timedelta(days=1), LAST - timedelta(days=2)
    replaced = {
        "published_days": lambda *_: [FIRST, later, LAST],
        "build_facts": lambda *_: None,
        "build_day": lambda _client, _settings, day, until: known.update({day: until}) or 1,
        "decide_again": lambda *_, **__: [],
    }
    for name, function in replaced.items():
        monkeypatch.setattr(history, name, function)
    monkeypatch.setattr(days_in_work, "end", lambda *_: None)
    list(refresh._restate(cast(Client, None), cast(Settings, None), [later, yesterday, LAST], yesterday))
    assert known == {later: yesterday, LAST: LAST}


def test_a_second_writer_is_told_who_runs_or_waits_for_it(tmp_path: Path) -> None:
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})
    code = (
        "import sys, time; from orchestration.lock import writer_lock; from orchestration.warehouse.settings import Settings\n"
        "with writer_lock(Settings.from_environment(), 'tierhouse refresh'): print('held', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"TIERHOUSE_HOME": str(tmp_path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with (
            pytest.raises(TierhouseError, match=rf"`tierhouse refresh` is running \(process {holder.pid}, since"),
            writer_lock(settings, "tierhouse land orders"),
        ):
            pass
        # A run of Dagster waits for it, and says so once.
        said: list[str] = []
        threading.Timer(0.7, holder.kill).start()
        with writer_lock(settings, "tierhouse refresh", patience_seconds=60.0, waiting=said.append):
            assert holder.wait() == -signal.SIGKILL
        assert [one.partition(" (")[0] for one in said] == ["`tierhouse refresh` is running"]
    finally:
        holder.kill()
        holder.wait()
    with writer_lock(settings, "tierhouse land orders"):
        assert json.loads((tmp_path / "writer.lock").read_text())["what"] == "tierhouse land orders"


def test_the_project_is_the_same_for_every_user_and_another_in_another_zone() -> None:
    settings = Settings.from_environment({})
    assert project_version(replace(settings, user="somebody")) == project_version(settings)
    assert project_version(replace(settings, zone="Europe/Berlin")) != project_version(settings)


def test_a_manifest_of_another_project_or_prefix_or_a_damaged_one_is_made_anew_whatever_the_times_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})
    parsed: list[str] = []

    def parse(_: Settings) -> None:
        parsed.append(model.read_text())
        manifest.write_text('{"nodes": {}}')

    monkeypatch.setattr(dbt, "parse", parse)
    monkeypatch.setattr(project, "PROJECT_DIR", tmp_path)
    model, manifest = tmp_path / "model.sql", project.target_directory(settings) / "manifest.json"
    monkeypatch.setattr(project, "_project_files", lambda: [model])
    for content in ("select 1", "select 1", "select 2"):
        model.write_text(content)
        # As unpacked from an archive, or another checkout that has lain there for long.
        os.utime(model, (0, 0))
        project.ensure_manifest(settings)
    assert parsed == ["select 1", "select 2"]
    project.ensure_manifest(replace(settings, prefix="other"))
    assert parsed[2:] == ["select 2"]
    # As a machine leaves it that goes down.
    for damaged in ('{"nodes"', "", "\0" * len('{"nodes": {}}')):
        parsed.clear()
        manifest.write_text(damaged)
        for _ in range(2):
            project.ensure_manifest(replace(settings, prefix="other"))
        assert parsed == ["select 2"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, refreshed_home: Path) -> Iterator[OwnWarehouse]:
    """A warehouse of its own, refreshed for one day."""
    made = ForkedCommands(copied(refreshed_home, tmp_path_factory.mktemp("shop") / "home"))
    yield made
    made.stop()


def _published_day(client: Client) -> str:
    return str(client.command("SELECT toString(max(as_of_date)) FROM tierhouse_snapshots.published_builds"))


def _marts(client: Client) -> dict[str, list[tuple]]:
    names = ("customer_tiers", "customer_features", "tier_distribution", "tier_value_contribution", "tier_migration")
    return {name: sorted(client.query(f"SELECT * FROM tierhouse_marts.{name}").result_rows, key=str) for name in names}


def test_a_refresh_killed_before_it_publishes_shows_nothing_and_the_next_one_repairs_it_and_makes_what_was_dropped(
    shop: OwnWarehouse,
) -> None:
    client = shop.client()
    day = _published_day(client)
    published = "SELECT as_of_date, build_id FROM tierhouse_snapshots.published_builds"
    shown, before = client.query(published).result_rows, _marts(client)
    refresh = shop.start("refresh", "--as-of", day, "--again")
    ours = "SELECT count() FROM tierhouse_marts.refresh_runs WHERE status = 'running'"
    built = "SELECT uniqExact(build_id) FROM tierhouse_snapshots.customer_tier_snapshots"
    builds = client.command(built)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and refresh.poll() is None:
        try:
            if client.command(built) > builds:
                break
        except ClickHouseError:
            pass
        time.sleep(0.1)
    refresh.kill()
    refresh.communicate()
    assert client.query(published).result_rows == shown, "the refresh published before it could be killed"
    assert client.command(ours) == 1
    assert _marts(client) == before
    assert client.command("SELECT count() FROM tierhouse_marts.refreshed_state") == 0, (
        "a later one would take it for done"
    )

    # Nor does the next one take for made what somebody has dropped.
    client.command("DROP VIEW tierhouse_marts.tier_reasons")
    client.command("DROP TABLE tierhouse_seeds.tier_benefits")
    assert f"{day}  " in shop.tierhouse("refresh", "--as-of", day)
    for dropped in ("tierhouse_marts.tier_reasons", "tierhouse_seeds.tier_benefits"):
        assert client.command(f"SELECT count() > 0 FROM {dropped}") == 1
    statuses = [
        row[0]
        for row in client.query("SELECT status FROM tierhouse_marts.refresh_runs ORDER BY started_at").result_rows
    ]
    assert statuses[-2:] == ["killed", "published"]
    leftovers = client.query(
        "SELECT DISTINCT build_id FROM tierhouse_snapshots.customer_tier_snapshots WHERE build_id NOT IN "
        "(SELECT build_id FROM tierhouse_snapshots.published_builds)"
    ).result_rows
    assert leftovers == []


@pytest.mark.parametrize(
    "names", [("dagster/partition",), ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")]
)
def test_a_day_of_a_job_and_one_of_a_backfill_hold_the_lock_and_stand_in_the_log(
    shop: OwnWarehouse, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    client = shop.client()
    day = _published_day(client)
    for name, value in shop.variables.items():
        monkeypatch.setenv(name, value)
    run = SimpleNamespace(run_id=f"run by {names[0]}", tags=dict.fromkeys(names, day))
    context = cast("dg.InitResourceContext", SimpleNamespace(dagster_run=run, instance=None, log=None))
    logged = f"SELECT status, message FROM tierhouse_marts.refresh_runs WHERE run_id = '{run.run_id}'"
    with RefreshRun().yield_for_execution(context):
        assert (
            json.loads((shop.settings.home / "writer.lock").read_text())["what"] == f"tierhouse refresh --as-of {day}"
        )
        assert client.query(logged).result_rows == [("running", "")]
    assert client.query(logged).result_rows == [("failed", "nothing was published: a part of the refresh ran")]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({}, "no day is given; choose a partition"),
        (
            {"dagster/asset_partition_range_start": "2026-03-01", "dagster/asset_partition_range_end": "2026-03-02"},
            "one run refreshes one day, not 2026-03-01 to 2026-03-02",
        ),
        ({"dagster/partition": "2100-01-01"}, "as-of date 2100-01-01 is after the last order"),
    ],
)
def test_a_run_of_dagster_without_a_day_of_several_days_or_of_a_day_without_data_is_refused_before_it_changes_anything(
    shop: OwnWarehouse, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str], message: str
) -> None:
    for name, value in shop.variables.items():
        monkeypatch.setenv(name, value)
    count = "SELECT count() FROM tierhouse_marts.refresh_runs"
    before = shop.client().command(count)
    run = SimpleNamespace(run_id="refused", tags=tags)
    context = cast("dg.InitResourceContext", SimpleNamespace(dagster_run=run, instance=None, log=None))
    with pytest.raises(TierhouseError, match=message), RefreshRun().yield_for_execution(context):
        pass
    assert shop.client().command(count) == before


def test_a_run_that_publishes_without_having_made_the_day_fails_and_says_what_to_do(
    shop: OwnWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = shop.client()
    published = "SELECT * FROM tierhouse_snapshots.published_builds ORDER BY as_of_date"
    before = client.query(published).result_rows
    # dbt finds no rows of such a build, and writes none.
    monkeypatch.setattr(transformation, "build", lambda *_: iter(()))
    context = SimpleNamespace(
        selected_asset_keys={transformation.PUBLISHED},
        run=SimpleNamespace(run_id="gone on with"),
        partition_key=_published_day(client),
    )
    warehouse = SimpleNamespace(settings=lambda: shop.settings, client=lambda: client)
    with pytest.raises(dg.Failure) as failure:
        list(transformation._build("marts", cast("Any", context), cast("Any", warehouse), full=False))
    assert "run the whole day again" in str(failure.value.description)
    assert client.query(published).result_rows == before


def test_a_table_that_a_killed_run_left_behind_goes_when_it_is_a_day_old(shop: OwnWarehouse) -> None:
    client = shop.client()
    left = "tierhouse_tiers.customer_tier_inputs__dbt_new_data_1"
    client.command(f"CREATE TABLE {left} ENGINE = MergeTree ORDER BY x AS SELECT 1 AS x")
    drop_unpublished_builds(client, shop.settings)
    assert client.command(f"EXISTS TABLE {left}") == 1, "dbt by hand may be filling it"

    data = client.command("SELECT metadata_path FROM system.tables WHERE name = 'customer_tier_inputs__dbt_new_data_1'")
    yesterday = time.time() - 90_000
    os.utime(shop.settings.home / "warehouse" / "data" / str(data), (yesterday, yesterday))
    drop_unpublished_builds(client, shop.settings)
    assert client.command(f"EXISTS TABLE {left}") == 0


def test_dbt_build_by_hand_works_beside_the_running_server(shop: OwnWarehouse, tmp_path: Path) -> None:
    day = _published_day(shop.client())
    running = running_server(shop.settings.home)
    assert running is not None
    by_hand = {
        "TIERHOUSE_PORT": str(running.port),
        "DBT_PROFILES_DIR": str(REPOSITORY),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
        "TIERHOUSE_AS_OF_DATE": day,
    }
    done = subprocess.run(
        [dbt_executable(), "build", "--exclude", "resource_type:unit_test"],
        cwd=REPOSITORY,
        env=os.environ | shop.variables | by_hand,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_failed_refresh_says_one_line_and_leaves_the_marts(shop: OwnWarehouse) -> None:
    client = shop.client()
    before = _marts(client)
    day = _published_day(client)
    # The landed orders are made unreadable to the models, as a wrong migration would.
    client.command("RENAME TABLE tierhouse_landing.invoices TO tierhouse_landing.invoices_elsewhere")
    client.command(
        "CREATE TABLE tierhouse_landing.invoices ENGINE = MergeTree ORDER BY tuple() AS "
        "SELECT * EXCEPT (due_on) FROM tierhouse_landing.invoices_elsewhere"
    )
    try:
        code, _, errors = shop.run("refresh", "--as-of", day)
    finally:
        client.command("DROP TABLE tierhouse_landing.invoices")
        client.command("RENAME TABLE tierhouse_landing.invoices_elsewhere TO tierhouse_landing.invoices")
    assert code == 1
    assert len(errors.strip().splitlines()) == 1
    assert errors.startswith(f"tierhouse: refresh of {day} failed, the marts are as before:")
    status, message = client.query(
        "SELECT status, message FROM tierhouse_marts.refresh_runs ORDER BY started_at DESC LIMIT 1"
    ).result_rows[0]
    assert status == "failed"
    assert message and message in errors
    assert _marts(client) == before
    assert client.command("SELECT count() FROM tierhouse_marts.refreshed_state") == 0, (
        "a later one would take it for done"
    )


def test_what_fails_in_dbt_is_told_by_the_command_and_its_log_and_not_by_dbt_itself(
    shop: OwnWarehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    client, settings, day = shop.client(), shop.running(), _published_day(shop.client())
    client.command("RENAME TABLE tierhouse_facts.dim_customers TO tierhouse_facts.elsewhere")
    try:
        with dbt._environment_of(settings), pytest.raises(dbt.DbtFailure, match="model feature_snapshot failed"):
            list(
                dbt.build(
                    settings, "fails", day, ["--select", "feature_snapshot", "--exclude", "resource_type:unit_test"]
                )
            )
    finally:
        client.command("RENAME TABLE tierhouse_facts.elsewhere TO tierhouse_facts.dim_customers")
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""
    assert "tierhouse_facts.dim_customers" in (settings.home / "logs" / "dbt.log").read_text()


def test_an_unreachable_server_is_one_line(shop: OwnWarehouse) -> None:
    code, _, errors = shop.run("refresh", TIERHOUSE_TARGET="server", CLICKHOUSE_HOST="127.0.0.1", CLICKHOUSE_PORT="9")
    assert code == 1
    assert len(errors.strip().splitlines()) == 1
    assert "127.0.0.1" in errors


def test_a_wrong_password_is_one_line_without_the_password(shop: OwnWarehouse) -> None:
    running = running_server(shop.settings.home)
    assert running is not None
    code, _, errors = shop.run(
        "refresh",
        TIERHOUSE_TARGET="server",
        CLICKHOUSE_HOST="127.0.0.1",
        CLICKHOUSE_PORT=str(running.port),
        CLICKHOUSE_USER="nobody",
        CLICKHOUSE_PASSWORD="a-secret",
    )
    assert code == 1
    assert len(errors.strip().splitlines()) == 1
    assert "a-secret" not in errors
