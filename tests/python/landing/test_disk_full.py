"""A disk that fills up: one clear line, nothing lost, nothing half kept, and the next run with room repairs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from deliveries import line, order, write_orders
from landing_warehouse import Warehouse, free_port

from orchestration.errors import TierhouseError
from orchestration.failures import told_in_one_line
from orchestration.landing import land_directory, repair
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TABLES = ("orders", "order_lines")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 128 MiB."""
    folder = tmp_path_factory.mktemp("disk")
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted here (it takes root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def cramped(disk: Path) -> Iterator[Warehouse]:
    """A warehouse on the small disk."""
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(disk / "home"), "TIERHOUSE_PORT": str(free_port())})
    settings = ensure_running(settings)
    server = running_server(settings.home)
    assert server is not None
    client = connect(settings)
    repair(client, settings)
    yield Warehouse(client, settings)
    client.close()
    os.kill(server.pid, signal.SIGTERM)


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    lines = [line(number, place) for number in (1, 2, 3) for place in (1, 2)]
    return write_orders(tmp_path / "batch", [order(1), order(2), order(3)], [*lines, line(1, 3, quantity="-1")])


def fill(disk: Path) -> None:
    """Leave no free byte."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def make_room(disk: Path) -> None:
    (disk / "filler").unlink(missing_ok=True)


class FillingClient:
    """A client before whose n-th statement the disk fills up."""

    def __init__(self, client, disk: Path, statements: int) -> None:
        self._client, self._disk, self.left = client, disk, statements

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if name not in ("command", "query", "insert", "raw_insert"):
            return method

        def filling(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                fill(self._disk)
            return method(*arguments, **options)

        return filling


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=ROOT, env=os.environ | settings.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_disk_that_fills_at_any_statement_of_a_landing_loses_and_doubles_nothing(cramped, disk, delivery):
    settings = type(cramped.settings)(**{**vars(cramped.settings), "refusal_limit": 1.0})
    counting = FillingClient(cramped.client, disk, 10**6)
    land_directory(counting, settings, delivery)
    total = 10**6 - counting.left
    expected = {table: cramped.contents(table) for table in TABLES}
    assert [len(rows) for rows in expected.values()] == [3, 6]
    failed = 0
    for statements in [*range(6, total - 13, 13), *range(total - 13, total + 1, 3)]:
        for table in (
            "landing.orders",
            "landing.order_lines",
            "quarantine.order_lines",
            "marts.load_audit",
            "incoming.journal",
        ):
            layer, name = table.split(".")
            cramped.client.command(f"TRUNCATE TABLE {cramped.settings.database(layer)}.{name} SYNC")
        try:
            land_directory(FillingClient(cramped.client, disk, statements), settings, delivery)
        except (TierhouseError, DatabaseError, OSError) as error:
            failed += 1
            said = str(error) if isinstance(error, TierhouseError) else told_in_one_line(error)
            assert said and "\n" not in said and "full" in said, said
        finally:
            make_room(disk)
        repair(cramped.client, settings)
        found = {table: cramped.contents(table) for table in TABLES}
        assert found in (expected, {table: [] for table in TABLES}), statements
        land_directory(cramped.client, settings, delivery)
        assert {table: cramped.contents(table) for table in TABLES} == expected, statements
        assert cramped.one("SELECT count() FROM {quarantine}.order_lines FINAL") == 1
        assert cramped.one("SELECT sum(landed) FROM {marts}.load_audit") == 9
    assert failed > 4


def test_the_commands_say_that_the_disk_is_full_in_one_line_and_go_on_when_there_is_room(cramped, disk, delivery):
    settings = type(cramped.settings)(**{**vars(cramped.settings), "refusal_limit": 1.0})
    land_directory(cramped.client, settings, delivery)
    before = {table: cramped.contents(table) for table in TABLES}
    fill(disk)
    try:
        for arguments in (("land", str(delivery)), ("refresh",)):
            finished = run(settings, *arguments)
            assert finished.returncode == 1 and finished.stdout == ""
            assert finished.stderr.startswith("tierhouse: the disk ") and finished.stderr.count("\n") == 1
        assert {table: cramped.contents(table) for table in TABLES} == before
    finally:
        make_room(disk)
    finished = run(settings, "land", str(delivery))
    assert finished.returncode == 0, finished.stderr
    assert {table: cramped.contents(table) for table in TABLES} == before


def test_what_rewrites_parts_is_refused_on_a_full_disk_instead_of_waiting_for_room(cramped, disk):
    client = cramped.client
    client.command("CREATE OR REPLACE TABLE rewritten (p UInt8, a UInt64) ENGINE = MergeTree PARTITION BY p ORDER BY a")
    client.command("CREATE OR REPLACE TABLE dropped ENGINE = MergeTree ORDER BY a AS SELECT 1 AS a")
    client.command("INSERT INTO rewritten SELECT number % 2, number FROM numbers(1000)")
    fill(disk)
    try:
        for statement in (
            "DELETE FROM rewritten WHERE a < 10",
            "ALTER TABLE rewritten DELETE WHERE a < 10 SETTINGS mutations_sync = 2",
            "ALTER TABLE rewritten UPDATE p = 1 WHERE a = 3 SETTINGS mutations_sync = 2",
        ):
            with pytest.raises(DatabaseError, match="NOT_ENOUGH_SPACE"):
                client.command(statement)
        assert client.command("SELECT count() FROM rewritten") == 1000
        client.command("DROP TABLE dropped SYNC")
    finally:
        make_room(disk)
    client.command("DELETE FROM rewritten WHERE a < 10")
    assert client.command("SELECT count() FROM rewritten") == 990
    client.command("DROP TABLE rewritten SYNC")
