"""A refresh that is cut off while stored days follow: the next one makes every day follow from the day before it again.

What is right is told by the same history refreshed day by day without an interruption, and by `tierhouse replay`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest import mock

import pytest
from clickhouse_connect.driver.client import Client
from forked_commands import ForkedCommands
from own_warehouse import REPOSITORY, OwnWarehouse, copied

from orchestration import days_in_work, history
from orchestration.doctor import examine
from orchestration.refresh import refresh

DAYS = [date(2024, 6, day) for day in range(28, 31)]
STATES = "SELECT * FROM tierhouse_tiers.customer_tier_states ORDER BY as_of_date, policy, customer_id"
SHOWN = (
    "SELECT * EXCEPT (build_id) FROM tierhouse_snapshots.customer_tier_snapshots "
    "WHERE (as_of_date, build_id) IN (SELECT as_of_date, build_id FROM tierhouse_snapshots.published_builds) "
    "ORDER BY as_of_date, customer_id"
)


# A refresh of a range whose process ends when the first day has its inputs but not its states.
ENDS_AFTER_THE_INPUTS = """
import os, sys
from datetime import date
from orchestration import dbt
from orchestration.refresh import refresh

build = dbt.build

def cut_off(*arguments, **more):
    for event in build(*arguments, **more):
        node = event["data"]["node_info"]
        if node["node_name"] == "customer_tier_inputs" and node["node_status"] == "success":
            os._exit(9)
        yield event

dbt.build = cut_off
for _ in refresh(start=date.fromisoformat(sys.argv[1]), end=date.fromisoformat(sys.argv[2])):
    pass
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, refreshed_home: Path) -> Iterator[Path]:
    """A home with a few stored days, refreshed in order, whose server has ended."""
    made = ForkedCommands(copied(refreshed_home, tmp_path_factory.mktemp("finished") / "home"))
    made.tierhouse("refresh", "--from", str(DAYS[0]), "--to", str(DAYS[1]))
    made.stop()
    yield made.settings.home


@pytest.fixture
def shop(tmp_path: Path, finished: Path) -> Iterator[OwnWarehouse]:
    made = ForkedCommands(copied(finished, tmp_path / "home"))
    # A build in this process leaves its own variables, which no other test may find.
    with mock.patch.dict(os.environ, made.variables):
        made.running()
        yield made
    made.stop()


def _everybody_is_bronze(client: Client) -> None:
    """Store other tiers for all days, so that each shows whether it was decided again."""
    states = "tierhouse_tiers.customer_tier_states"
    client.command(
        "CREATE TABLE tierhouse_tiers.other ENGINE = MergeTree PARTITION BY as_of_date ORDER BY (policy, customer_id) AS "
        "SELECT * REPLACE (toUInt8(4) AS earned_rank, toUInt8(4) AS tier_rank, toDate('2024-06-01') AS tier_since_date) "
        f"FROM {states}"
    )
    for day in DAYS:
        client.command(f"ALTER TABLE {states} REPLACE PARTITION '{day}' FROM tierhouse_tiers.other")
    client.command("DROP TABLE tierhouse_tiers.other")


def _settings():
    from orchestration.warehouse.client import located
    from orchestration.warehouse.settings import Settings

    return located(Settings.from_environment())


def _rows(client: Client) -> tuple[list[tuple], list[tuple]]:
    return client.query(STATES).result_rows, client.query(SHOWN).result_rows


def _assert_mended(shop: OwnWarehouse, right: tuple[list[tuple], list[tuple]]) -> None:
    client = shop.client()
    states, shown = _rows(client)
    assert states == right[0]
    assert shown == right[1]
    assert days_in_work.in_work(client, _settings()) == []
    assert client.query("SHOW TABLES FROM tierhouse_tiers LIKE '%kept'").result_rows == []


def test_days_between_those_of_a_range_follow_at_once_and_the_ones_after_it_in_the_next_refresh_where_it_is_cut_off(
    shop: OwnWarehouse,
) -> None:
    client = shop.client()
    right = _rows(client)
    _everybody_is_bronze(client)

    days = refresh(start=DAYS[0], end=DAYS[2], every=2)
    assert [next(days).as_of_date, next(days).as_of_date] == DAYS[:2]
    # The generator is left where the process would end: the last day is not begun.
    days.close()
    assert _rows(client) != right

    # As if the project had got this seed since.
    client.command("DROP TABLE tierhouse_seeds.labels")
    shop.tierhouse("refresh", "--as-of", str(DAYS[2]))
    _assert_mended(shop, right)
    assert ", 0 differ" in shop.tierhouse("replay")


def test_a_day_whose_process_ends_before_it_is_published_is_what_it_was(shop: OwnWarehouse) -> None:
    client = shop.client()
    right = _rows(client)
    # Everybody would be blocked, and so stay where they are.
    client.command(
        "ALTER TABLE tierhouse_landing.customers UPDATE status = 'blocked' WHERE 1 SETTINGS mutations_sync = 2"
    )
    done = subprocess.run(
        [sys.executable, "-c", ENDS_AFTER_THE_INPUTS, str(DAYS[0]), str(DAYS[1])],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | shop.variables,
        check=False,
    )
    assert done.returncode == 9
    states = (
        "SELECT countIf(standing = 'blocked') FROM tierhouse_tiers.customer_tier_inputs WHERE as_of_date = {day:Date}"
    )
    assert client.query(states, parameters={"day": DAYS[0]}).result_rows[0][0] > 0, "half of the day is there"
    assert [day.as_of_date for day in days_in_work.in_work(client, _settings())] == [DAYS[0]]

    assert [problem for _, problem in examine() if problem] == [
        "a refresh was cut off; run `tierhouse refresh`, which repairs what it left"
    ]

    for _ in history.finish_interrupted(client, _settings()):
        pass
    _assert_mended(shop, right)


def test_a_day_that_is_decided_again_keeps_the_ladder_and_the_rules_that_it_was_measured_by(shop: OwnWarehouse) -> None:
    client = shop.client()
    rules = (
        "SELECT * EXCEPT (build_id, replaced_build_ids) FROM tierhouse_snapshots.published_builds ORDER BY as_of_date"
    )
    names = (
        "SELECT as_of_date, tier_rank, tier, tier_label FROM tierhouse_marts.customer_tier_history "
        "GROUP BY ALL ORDER BY ALL"
    )
    terms = "SELECT DISTINCT tier FROM tierhouse_snapshots.tier_benefit_snapshots"
    right = client.query(rules).result_rows
    ladder = ["diamond 钻石", "gold 黄金", "silver 白银", "bronze 青铜"]

    # A version of two tiers, and of other rules, that begins before the stored days.
    for seed, changes in (
        ("tier_standards", "if(tier_rank = 1, 'A', 'B') AS tier, toString(tier) AS tier_label"),
        ("tier_benefits", "if(tier = 'diamond', 'A', 'B') AS tier"),
        ("churn_actions", "if(tier = 'diamond', 'A', 'B') AS tier"),
        ("tier_policy", "toFloat64(0.5) AS criteria_band"),
    ):
        few = {"tier_policy": "1"}.get(seed, "tier IN ('diamond', 'gold')")
        client.command(
            f"INSERT INTO tierhouse_seeds.{seed} SELECT * REPLACE (toDate('2024-06-01') AS valid_from, {changes}) "
            f"FROM tierhouse_seeds.{seed} WHERE {few}"
        )
    _everybody_is_bronze(client)

    assert list(history.decide_again(client, _settings(), DAYS[0]))

    assert client.query(rules).result_rows == right
    for day, rank, tier, label in client.query(names).result_rows:
        assert (tier, label) == (ladder[rank - 1].split()[0], ladder[rank - 1]), day
    assert {row[0] for row in client.query(terms).result_rows} == {label.split()[0] for label in ladder}
