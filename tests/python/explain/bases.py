"""Random bases of customers for the reason card: measures, rules and states of one build, and the ranks that the SQL of
macros/criteria.sql gives them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from orchestration.macros import render

DAY = date(2026, 3, 4)  # a Wednesday
NEVER = date(1970, 1, 1)
LADDER = (
    (1, "diamond", 15.0, 5000.0, 0.10, 0.10),
    (2, "gold", 8.0, 2000.0, 0.30, 0.30),
    (3, "silver", 3.0, 800.0, 0.70, 0.70),
    (4, "bronze", 0.0, 0.0, 1.0, 1.0),
)
GATES = (
    ("complaints", "complaint_count_90d", 10.0, 2),
    ("long_overdue", "overdue_days_max", 60.0, 3),
    ("overdue_amount", "overdue_amount", 50000.0, 2),
    ("overdue_days", "overdue_days_max", 15.0, 2),
    ("risk_flag", "has_risk_flag", 0.0, 3),
)
RULES: dict[str, tuple[str, Any]] = {
    "ladder": ("Array(Tuple(UInt8, String, Float64, Float64, Float64, Float64))", list(LADDER)),
    "tier_labels": ("Array(String)", ["diamond 钻石", "gold 黄金", "silver 白银", "bronze 青铜"]),
    "gates": ("Array(Tuple(String, String, Float64, UInt8))", list(GATES)),
    "r_weight": ("Float64", 0.3),
    "f_weight": ("Float64", 0.25),
    "m_weight": ("Float64", 0.3),
    "p_weight": ("Float64", 0.15),
    "criteria_band": ("Float64", 0.1),
    "percentile_scope": ("String", "base"),
    "maximum_steps_down": ("UInt8", 1),
    "minimum_dwell_days": ("UInt16", 56),
    "grace_days_after_upgrade": ("UInt16", 56),
    "downgrade_weekdays": ("UInt8", 1),
    "new_customer_days": ("UInt16", 30),
    "lapsed_after_days": ("UInt16", 90),
    "lapsed_treatment": ("String", "lowest"),
    "normalisation": ("String", "ratio_to_max"),
    "monetary_input": ("String", "average_order_value"),
    "recency_form": ("String", "inverse"),
    "recency_half_life_days": ("Float64", 30.0),
}
# Columns of customer_tier_snapshots and of the features beside it, with a plain value each.
CUSTOMER: dict[str, tuple[str, Any]] = {
    "as_of_date": ("Date", DAY),
    "customer_id": ("UInt64", 1),
    "customer_name": ("String", "Lotus Canteen"),
    "business_type": ("String", "canteen"),
    "region_code": ("String", "east"),
    "account_manager_id": ("Nullable(UInt64)", 7),
    "customer_status": ("String", "active"),
    "first_order_date": ("Date", date(2025, 1, 1)),
    "policy": ("String", "standards"),
    "candidate_rule": ("String", "standards"),
    "required_criteria": ("UInt8", 2),
    "candidate_tier": ("String", "silver"),
    "candidate_rank": ("UInt8", 3),
    "strict_rank": ("UInt8", 3),
    "lenient_rank": ("UInt8", 3),
    "frequency_tier": ("String", "silver"),
    "order_value_tier": ("String", "silver"),
    "lifetime_value_tier": ("String", "silver"),
    "score_tier": ("String", "silver"),
    "orders_per_month": ("UInt32", 4),
    "average_order_value": ("Nullable(Float64)", 1000.0),
    "lifetime_value": ("Decimal(18, 2)", Decimal(0)),
    "is_lifetime_value_from_revenue": ("UInt8", 0),
    "lifetime_value_top_share": ("Float64", 0.5),
    "score_top_share": ("Float64", 0.5),
    "days_since_last_order": ("UInt32", 3),
    "order_count": ("UInt32", 10),
    "net_amount_90d": ("Decimal(18, 2)", Decimal(10000)),
    "scoring_model": ("String", "ratio_to_max"),
    "r_score": ("Float64", 0.25),
    "f_score": ("Float64", 0.5),
    "m_score": ("Float64", 0.5),
    "p_score": ("Nullable(Float64)", 0.5),
    "r_contribution": ("Float64", 0.075),
    "f_contribution": ("Float64", 0.125),
    "m_contribution": ("Float64", 0.15),
    "p_contribution": ("Float64", 0.075),
    "total_score": ("Float64", 0.425),
    "score_rank": ("UInt32", 1),
    "standing": ("String", "active"),
    "treatment": ("String", "decide"),
    "cap_rank": ("UInt8", 1),
    "override_rank": ("UInt8", 0),
    "closed_gates": ("Array(String)", []),
    "override_manager_id": ("Nullable(UInt64)", None),
    "override_reason": ("Nullable(String)", None),
    "override_valid_to": ("Nullable(Date)", None),
    "config_version": ("String", "v1"),
    "tier": ("String", "silver"),
    "tier_rank": ("UInt8", 3),
    "tier_label": ("String", "silver 白银"),
    "earned_tier": ("String", "silver"),
    "previous_tier": ("Nullable(String)", "silver"),
    "tier_since_date": ("Date", date(2025, 6, 1)),
    "earned_since_date": ("Date", date(2025, 6, 1)),
    "upgraded_on": ("Date", NEVER),
    "decision": ("String", "kept"),
    "reason_code": ("String", "criteria_met"),
    "decision_reason": ("String", ""),
    "decision_reason_zh": ("String", ""),
    "confirm_up_decisions": ("UInt8", 1),
    "confirm_down_decisions": ("UInt8", 3),
    "up_count": ("UInt8", 0),
    "up_rank": ("UInt8", 0),
    "down_count": ("UInt8", 0),
    "down_rank": ("UInt8", 0),
    "overdue_amount": ("Nullable(Decimal(18, 2))", None),
    "overdue_days_max": ("Nullable(UInt32)", None),
    "overdue_invoices": ("Array(Tuple(UInt32, Decimal(18, 2)))", []),
    "complaint_count_90d": ("Nullable(UInt32)", 0),
    "has_risk_flag": ("Nullable(UInt8)", None),
}
# Rows of the seed of labels: one gate and what else is named have a label, the other gates have none.
LABELS = {
    "en": {("gate", "long_overdue"): "invoice long overdue", ("scoring_model", "ratio_to_max"): "ratio to the maximum"},
    "zh": {
        ("gate", "long_overdue"): "账款长期逾期",
        ("scoring_model", "ratio_to_max"): "与最大值之比",
        ("policy", "standards"): "等级标准",
    },
}
LABEL_ROWS = "(SELECT c1 AS kind, c2 AS name, c3 AS label, c4 AS label_zh FROM values({}))".format(
    ", ".join(repr((*key, LABELS["en"].get(key, ""), text)) for key, text in LABELS["zh"].items())
)
TIERS_OF_MEASURES = ("candidate_tier", "frequency_tier", "order_value_tier", "lifetime_value_tier", "score_tier")
MEASURES = ("orders_per_month", "average_order_value", "lifetime_value", "total_score")


@dataclass
class Base:
    """Customers of one build, by column, and the rules of its day. What is not named is as in CUSTOMER and RULES."""

    customers: list[dict[str, Any]]
    rules: dict[str, Any]

    def rule(self, name: str) -> Any:
        return self.rules.get(name, RULES[name][1])


def store(client: Client, database: str, base: Base) -> tuple[str, str]:
    """Write customers and rules into Memory tables; returns their names."""
    names = f"{database}.customers", f"{database}.rules"
    for name, columns, rows in ((names[0], CUSTOMER, base.customers), (names[1], RULES, [base.rules])):
        described = ", ".join(f"{column} {kind}" for column, (kind, _) in columns.items())
        client.command(f"CREATE OR REPLACE TABLE {name} ({described}) ENGINE = Memory")
        if rows:
            client.insert(name, [[row.get(column, plain) for column, (_, plain) in columns.items()] for row in rows])
    return names


def ranks(client: Client, worlds: Sequence[Sequence[Mapping[str, Any]]], base: Base) -> list[list[tuple[Any, ...]]]:
    """Candidate, strict and lenient rank, share by lifetime value and by score of every customer in every world, by the SQL
    of the models.

    A world is the base with some measures changed; all worlds are one query.
    """
    database = "explain_test"
    client.command(
        f"CREATE OR REPLACE TABLE {database}.worlds (world UInt32, customer_id UInt64, region_code String, orders_per_month UInt32, "
        "average_order_value Nullable(Float64), lifetime_value Decimal(18, 2), total_score Float64) ENGINE = Memory"
    )
    rows = [
        [world, n, row.get("region_code", "east"), *(row.get(name, CUSTOMER[name][1]) for name in MEASURES)]
        for world, customers in enumerate(worlds)
        for n, row in enumerate(customers)
    ]
    if rows:
        client.insert(f"{database}.worlds", rows)
    group = "world, region_code" if base.rule("percentile_scope") == "region" else "world"
    steps = "[" + ", ".join(repr(step) for step in base.rule("ladder")) + "]"
    measures = {
        name: name
        for name in ("orders_per_month", "average_order_value", "lifetime_value_top_share", "score_top_share")
    }
    customer = {**{name: plain for name, (_, plain) in CUSTOMER.items()}, **base.customers[0]}
    rule, required = f"'{customer['candidate_rule']}'", str(customer["required_criteria"])
    band = base.rule("criteria_band")
    reached = ", ".join(
        render("policy_rank", render("criterion_ranks", measures, "steps", margin), rule, required)
        for margin in ("0", f"toFloat64({band})", f"(-toFloat64({band}))")
    )
    share_columns = ", ".join(
        f"{render('midrank', f'{value} desc', group)} AS {value.replace('total_', '')}_top_share"
        for value in MEASURES[2:]
    )
    answer = client.query(
        f"WITH {steps} AS steps SELECT {reached}, lifetime_value_top_share, score_top_share "
        f"FROM (SELECT *, {share_columns} FROM {database}.worlds) ORDER BY world, customer_id"
    ).result_rows
    size = [len(customers) for customers in worlds]
    found, position = [], 0
    for count in size:
        found.append([tuple(row) for row in answer[position : position + count]])
        position += count
    return found


def random_base(seed: int, rule: str = "standards") -> Base:
    """1 to 40 customers with many ties, under a random policy; states in keeping with the measures are not needed here."""
    chance = random.Random(seed)
    rules = {
        "criteria_band": chance.choice([0.0, 0.05, 0.1, 0.2, 0.33]),
        "percentile_scope": chance.choice(["base", "base", "region"]),
        "maximum_steps_down": chance.randint(1, 3),
        "minimum_dwell_days": chance.choice([0, 7, 28, 56]),
        "grace_days_after_upgrade": chance.choice([0, 7, 56]),
        "downgrade_weekdays": sum(1 << day for day in chance.sample(range(7), chance.choice([1, 1, 2, 3]))),
        "new_customer_days": chance.choice([0, 10, 30]),
        "ladder": chance.choice(
            [list(LADDER), [(1, "gold", 10.0, 999.99, 0.25, 0.2), (2, "bronze", 0.0, 0.0, 1.0, 1.0)]]
        ),
    }
    rules["tier_labels"] = [f"{step[1]} 等级{step[0]}" for step in rules["ladder"]]
    rules["gates"] = [(*gate[:3], min(gate[3], len(rules["ladder"]))) for gate in GATES]
    required, spread = chance.randint(1, 3), chance.choice([3, 50, 100_000])
    names = [step[1] for step in rules["ladder"]]
    customers = []
    for n in range(chance.choice([1, 2, 3, 5, 12, 25, 40])):
        earned = chance.randint(1, len(names))
        cap = chance.choice([1, 1, 1, chance.randint(1, len(names))])
        orders = chance.choice([None, 1, 2, 3, 7, 30])
        cents = chance.choice([0, 79_999, 80_000, 88_000, 99_999, 200_000, 220_001, chance.randint(0, 700_000)])
        confirm_up, confirm_down = chance.choice([1, 1, 2, 3]), chance.choice([1, 2, 3, 4])
        downs = chance.choice([0, 0, 1, 2, 5])
        treatment, standing = chance.choice(
            [("decide", "active")] * 8
            + [("protect", "new"), ("follow", "new"), ("lowest", "lapsed"), ("decide", "lapsed"), ("freeze", "blocked")]
        )
        age = chance.choice([0, 3, 9, 29, 400])
        if standing == "new" and age >= rules["new_customer_days"]:
            treatment, standing = "decide", "active"
        if treatment not in ("decide", "freeze"):
            downs = 0  # nothing counts without a decision
        customers.append(
            {
                "customer_id": n + 1,
                "region_code": chance.choice(["east", "west", "north"]),
                "candidate_rule": rule,
                "required_criteria": required,
                "orders_per_month": chance.choice([0, 1, 2, 3, 4, 7, 8, 9, 11, 14, 15, 17, 30]),
                "average_order_value": None if orders is None else float(Decimal(cents)) / (100 * orders) * orders,
                "lifetime_value": Decimal(chance.randint(-spread // 3, spread)) / 100,
                "earned_tier": names[earned - 1],
                "tier": names[max(earned, cap) - 1],
                "previous_tier": None,
                **dict.fromkeys(TIERS_OF_MEASURES, names[-1]),
                "cap_rank": cap,
                "treatment": treatment,
                "standing": standing,
                "first_order_date": DAY - timedelta(days=age),
                "confirm_up_decisions": confirm_up,
                "confirm_down_decisions": confirm_down,
                "up_count": chance.randint(0, confirm_up - 1),
                "down_count": downs,
                "down_rank": downs and min(len(names), earned + chance.randint(1, 3)),
                "earned_since_date": DAY - timedelta(days=chance.choice([0, 1, 6, 20, 55, 56, 300])),
                "upgraded_on": chance.choice([NEVER, DAY - timedelta(days=chance.choice([0, 6, 50, 55, 56, 300]))]),
            }
        )
    return Base(customers, rules)


def with_ranks(client: Client, base: Base) -> Base:
    """The base with the ranks that its measures reach."""
    names = ("candidate_rank", "strict_rank", "lenient_rank", "lifetime_value_top_share", "score_top_share")
    for customer, found in zip(base.customers, ranks(client, [base.customers], base)[0], strict=True):
        customer |= dict(zip(names, found, strict=True))
    return base
