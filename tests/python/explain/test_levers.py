"""The levers of macros/levers.sql: a stated change flips the tier and one order or one cent less does not, by the SQL of the
criteria and the tier machine; and a second implementation finds the same needs."""

from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from reference.levers import LEVERS, order_value_need, orders_need, share_need

from orchestration.macros import render

from .bases import Base, random_base, ranks, store, with_ranks
from .future import days, settled_tier

EXAMPLES = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
seeds = st.integers(0, 2**32)
Levers = Callable[[Base], list[dict[str, Any]]]
UNIT = {"orders_per_month": 1, "average_order_value": 0.01, "lifetime_value": Decimal("0.01")}
NEEDED = {"orders_per_month": "orders", "average_order_value": "order_value", "lifetime_value": "lifetime_value_cents"}


@pytest.fixture(scope="module")
def levers(engine: Client) -> Levers:
    """All columns of the levers of each customer, in the order of the base."""

    def run(base: Base, **settings: object) -> list[dict[str, Any]]:
        customers, rules = store(engine, "explain_test", base)
        answer = engine.query(
            f"SELECT * FROM {render('customer_levers', customers, rules)} ORDER BY customer_id", settings=settings
        )
        names = [name.split(".")[-1] for name in answer.column_names]
        return [dict(zip(names, row, strict=True)) for row in answer.result_rows]

    return run


def needed(row: dict[str, Any], target: str, lever: str) -> Any:
    """The need in the unit of the measure; None when every value reaches the tier, or none."""
    value = row[f"{target}_{NEEDED[lever]}"]
    if value is None:
        return None
    if lever == "lifetime_value":
        return Decimal(value) / 100
    return float(value) if lever == "average_order_value" else value


@EXAMPLES
@given(seed=seeds)
def test_a_stated_change_flips_the_tier_and_a_unit_less_does_not(engine: Client, levers: Levers, seed: int) -> None:
    base = with_ranks(engine, random_base(seed))
    worlds, expected = [], []
    for position, row in enumerate(levers(base)):
        for target in ("keep", "next"):
            for change, reaches in changes(row, target):
                world = [dict(customer) for customer in base.customers]
                world[position] |= change
                worlds.append(world)
                expected.append((position, row, target, change, reaches))
    for (position, row, target, change, reaches), found in zip(expected, ranks(engine, worlds, base), strict=True):
        candidate, strict, lenient, *_ = found[position]
        changed = {"candidate_rank": candidate, "strict_rank": strict, "lenient_rank": lenient}
        if row["standing"] == "lapsed":
            changed["treatment"] = "decide"  # an order ends it
        if target == "next":
            changed["cap_rank"] = min(row["cap_rank"], row["next_rank"])  # gates are another lever
        tier = settled_tier(base, base.customers[position], **changed)
        assert (tier <= row[f"{target}_rank"]) == reaches, (target, change, row)


def changes(row: dict[str, Any], target: str) -> list[tuple[dict[str, Any], bool]]:
    """Changes of one customer's measures, and whether each reaches the target: single levers, a unit less, and several."""
    if not row[f"{target}_rank"]:
        return []
    missed, required = set(row[f"{target}_missed"]), row["required_criteria"]
    found: list[tuple[dict[str, Any], bool]] = [({}, len(missed) <= 3 - required)]
    for lever in LEVERS:
        need = needed(row, target, lever)
        besides = len(set(LEVERS) - missed - {lever})
        if need is None:
            # Every value reaches the tier, or none does.
            extreme = Decimal(10**9) if lever in missed else Decimal(-(10**9))
            found.append(({lever: extreme}, besides + (lever not in missed) >= required))
            continue
        found.append(({lever: need}, besides + 1 >= required))
        if need > 0 or lever == "lifetime_value":
            less = round(need - UNIT[lever], 2) if lever == "average_order_value" else need - UNIT[lever]
            found.append(({lever: less}, besides >= required))
    possible = [lever for lever in missed if needed(row, target, lever) is not None]
    missing = row[f"{target}_missing_count"]
    assert missing == max(0, required - 3 + len(missed))
    for count in {missing, missing - 1} - {-1}:
        for together in combinations(sorted(possible), count):
            found.append(({lever: needed(row, target, lever) for lever in together}, count >= missing))
    return found


@EXAMPLES
@given(seed=seeds)
@example(seed=3)
def test_the_second_implementation_finds_the_same_needs(engine: Client, levers: Levers, seed: int) -> None:
    base = with_ranks(engine, random_base(seed))
    by_region = base.rule("percentile_scope") == "region"
    for row in levers(base):
        cents = sorted(
            int(other["lifetime_value"] * 100)
            for other in base.customers
            if other["customer_id"] != row["customer_id"]
            and (not by_region or other["region_code"] == row["region_code"])
        )
        for target in ("keep", "next"):
            rank = row[f"{target}_rank"]
            if not rank:
                assert row[f"{target}_missed"] == [] and row[f"{target}_orders"] is None
                continue
            step, margin = base.rule("ladder")[rank - 1], row[f"{target}_direction"] * base.rule("criteria_band")
            needs = {
                "orders_per_month": orders_need(row["orders_per_month"], step[2], margin),
                "average_order_value": order_value_need(row["average_order_value"], step[3], margin),
                "lifetime_value": share_need(
                    int(row["lifetime_value"] * 100), cents, step[4], margin, lambda value: value + 1
                ),
            }
            assert row[f"{target}_missed"] == [lever for lever in LEVERS if not needs[lever].is_met]
            assert row[f"{target}_orders"] == needs["orders_per_month"].value
            assert int(row[f"{target}_order_value"] * 100) == needs["average_order_value"].value
            assert row[f"{target}_lifetime_value_cents"] == needs["lifetime_value"].value
            if needs["lifetime_value"].value is not None:
                is_reached = int(row["lifetime_value"] * 100) >= needs["lifetime_value"].value
                assert is_reached == needs["lifetime_value"].is_met


@EXAMPLES
@given(seed=seeds)
def test_a_downgrade_comes_on_the_stated_day_and_not_before(engine: Client, levers: Levers, seed: int) -> None:
    base = with_ranks(engine, random_base(seed))
    for customer, row in zip(base.customers, levers(base), strict=True):
        falls = rises = None
        before = row["earned_rank"]
        for today, state in days(base, customer, 400):
            if state.earned > before:
                falls = falls or (today, state.tier)
            if state.earned < before:
                rises = rises or today
            if state.earned != before:
                break
        if customer["treatment"] not in ("decide", "protect"):
            assert row["earliest_downgrade_on"] is None and row["earliest_upgrade_on"] is None
            continue
        stated = row["earliest_downgrade_on"] and (row["earliest_downgrade_on"], row["earliest_downgrade_rank"])
        assert stated == falls
        assert row["earliest_upgrade_on"] == rises


@settings(EXAMPLES, max_examples=3)
@given(seed=seeds)
def test_neither_the_order_of_rows_nor_threads_nor_nulls_of_joins_matter(levers: Levers, seed: int) -> None:
    base = random_base(seed)
    backwards = Base(base.customers[::-1], base.rules)
    once = levers(base, max_threads=1)
    assert once == levers(backwards, max_threads=4, max_block_size=7)
    with_nulls = levers(base, join_use_nulls=1)
    inner = {"keep_lifetime_value_limit", "keep_score_limit", "next_lifetime_value_limit", "next_score_limit"}
    assert [{k: v for k, v in row.items() if k not in inner} for row in once] == [
        {k: v for k, v in row.items() if k not in inner} for row in with_nulls
    ]


def test_a_band_of_a_tenth_on_800_asks_for_880(engine: Client) -> None:
    assert 800 * 1.1 > 880  # in double precision
    assert (
        engine.command(f"SELECT toFloat64(880) >= {render('harder_minimum', 'toFloat64(800)', 'toFloat64(0.1)')}") == 1
    )
    assert engine.command(f"SELECT 0.77 <= {render('harder_share', 'toFloat64(0.7)', '(-toFloat64(0.1))')}") == 1
