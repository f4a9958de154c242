"""A refresh with nothing new ends at once; whatever could change its result, or leaves in doubt whether it does, makes it work."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from forked_commands import ForkedCommands
from own_warehouse import REPOSITORY, copied

from orchestration import refresh as refreshing
from orchestration import unchanged
from orchestration.refresh import Published, refresh
from orchestration.unchanged import State, forget, read_state, remember, standing

SCRATCH = "tierhouse_landing.scratch"
LATEST_BUILD = "SELECT argMax(build_id, as_of_date) FROM tierhouse_snapshots.published_builds"


class Shop(ForkedCommands):
    """A refreshed warehouse of its own."""

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=os.environ | self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self) -> State:
        found = read_state(self.client(), self.settings)
        assert found is not None
        return found

    def start_again(self) -> None:
        self.stop()
        self.running()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, refreshed_home: Path) -> Iterator[Shop]:
    made = Shop(copied(refreshed_home, tmp_path_factory.mktemp("shop") / "home"))
    made.tierhouse("refresh")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def day(shop: Shop) -> date:
    return shop.client().query("SELECT max(as_of_date) FROM tierhouse_snapshots.published_builds").result_rows[0][0]


@pytest.fixture
def scratch(shop: Shop) -> Iterator[Client]:
    """A client, and a landed table of two partitions; the first has three parts of two rows."""
    client = shop.client()
    client.command(f"DROP TABLE IF EXISTS {SCRATCH} SYNC")
    client.command(
        f"CREATE TABLE {SCRATCH} (month UInt8, id UInt32, text String) ENGINE = MergeTree PARTITION BY month ORDER BY id "
        "SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1"
    )
    client.command(f"SYSTEM STOP MERGES {SCRATCH}")
    for start in (0, 10, 20):
        client.command(f"INSERT INTO {SCRATCH} VALUES (1, {start}, 'a'), (1, {start + 1}, 'b')")
    client.command(f"INSERT INTO {SCRATCH} VALUES (2, 30, 'c')")
    client.command(f"SYSTEM START MERGES {SCRATCH}")
    yield client
    client.command(f"DROP TABLE IF EXISTS {SCRATCH} SYNC")


def test_a_second_refresh_says_that_nothing_changed_and_leaves_the_build_and_a_row_in_the_log(
    shop: Shop, day: date
) -> None:
    client = shop.client()
    builds = client.query("SELECT * FROM tierhouse_snapshots.published_builds ORDER BY as_of_date").result_rows
    customers = client.command("SELECT count() FROM tierhouse_marts.customer_tiers")
    output = shop.tierhouse("refresh")
    assert output.startswith(f"{day}  unchanged since the refresh of ")
    assert f": the marts stand\n            ({customers} customers; --again remakes them)\n" in output
    assert f"Tiers on {day}" in output and "\nNext: tierhouse explain " in output
    assert client.query("SELECT * FROM tierhouse_snapshots.published_builds ORDER BY as_of_date").result_rows == builds
    rows = client.query(
        "SELECT status, as_of_date, customer_count, message, ended_at IS NULL FROM tierhouse_marts.refresh_runs ORDER BY started_at"
    ).result_rows
    build = client.command(LATEST_BUILD)
    assert [row[0] for row in rows] == ["published", "published", "unchanged"]
    assert rows[-1][1:] == (day, customers, f"build {build} stands", 0)


def test_a_refresh_that_ends_early_loads_none_of_what_it_would_work_with(shop: Shop) -> None:
    code = (
        "import sys; from orchestration.refresh import refresh; "
        "assert [one.unchanged_since is None for one in refresh()] == [False]; "
        "print([name for name in ('dagster', 'dbt.cli', 'great_expectations', 'pandas', 'scipy') if name in sys.modules])"
    )
    assert shop.python("-c", code) == "[]\n"


@pytest.mark.parametrize(
    ("options", "is_made"),
    [
        ({}, False),
        ({"as_of": 0}, False),
        ({"as_of": 1}, True),
        ({"again": True}, True),
        ({"full": True}, True),
        ({"start": 0, "end": 0}, True),
        ({"restate": True, "as_of": 0}, True),
    ],
    ids=str,
)
def test_only_a_plain_refresh_of_the_day_of_the_record_ends_early(
    shop: Shop, day: date, monkeypatch: pytest.MonkeyPatch, options: dict, is_made: bool
) -> None:
    for name, value in shop.variables.items():
        monkeypatch.setenv(name, value)
    made = []
    monkeypatch.setattr(refreshing, "_run", lambda _, one, full: made.append(one) or Published(one, 0))
    monkeypatch.setattr(refreshing, "_restate", lambda *_, **__: made.append("restated") or iter([]))
    client = shop.client()
    remember(client, shop.settings, day, shop.state())
    days = {"as_of", "start", "end"}
    options = {name: day - timedelta(days=value) if name in days else value for name, value in options.items()}
    published = list(refresh(**options))
    assert bool(made) is is_made
    assert any(one.unchanged_since for one in published) is not is_made


def test_equal_states_are_equal_for_another_process_and_after_a_start_of_the_server(
    shop: Shop, scratch: Client
) -> None:
    # A replaced partition leaves a part without rows behind, which the next start takes away.
    scratch.command(f"CREATE TABLE {SCRATCH}_other AS {SCRATCH}")
    scratch.command(f"INSERT INTO {SCRATCH}_other VALUES (2, 30, 'd')")
    scratch.command(f"ALTER TABLE {SCRATCH} REPLACE PARTITION 2 FROM {SCRATCH}_other")
    scratch.command(f"DROP TABLE {SCRATCH}_other SYNC")
    before = shop.state()
    assert shop.state().is_as(before)
    shop.start_again()
    assert shop.state().is_as(before)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {t} VALUES (1, 40, 'd')",
        "INSERT INTO {t} VALUES (3, 40, 'd')",
        "ALTER TABLE {t} DROP PARTITION 2",
        "ALTER TABLE {t} DETACH PARTITION 2",
        "ALTER TABLE {t} REPLACE PARTITION 2 FROM {t}_other",
        "ALTER TABLE {t} ATTACH PARTITION 2 FROM {t}_other",
        "ALTER TABLE {t} MOVE PARTITION 2 TO TABLE {t}_other",
        "ALTER TABLE {t} UPDATE text = 'z' WHERE id = 30 SETTINGS mutations_sync = 2",
        "ALTER TABLE {t} DELETE WHERE id = 30 SETTINGS mutations_sync = 2",
        "DELETE FROM {t} WHERE id = 0",
        "DELETE FROM {t} WHERE id = 0 SETTINGS lightweight_delete_mode = 'lightweight_update_force'",
        "UPDATE {t} SET text = 'z' WHERE id = 0 SETTINGS allow_experimental_lightweight_update = 1",
        "TRUNCATE TABLE {t}",
        "DROP TABLE {t} SYNC",
        "CREATE OR REPLACE TABLE {t} AS {t}_other",
        "EXCHANGE TABLES {t} AND {t}_other",
        "RENAME TABLE {t} TO {t}_elsewhere",
        "ALTER TABLE {t} ADD COLUMN more UInt8",
        "CREATE OR REPLACE VIEW tierhouse_staging.stg_scratch AS SELECT 1 AS one",
        "TRUNCATE TABLE tierhouse_marts.settled_project",
    ],
)
def test_every_statement_that_changes_what_is_read_changes_the_state(
    shop: Shop, scratch: Client, statement: str
) -> None:
    scratch.command(f"CREATE TABLE {SCRATCH}_other AS {SCRATCH}")
    scratch.command(f"INSERT INTO {SCRATCH}_other VALUES (2, 30, 'c')")
    try:
        before = shop.state()
        scratch.command(statement.format(t=SCRATCH))
        assert not shop.state().is_as(before)
    finally:
        for name in ("_other", "_elsewhere"):
            scratch.command(f"DROP TABLE IF EXISTS {SCRATCH}{name} SYNC")
        scratch.command("DROP VIEW IF EXISTS tierhouse_staging.stg_scratch SYNC")


def test_a_merge_changes_nothing_as_long_as_the_server_runs(shop: Shop, scratch: Client) -> None:
    now = shop.state()
    before = replace(now, read_at=now.server_started + 60)
    scratch.command(f"OPTIMIZE TABLE {SCRATCH} FINAL")
    assert scratch.command("SELECT count() FROM system.parts WHERE active AND table = 'scratch'") == 2
    after = shop.state()
    assert after.partitions != before.partitions
    assert replace(after, server_started=now.server_started).is_as(before)
    assert not replace(after, server_started=before.read_at).is_as(before)
    # Another server, after the clock was set back by an hour.
    assert not replace(after, server_started=now.server_started - 3600).is_as(before)


def test_other_rows_under_the_same_block_number_change_the_state(shop: Shop, scratch: Client) -> None:
    def names() -> list[tuple]:
        return (
            shop.client()
            .query("SELECT name, rows FROM system.parts WHERE active AND table = 'scratch' ORDER BY name")
            .result_rows
        )

    scratch.command(f"TRUNCATE TABLE {SCRATCH}")
    shop.start_again()
    shop.client().command(f"INSERT INTO {SCRATCH} VALUES (1, 40, 'd')")
    before, names_before = shop.state(), names()
    shop.client().command(f"TRUNCATE TABLE {SCRATCH}")
    shop.start_again()
    shop.client().command(f"INSERT INTO {SCRATCH} VALUES (1, 40, 'e')")
    # This is why block numbers alone would prove nothing.
    assert names() == names_before
    assert not shop.state().is_as(before)


@pytest.mark.parametrize(
    ("make", "undo"),
    [
        ("CREATE TABLE {t}_other (a UInt8) ENGINE = Memory", "DROP TABLE {t}_other"),
        ("CREATE VIEW {t}_other AS SELECT 1 AS a", "DROP VIEW {t}_other"),
        (
            "ALTER TABLE {t} UPDATE text = toString(throwIf(1)) WHERE 1 SETTINGS mutations_sync = 0",
            "KILL MUTATION WHERE table = 'scratch'",
        ),
    ],
    ids=["another engine", "a view among what comes in", "an unfinished mutation"],
)
def test_without_a_proof_there_is_no_state(shop: Shop, scratch: Client, make: str, undo: str) -> None:
    scratch.command(make.format(t=SCRATCH))
    try:
        assert read_state(scratch, shop.settings) is None
    finally:
        scratch.command(undo.format(t=SCRATCH))
    assert read_state(scratch, shop.settings) is not None


def test_on_a_cluster_there_is_no_state_and_no_record(shop: Shop) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was called")

    settings = replace(shop.settings, target="cluster", cluster="east")
    nobody: Client = Untouchable()  # type: ignore[assignment]
    assert read_state(nobody, settings) is None
    assert standing(nobody, settings, date(2026, 1, 1), None) is None
    forget(nobody, settings)
    remember(nobody, settings, date(2026, 1, 1), None)


def test_logs_are_no_part_of_the_state_and_every_other_table_of_ours_is(shop: Shop) -> None:
    found = {
        name
        for (name,) in shop.client()
        .query("SELECT concat(database, '.', name) FROM system.tables WHERE startsWith(database, 'tierhouse_')")
        .result_rows
    }
    left_out = found - shop.state().tables.keys()
    marts = {name for name in left_out if name.startswith("tierhouse_marts.")}
    assert marts == {
        f"tierhouse_marts.{name}" for name in ("refresh_runs", "data_quality_results", "load_audit", "refreshed_state")
    }
    others = {name.split(".")[0] for name in left_out - marts}
    assert others == {"tierhouse_incoming", "tierhouse_quarantine"}


def test_no_model_reads_what_the_state_leaves_out() -> None:
    sources = (REPOSITORY / "models" / "staging" / "_staging__sources.yml").read_text(encoding="utf-8")
    sql = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "models").rglob("*.sql"))
    for name in (*unchanged._LOGS, *unchanged._NOT_READ):
        assert f"{name}" not in sql
        assert f"name: {name}\n" not in sources


def test_another_zone_program_or_package_is_another_state(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shop.state()
    assert not replace(shop.state(), program="another").is_as(before)
    in_another_zone = read_state(shop.client(), replace(shop.settings, zone="Europe/Berlin"))
    assert in_another_zone is not None and not in_another_zone.is_as(before)

    (tmp_path / "some_package-2.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not shop.state().is_as(before)
    monkeypatch.undo()
    assert shop.state().is_as(before)

    monkeypatch.setenv("DBT_WARN_ERROR", "1")
    assert not shop.state().is_as(before)
    monkeypatch.undo()

    code = tmp_path / "orchestration" / "new.py"
    code.parent.mkdir()
    code.touch()
    monkeypatch.setattr(unchanged, "PROJECT_DIR", tmp_path)
    of_nothing = shop.state()
    code.write_text("1")
    assert not shop.state().is_as(of_nothing)


def test_a_missing_file_of_a_model_is_another_state(shop: Shop) -> None:
    file = shop.settings.home / "models" / "some" / "0123456789ab.json"
    file.parent.mkdir(parents=True)
    file.touch()
    before = shop.state()
    file.unlink()
    assert not shop.state().is_as(before)


def test_a_record_stands_for_its_day_until_it_is_forgotten_or_something_changes(
    shop: Shop, day: date, scratch: Client
) -> None:
    remember(scratch, shop.settings, day, shop.state())
    found = standing(scratch, shop.settings, day, shop.state())
    assert found is not None
    assert found.build_id == scratch.command(LATEST_BUILD)
    assert standing(scratch, shop.settings, day - timedelta(days=1), shop.state()) is None
    assert standing(scratch, shop.settings, day, None) is None
    scratch.command(f"INSERT INTO {SCRATCH} VALUES (1, 50, 'f')")
    assert standing(scratch, shop.settings, day, shop.state()) is None
    remember(scratch, shop.settings, day, shop.state())
    assert standing(scratch, shop.settings, day, shop.state()) is not None
    forget(scratch, shop.settings)
    assert standing(scratch, shop.settings, day, shop.state()) is None


def test_what_lands_while_a_refresh_runs_leaves_no_record(shop: Shop, day: date, scratch: Client) -> None:
    forget(scratch, shop.settings)
    before = shop.state()
    scratch.command(f"INSERT INTO {SCRATCH} VALUES (1, 60, 'g')")
    remember(scratch, shop.settings, day, before)
    assert standing(scratch, shop.settings, day, shop.state()) is None


def test_a_program_that_changes_while_a_refresh_runs_is_not_the_one_of_the_record(
    shop: Shop, day: date, scratch: Client
) -> None:
    remember(scratch, shop.settings, day, replace(shop.state(), program="before"))
    assert standing(scratch, shop.settings, day, shop.state()) is None
    assert standing(scratch, shop.settings, day, replace(shop.state(), program="before")) is not None


def test_a_record_that_another_version_wrote_counts_as_none(shop: Shop, day: date, scratch: Client) -> None:
    remember(scratch, shop.settings, day, shop.state())
    scratch.command(
        "INSERT INTO tierhouse_marts.refreshed_state SELECT * REPLACE ('{\"parts\": 1}' AS state) FROM tierhouse_marts.refreshed_state"
    )
    scratch.command("DELETE FROM tierhouse_marts.refreshed_state WHERE state != '{\"parts\": 1}'")
    assert standing(scratch, shop.settings, day, shop.state()) is None
