"""A landing that dies at any point: the next landing or refresh leaves all of its batch or nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from deliveries import line, order, write_orders

from orchestration.business_zone import keep_zone
from orchestration.landing import land_directory, repair

TABLES = ("orders", "order_lines")


class Killed(BaseException):
    """The end of the process, as far as the warehouse can tell."""


class MortalClient:
    """A client whose process dies with the n-th statement: no statement after it reaches the warehouse."""

    def __init__(self, client, statements: int) -> None:
        self._client, self.left = client, statements

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if name not in ("command", "query", "insert", "raw_insert"):
            return method

        def mortal(*arguments, **options):
            self.left -= 1
            if self.left < 0:
                raise Killed
            return method(*arguments, **options)

        return mortal


@pytest.fixture
def delivery(warehouse, tmp_path):
    # The first landing alone writes the zone down: all of a test are to take the same statements.
    keep_zone(warehouse.client, warehouse.settings)
    lines = [line(1, 1), line(1, 2, unit_price="¥2.55"), line(2), line(2), line(2, 2, quantity="-1")]
    return write_orders(tmp_path / "batch", [order(1), order(2)], lines)


def test_a_kill_at_any_statement_leaves_all_or_nothing(warehouse, delivery):
    unlimited = type(warehouse.settings)(**{**vars(warehouse.settings), "refusal_limit": 1.0})
    counting = MortalClient(warehouse.client, 10**6)
    land_directory(counting, unlimited, delivery)
    total = 10**6 - counting.left
    expected = {table: warehouse.contents(table) for table in TABLES}
    outcomes = set()
    # The last statements commit; before them nothing has landed, so a few points are enough there.
    for statements in [*range(5, total - 26, 23), *range(total - 26, total, 2)]:
        for table in TABLES:
            warehouse.client.command(f"TRUNCATE TABLE {warehouse.settings.database('landing')}.{table}")
        for table in ("quarantine.order_lines", "marts.load_audit", "incoming.journal"):
            layer, name = table.split(".")
            warehouse.client.command(f"TRUNCATE TABLE {warehouse.settings.database(layer)}.{name}")
        with pytest.raises(Killed):
            land_directory(MortalClient(warehouse.client, statements), unlimited, delivery)
        repair(warehouse.client, unlimited)
        found = {table: warehouse.contents(table) for table in TABLES}
        assert found in (expected, {table: [] for table in TABLES}), statements
        outcomes.add(bool(found["orders"]))
        assert warehouse.one("SELECT count() FROM {marts}.load_audit") == (2 if found["orders"] else 0)
        assert warehouse.one("SELECT count() FROM {quarantine}.order_lines") == (1 if found["orders"] else 0)
        assert warehouse.rows("SHOW TABLES FROM {incoming}") == [("journal",)]
        assert repair(warehouse.client, unlimited) is None
    assert outcomes == {True, False}


def test_a_kill_while_rows_are_tidied_leaves_nothing_of_the_batch(warehouse, delivery):
    unlimited = type(warehouse.settings)(**{**vars(warehouse.settings), "refusal_limit": 1.0})
    statements: list[str] = []

    class Listening(MortalClient):
        def __getattr__(self, name):
            method = super().__getattr__(name)
            if name not in ("command", "query", "insert", "raw_insert"):
                return method

            def listening(*arguments, **options):
                statements.append(str(arguments[0]))
                return method(*arguments, **options)

            return listening

    land_directory(Listening(warehouse.client, 10**6), unlimited, delivery)
    expected = warehouse.contents("order_lines")
    tidying = [number for number, text in enumerate(statements) if "order_lines__faulty" in text]
    assert any("INSERT INTO" in statements[number] for number in tidying)
    for table in ("landing.orders", "landing.order_lines", "quarantine.order_lines"):
        layer, name = table.split(".")
        warehouse.client.command(f"TRUNCATE TABLE {warehouse.settings.database(layer)}.{name}")
    for number in tidying:
        with pytest.raises(Killed):
            land_directory(MortalClient(warehouse.client, number), unlimited, delivery)
        assert "had not begun to land" in (repair(warehouse.client, unlimited) or "")
        assert warehouse.contents("order_lines") == warehouse.contents("orders") == []
        assert warehouse.one("SELECT count() FROM {quarantine}.order_lines") == 0
        assert warehouse.rows("SHOW TABLES FROM {incoming}") == [("journal",)]
    land_directory(warehouse.client, unlimited, delivery)
    assert warehouse.contents("order_lines") == expected


def test_half_an_attached_table_is_completed(warehouse, delivery):
    unlimited = type(warehouse.settings)(**{**vars(warehouse.settings), "refusal_limit": 1.0})
    counting = MortalClient(warehouse.client, 10**6)
    land_directory(counting, unlimited, delivery)
    expected = warehouse.contents("order_lines")
    total = 10**6 - counting.left
    for table in ("landing.orders", "landing.order_lines", "marts.load_audit", "incoming.journal"):
        layer, name = table.split(".")
        warehouse.client.command(f"TRUNCATE TABLE {warehouse.settings.database(layer)}.{name}")
    database = warehouse.settings.database("landing")
    for statements in range(total, 0, -1):
        with pytest.raises(Killed):
            land_directory(MortalClient(warehouse.client, statements - 1), unlimited, delivery)
        if warehouse.one("SELECT count() FROM {incoming}.journal WHERE state = 'landed'") == 0:
            break
        for layer, name in (("landing", "orders"), ("landing", "order_lines"), ("incoming", "journal")):
            warehouse.client.command(f"TRUNCATE TABLE {warehouse.settings.database(layer)}.{name}")
    warehouse.client.command(f"DELETE FROM {database}.order_lines WHERE line_no = 2")
    assert "carried to its end" in (repair(warehouse.client, unlimited) or "")
    assert warehouse.contents("order_lines") == expected


def test_a_landing_process_killed_by_the_system_frees_the_lock_and_is_repaired(warehouse, delivery):
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from orchestration.landing import journal, land_directory
        from orchestration.warehouse.client import connect
        from orchestration.warehouse.settings import Settings

        def wait(*arguments):
            print("deciding", flush=True)
            sys.stdin.read()

        journal.commit = wait
        settings = Settings.from_environment()
        land_directory(connect(settings), settings, Path(sys.argv[1]))
        """
    )
    environment = os.environ | warehouse.settings.environment() | {"TIERHOUSE_REFUSAL_LIMIT": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(delivery)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "deciding\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "had not begun to land" in (repair(warehouse.client, warehouse.settings) or "")
    assert warehouse.land(delivery, limit=1)["order_lines"].landed == 3
