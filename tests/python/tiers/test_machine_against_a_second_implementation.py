"""The machine of macros/tier_machine.sql, as the engine computes it, against the one in plain Python, over random histories."""

from collections.abc import Callable, Iterator
from dataclasses import replace as with_fields
from datetime import date

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, given, settings
from reference.machine import Inputs, replay
from reference.tables import day_number

from orchestration.macros import render
from orchestration.replay import Replayed
from orchestration.replay import replay as replay_stored
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

from .histories import COLUMNS, FIRST, History, histories, random_history

Rows = dict[tuple[str, int, int], tuple[object, ...]]
TABLE = "machine_test.inputs"
# Shrinking a whole history takes longer than reading it. A statement takes the engine longer to plan than to run, so an example
# has several policies.
EXAMPLES = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@pytest.fixture(scope="module")
def client(own_warehouse: Settings) -> Iterator[Client]:
    made = connect(own_warehouse, autogenerate_session_id=False)
    made.command("CREATE DATABASE machine_test")
    made.command(f"CREATE TABLE {TABLE} ({COLUMNS}) ENGINE = Memory")
    yield made
    made.command("DROP DATABASE machine_test")


@pytest.fixture(scope="module")
def in_sql(client: Client) -> Callable[..., Rows]:
    """Replays a history in the engine: (policy, day, customer) to everything that the day decided."""

    def run(history: History, backwards: bool = False, **engine: object) -> Rows:
        rows = history.rows()
        client.command(f"TRUNCATE TABLE {TABLE}")
        if rows:
            client.insert(TABLE, rows[::-1] if backwards else rows)
        columns = (
            "policy, as_of_date, customer_id, earned_rank, earned_since_date, upgraded_on, up_count, up_rank, down_count, "
            "down_rank, tier_rank, tier_since_date, is_new, is_downgrade_day, previous_rank, decision, reason_code"
        )
        answer = client.query(f"SELECT {columns} FROM {render('replayed_states', TABLE)}", settings=engine).result_rows
        assert len(answer) == len(rows)
        return {(row[0], day_number(row[1]), row[2]): tuple(map(_plain, row[3:])) for row in answer}

    return run


def _plain(value: object) -> object:
    return day_number(value) if isinstance(value, date) else value


def in_python(history: History) -> Rows:
    """The same by the second implementation."""
    expected = {}
    for key, decided in replay(history.policies).items():
        state = decided.state
        expected[key] = (
            *(state.earned, state.earned_since, state.upgraded_on, state.up_count, state.up_rank, state.down_count),
            *(state.down_rank, state.tier, state.tier_since, int(decided.is_new), int(decided.is_downgrade_day)),
            *(decided.previous_tier, decided.decision, decided.reason),
        )
    return expected


@EXAMPLES
@given(history=histories())
def test_both_implementations_decide_the_same_on_every_day(in_sql: Callable[..., Rows], history: History) -> None:
    assert in_sql(history) == in_python(history)


def test_who_stands_below_a_shorter_ladder_is_in_its_lowest_tier_without_a_move_and_counts_anew(
    in_sql: Callable[..., Rows],
) -> None:
    common = {
        "standing": "active",
        "cap": 1,
        "override": 0,
        "confirm_down": 9,
        "steps_down": 1,
        "dwell_days": 0,
        "grace_days": 0,
    }
    ranks = [
        (FIRST, 5, 5),
        (FIRST + 1, 3, 5),
        (FIRST + 2, 3, 5),
        (FIRST + 3, 1, 2),
        (FIRST + 4, 1, 2),
        (FIRST + 5, 1, 2),
    ]
    days = [
        Inputs(
            day=day,
            candidate=rank,
            strict=rank,
            lenient=rank,
            treatment="decide",
            lowest=lowest,
            confirm_up=3,
            weekdays=frozenset({1}),
            **common,  # type: ignore[arg-type]
        )
        for day, rank, lowest in ranks
    ]
    decided = in_sql(History({"standards": [(1, inputs) for inputs in days]}))
    # earned, since, last upgrade, up count and rank, ..., tier before, decision, reason
    seen = {day: (*row[:5], *row[11:]) for (_, day, _), row in decided.items()}
    assert seen[FIRST + 2] == (5, FIRST, 0, 2, 3, 5, "held", "waiting_up")
    assert seen[FIRST + 3] == (2, FIRST, 0, 1, 1, 2, "held", "waiting_up")
    assert seen[FIRST + 5] == (1, FIRST + 5, FIRST + 5, 0, 0, 2, "upgraded", "confirmed_up")


@pytest.mark.parametrize("seed", range(20))
def test_nobody_stands_below_the_ladder_of_the_day_or_waits_to_fall_below_it(seed: int) -> None:
    history = random_history(seed)
    lowest = {(name, rows.day): rows.lowest for name, days in history.policies.items() for _, rows in days}
    for (name, day, _), decided in replay(history.policies).items():
        state = decided.state
        assert max(state.earned, state.tier, decided.previous_tier) <= lowest[name, day]
        assert state.down_count == 0 or state.earned < lowest[name, day]


@settings(EXAMPLES, max_examples=5)
@given(history=histories())
def test_neither_the_order_of_rows_nor_the_number_of_threads_matters(
    in_sql: Callable[..., Rows], history: History
) -> None:
    assert in_sql(history, max_threads=1) == in_sql(history, backwards=True, max_threads=4, max_block_size=7)


@settings(EXAMPLES, max_examples=5)
@given(history=histories())
def test_a_history_that_ends_earlier_is_the_beginning_of_the_longer_one(
    in_sql: Callable[..., Rows], history: History
) -> None:
    days = sorted({inputs.day for rows in history.policies.values() for _, inputs in rows})
    if not days:
        return
    half = days[len(days) // 2]
    whole, part = in_sql(history), in_sql(history.until(half))
    assert part == {key: row for key, row in whole.items() if key[1] <= half}


@EXAMPLES
@given(history=histories())
def test_histories_of_tiers_alone_hold_the_tiers_of_the_second_implementation(
    client: Client, in_sql: Callable[..., Rows], history: History
) -> None:
    in_sql(history)
    found = {
        (policy, day_number(day), customer): (tier, candidate)
        for policy, customer, day, tier, candidate in client.query(_tiers(render("replayed_tiers", TABLE))).result_rows
    }
    candidates = {(name, day.day, who): day.candidate for name, rows in history.policies.items() for who, day in rows}
    expected = replay(history.policies)
    assert found == {key: (expected[key].state.tier, candidate) for key, candidate in candidates.items()}


@settings(EXAMPLES, max_examples=5)
@given(history=histories())
def test_one_step_and_a_history_from_a_stored_day_go_on_as_the_whole_history_does(
    client: Client, in_sql: Callable[..., Rows], history: History
) -> None:
    whole = {key: row[7] for key, row in in_sql(history).items()}
    days = sorted({key[1] for key in whole})
    if len(days) < 2:
        return
    half = len(days) // 2
    stored, following = _date(days[half - 1]), _date(days[half])
    before = f"(SELECT * FROM {TABLE} WHERE as_of_date <= {stored})"
    start = (
        f"(SELECT policy, customer_id, {render('tier_state_names')} FROM {render('replayed_states', before)} "
        f"WHERE as_of_date = {stored})"
    )
    rest = f"(SELECT * FROM {TABLE} WHERE as_of_date > {stored})"
    for macro in ("replayed_states", "replayed_tiers"):
        relation = render(macro, rest, start, stored)
        statement = (
            _tiers(relation)
            if macro == "replayed_tiers"
            else f"SELECT policy, customer_id, as_of_date, tier_rank, 0 FROM {relation}"
        )
        found = {(row[0], day_number(row[2]), row[1]): row[3] for row in client.query(statement).result_rows}
        assert found == {key: tier for key, tier in whole.items() if key[1] > days[half - 1]}
    for policy in history.policies:
        one = f"(SELECT * FROM {TABLE} WHERE as_of_date = {following} AND policy = '{policy}')"
        of_policy = f"(SELECT * FROM {start} WHERE policy = '{policy}')"
        stepped = client.query(f"SELECT customer_id, tier_rank FROM {render('stepped_tiers', one, of_policy, stored)}")
        expected = {key[2]: tier for key, tier in whole.items() if key[:2] == (policy, days[half])}
        assert dict(stepped.result_rows) == expected


def test_a_replay_counts_a_stored_state_that_differs_once(
    client: Client, in_sql: Callable[..., Rows], own_warehouse: Settings
) -> None:
    warehouse = with_fields(own_warehouse, prefix="replayed")
    states = f"{warehouse.database('tiers')}.customer_tier_states"
    state_count = len(in_sql(random_history(1)))
    client.command(f"CREATE DATABASE {warehouse.database('tiers')}")
    try:
        client.command(
            f"CREATE TABLE {warehouse.database('tiers')}.customer_tier_inputs ENGINE = Memory AS SELECT * FROM {TABLE}"
        )
        client.command(f"CREATE TABLE {states} ENGINE = Memory AS SELECT * FROM {render('replayed_states', TABLE)}")
        as_stored = list(replay_stored(client, warehouse))
        client.command(f"RENAME TABLE {states} TO {states}_before")
        client.command(
            f"CREATE TABLE {states} ENGINE = Memory AS SELECT * REPLACE "
            f"(tier_rank + (rowNumberInAllBlocks() = 0) AS tier_rank) FROM {states}_before"
        )
        as_changed = list(replay_stored(client, warehouse))
    finally:
        client.command(f"DROP DATABASE {warehouse.database('tiers')}")

    assert as_stored == [Replayed(state_count, 0)]
    assert as_changed == [Replayed(state_count, 1)]


def _tiers(relation: str) -> str:
    return (
        "SELECT variant, customer_id, toDate(toUInt16(bitShiftRight(day, 16))) AS as_of_date, "
        f"{render('tier_of_day', 'day')} AS tier_rank, toUInt8(day) AS candidate_rank FROM {relation} ARRAY JOIN days AS day"
    )


def _date(day: int) -> str:
    return f"toDate({day})"


def test_random_histories_reach_every_decision_and_every_reason() -> None:
    days = [decided for seed in range(60) for decided in replay(random_history(seed).policies).values()]
    assert {day.decision for day in days} == {
        *("overridden", "new", "capped", "upgraded", "downgraded", "held", "kept"),
    }
    assert {day.reason for day in days} == {
        *(
            "override",
            "first_seen",
            "gate",
            "gate_or_override_ended",
            "lapsed",
            "blocked",
            "new_customer",
            "confirmed_up",
        ),
        *("confirmed_down", "waiting_up", "grace", "dwell", "waiting_down", "within_band", "criteria_met"),
    }
