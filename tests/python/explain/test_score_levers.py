"""The levers under the rule score: a stated change of one measure flips the tier, by the SQL of scores, criteria and machine."""

import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference.levers import share_need

from orchestration.macros import render

from .bases import RULES, Base, random_base, store
from .future import settled_tier

EXAMPLES = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
MEASURES = ("days_since_last_order", "order_count", "average_order_value", "net_amount_90d", "p_score")
FOUND = (
    *(
        "r_score",
        "f_score",
        "m_score",
        "p_score",
        "r_contribution",
        "f_contribution",
        "m_contribution",
        "p_contribution",
    ),
    *("total_score", "score_top_share", "candidate_rank", "strict_rank", "lenient_rank"),
)


def scored(client: Client, worlds: Sequence[Sequence[Mapping[str, Any]]], base: Base) -> list[list[dict[str, Any]]]:
    """Components, score and ranks of every customer in every world, by the SQL of the models."""
    table = "explain_test.scored_worlds"
    client.command(
        f"CREATE OR REPLACE TABLE {table} (world UInt32, customer_id UInt64, region_code String, days_since_last_order UInt32, "
        "order_count_90d UInt32, average_order_value_90d Nullable(Float64), net_amount_90d Decimal(18, 2), "
        "potential Nullable(Float64)) ENGINE = Memory"
    )
    rows = [
        [world, n, row["region_code"], *(row[name] for name in MEASURES)]
        for world, customers in enumerate(worlds)
        for n, row in enumerate(customers)
    ]
    client.insert(table, rows)
    model = ", ".join(
        f"CAST({base.rule(name)!r} AS {RULES[name][0]}) AS {name}"
        for name in ("normalisation", "monetary_input", "recency_form", "recency_half_life_days")
    )
    weights = ", ".join(f"CAST({base.rule(f'{name}_weight')} AS Float64) AS {name}_weight" for name in "rfmp")
    group = "world, region_code" if base.rule("percentile_scope") == "region" else "world"
    steps = "[" + ", ".join(repr(step) for step in base.rule("ladder")) + "]"
    measures = {
        "orders_per_month": "1",
        "average_order_value": "toNullable(1.)",
        "lifetime_value_top_share": "1.",
        "score_top_share": "score_top_share",
    }
    band = base.rule("criteria_band")
    ranks = ", ".join(
        f"{render('policy_rank', render('criterion_ranks', measures, 'steps', margin), repr('score'), '2')} AS {name}"
        for name, margin in (
            ("candidate_rank", "0"),
            ("strict_rank", f"toFloat64({band})"),
            ("lenient_rank", f"(-toFloat64({band}))"),
        )
    )
    answer = client.query(
        f"""WITH {steps} AS steps SELECT world, {", ".join(FOUND[:10])}, {ranks} FROM (
            SELECT *, {render("midrank", "total_score desc", group)} AS score_top_share FROM (
                SELECT components.*, {render("score_contributions", "weights")} FROM (
                    SELECT world, customer_id, region_code, {render("score_components", "world")} FROM (
                        SELECT world, customer_id, region_code, potential, normalisation, {render("score_inputs", "features", "model")}
                        FROM {table} AS features CROSS JOIN (SELECT {model}) AS model
                    )
                ) AS components CROSS JOIN (SELECT {weights}) AS weights
            )
        ) ORDER BY world, customer_id"""
    ).result_rows
    found: list[list[dict[str, Any]]] = [[] for _ in worlds]
    for world, *values in answer:
        found[world].append(dict(zip(FOUND, values, strict=True)))
    return found


def random_scores(client: Client, seed: int, normalisation: str = "ratio_to_max") -> Base:
    """A random base under a random scoring model, with the components and ranks that its measures give."""
    chance = random.Random(seed)
    base = random_base(seed, "score")
    base.rules |= {
        "normalisation": normalisation,
        "monetary_input": chance.choice(["average_order_value", "net_amount"]),
        "recency_form": chance.choice(["inverse", "half_life"]),
        "recency_half_life_days": chance.choice([7.0, 30.0]),
        **chance.choice([{}, {"r_weight": 0.1, "f_weight": 0.6, "m_weight": 0.3, "p_weight": 0.0}]),
    }
    for customer in base.customers:
        orders = chance.choice([0, 1, 2, 3, 9, 20])
        cents = chance.randint(100, 600_000)
        customer |= {
            "days_since_last_order": chance.choice([0, 1, 2, 5, 20, 80]),
            "order_count": orders,
            "average_order_value": cents / (100 * orders) if orders else None,
            "net_amount_90d": Decimal(cents if orders else 0) / 100,
            "p_score": chance.choice([None, 0.0, 0.25, 0.5, chance.random()]),
        }
    for customer, found in zip(base.customers, scored(client, [base.customers], base)[0], strict=True):
        customer |= found
    return base


def levers_of(client: Client, base: Base) -> list[dict[str, Any]]:
    customers, rules = store(client, "explain_test", base)
    answer = client.query(f"SELECT * FROM {render('customer_levers', customers, rules)} ORDER BY customer_id")
    names = [name.split(".")[-1] for name in answer.column_names]
    return [dict(zip(names, row, strict=True)) for row in answer.result_rows]


def changes(row: dict[str, Any], target: str, base: Base) -> list[tuple[dict[str, Any], bool]]:
    """Changes of one measure, and whether each is enough: the need, a unit short of it, the most where nothing is enough."""
    found: list[tuple[dict[str, Any], bool]] = []
    days = row[f"{target}_days_since_last_order"]
    if days is None:
        found.append(({"days_since_last_order": 0}, False))
    else:
        found += [({"days_since_last_order": days}, True), ({"days_since_last_order": days + 1}, False)]
    orders = row[f"{target}_order_count"]
    most = max(customer["order_count"] for customer in base.customers)
    if orders is None:
        found.append(({"order_count": most}, False))
    else:
        found += [({"order_count": orders}, True), ({"order_count": orders - 1}, False)]
    cents = row[f"{target}_monetary_cents"]
    if base.rule("monetary_input") == "average_order_value":
        if cents is not None:
            found += [
                ({"average_order_value": cents / 100}, True),
                ({"average_order_value": (cents - 1) / 100}, False),
            ]
    elif cents is not None and row["order_count"]:
        found += [
            ({"net_amount_90d": Decimal(cents) / 100}, True),
            ({"net_amount_90d": Decimal(cents - 1) / 100}, False),
        ]
    potential = row[f"{target}_p_score"]
    if potential is not None:
        found.append(({"p_score": potential}, True))
        if potential - 1e-6 > row["p_score"]:
            found.append(({"p_score": potential - 1e-6}, False))
    return found


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_a_stated_change_of_one_measure_flips_the_tier(engine: Client, seed: int) -> None:
    base = random_scores(engine, seed)
    worlds, expected = [base.customers], []
    for position, row in enumerate(levers_of(engine, base)):
        for target in ("keep", "next"):
            if row[f"{target}_missing_count"] != 1:
                assert row[f"{target}_order_count"] is None
                continue
            for change, is_enough in changes(row, target, base):
                world = [dict(customer) for customer in base.customers]
                world[position] |= change
                worlds.append(world)
                expected.append((position, row, target, change, is_enough))
    for (position, row, target, change, is_enough), found in zip(
        expected, scored(engine, worlds, base)[1:], strict=True
    ):
        changed = {name: found[position][name] for name in ("candidate_rank", "strict_rank", "lenient_rank")}
        if row["standing"] == "lapsed":
            changed["treatment"] = "decide"
        if target == "next":
            changed["cap_rank"] = min(row["cap_rank"], row["next_rank"])
        tier = settled_tier(base, base.customers[position], **changed)
        assert (tier <= row[f"{target}_rank"]) == is_enough, (target, change, row)


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_the_second_implementation_finds_the_same_total_scores(engine: Client, seed: int) -> None:
    base = random_scores(engine, seed)
    by_region = base.rule("percentile_scope") == "region"
    for row in levers_of(engine, base):
        others = sorted(
            other["total_score"]
            for other in base.customers
            if other["customer_id"] != row["customer_id"]
            and (not by_region or other["region_code"] == row["region_code"])
        )
        for target in ("keep", "next"):
            rank = row[f"{target}_rank"]
            if not rank:
                assert row[f"{target}_total_score"] is None
                continue
            margin = row[f"{target}_direction"] * base.rule("criteria_band")
            need = share_need(
                row["total_score"],
                others,
                base.rule("ladder")[rank - 1][5],
                margin,
                lambda score: round(score + 1e-12, 12),
            )
            assert row[f"{target}_total_score"] == need.value
            assert row[f"{target}_missing_count"] == (not need.is_met)


def test_under_mid_ranks_a_component_is_stated_and_no_measure(engine: Client) -> None:
    stated = 0
    for seed in range(6):
        for row in levers_of(engine, random_scores(engine, seed, "midrank")):
            assert row["next_order_count"] is None and row["next_days_since_last_order"] is None
            if row["next_f_score"] is not None:
                stated += 1
                assert row["f_score"] < row["next_f_score"] <= 1
    assert stated


def test_contributions_add_up_to_the_score(engine: Client) -> None:
    for seed in range(6):
        for customer in random_scores(engine, seed).customers:
            parts = sum(customer[f"{component}_contribution"] for component in "rfmp")
            assert abs(parts - customer["total_score"]) <= 1e-9
