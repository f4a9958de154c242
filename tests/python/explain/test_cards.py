"""The cards: what a payment opens, what a card says in both languages, and that it fits the terminal."""

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import jinja2
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from orchestration.macros import render
from orchestration.project import PROJECT_DIR
from orchestration.reason_card import LANGUAGES, reason_card

from .bases import CUSTOMER, DAY, LABEL_ROWS, LABELS, RULES, Base, random_base, store, with_ranks

EXAMPLES = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
Invoices = list[tuple[int, Decimal]]


def cards(client: Client, base: Base) -> list[dict[str, Any]]:
    """The card of each customer, as `tierhouse explain` gets it."""
    customers, rules = store(client, "explain_test", base)
    answer = client.query(f"SELECT * FROM {render('reason_cards', customers, rules, LABEL_ROWS)} ORDER BY customer_id")
    day_rules = {name: base.rule(name) for name in RULES}
    return [
        {**dict(zip(answer.column_names, row, strict=True)), "rules": day_rules, "labels": LABELS}
        for row in answer.result_rows
    ]


def closed_gates(client: Client, base: Base, invoices: list[Invoices]) -> list[set[str]]:
    """Gates that the SQL of the model closes for customers with these overdue invoices."""
    ladder = ", ".join(f"({rank}, '{tier}')" for rank, tier, *_ in base.rule("ladder"))
    names = {rank: tier for rank, tier, *_ in base.rule("ladder")}
    gates = ", ".join(
        f"('{gate}', '{measure}', {bound}, '{names[rank]}')" for gate, measure, bound, rank in base.rule("gates")
    )
    for table, columns, rows in (
        ("tier_standards", "tier_rank UInt8, tier String", ladder),
        ("tier_gates", "gate String, measure String, threshold Float64, best_tier String", gates),
        ("customer_risk_features", "customer_id UInt64, has_risk_flag Nullable(UInt8)", ""),
        (
            "feature_snapshot",
            "customer_id UInt64, overdue_days_max Nullable(UInt32), overdue_amount Nullable(Decimal(18, 2)), "
            "complaint_count_90d Nullable(UInt32)",
            ", ".join(
                f"({n}, {max((days for days, _ in open_invoices), default=0)}, "
                f"{sum((amount for _, amount in open_invoices), Decimal(0))}, 0)"
                for n, open_invoices in enumerate(invoices)
            ),
        ),
    ):
        client.command(f"CREATE OR REPLACE TABLE explain_test.{table} ({columns}) ENGINE = Memory")
        if rows:
            client.command(f"INSERT INTO explain_test.{table} VALUES {rows}")
    model = (PROJECT_DIR / "models" / "tiers" / "closed_gates.sql").read_text(encoding="utf-8")
    text = jinja2.Template(model).render(
        config=lambda **_: "",
        ref=lambda name: f"explain_test.{name}",
        configured=lambda name: f"explain_test.{name}",
        as_of=lambda: f"toDate('{DAY}')",
        gate_measures=lambda *arguments: render("gate_measures", *arguments),
        gate_is_closed=lambda *arguments: render("gate_is_closed", *arguments),
    )
    found: list[set[str]] = [set() for _ in invoices]
    for customer, gate in client.query(f"SELECT customer_id, gate FROM ({text})").result_rows:
        found[customer].add(gate)
    return found


def paid(invoices: Invoices, cents: int) -> Invoices:
    """What stays open after a payment, most overdue invoices first."""
    left = []
    for days, amount in sorted(invoices, reverse=True):
        part = min(cents, int(amount * 100))
        cents -= part
        if amount * 100 > part:
            left.append((days, amount - Decimal(part) / 100))
    return left


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_a_stated_payment_opens_the_gates_and_a_cent_less_does_not(engine: Client, seed: int) -> None:
    chance = random.Random(seed)
    base = Base([], {})
    for n in range(12):
        invoices = sorted(
            (
                (
                    chance.choice([1, 14, 15, 16, 59, 60, 61, 90]),
                    Decimal(chance.choice([1, 999, 2_500_000, 4_999_999])) / 100,
                )
                for _ in range(chance.choice([0, 1, 2, 4]))
            ),
            reverse=True,
        )
        tier = chance.choice(["diamond", "gold", "silver", "bronze"])
        base.customers.append(
            {
                "customer_id": n,
                "earned_tier": tier,
                "overdue_amount": sum((amount for _, amount in invoices), Decimal(0)),
                "overdue_days_max": max((days for days, _ in invoices), default=0),
                "overdue_invoices": invoices,
            }
        )
    open_invoices = [customer["overdue_invoices"] for customer in base.customers]
    best = {gate: rank for gate, _, _, rank in base.rule("gates")}
    names = [tier for _, tier, *_ in base.rule("ladder")]
    for customer, now in zip(base.customers, closed_gates(engine, base, open_invoices), strict=True):
        customer["cap_rank"] = max((best[gate] for gate in now), default=1)
    found = cards(engine, base)
    needed = [int((card["overdue_payment_for_next"] or 0) * 100) for card in found]
    after = closed_gates(engine, base, [paid(*pair) for pair in zip(open_invoices, needed, strict=True)])
    short = closed_gates(
        engine, base, [paid(invoices, cents - 1) for invoices, cents in zip(open_invoices, needed, strict=True)]
    )
    for card, cents, opened, closed in zip(found, needed, after, short, strict=True):
        if card["next_tier"] is None:
            assert card["overdue_payment_for_next"] is None
            continue
        target = names.index(card["next_tier"]) + 1
        assert {gate for gate in opened if best[gate] > target} == set()
        assert (cents > 0) == bool(card["closed_gates_for_next"])
        if cents:
            assert {gate for gate in closed if best[gate] > target}


@EXAMPLES
@given(seed=st.integers(0, 2**32), rule=st.sampled_from(["standards", "score"]))
def test_a_card_fits_80_columns_in_both_languages(engine: Client, seed: int, rule: str) -> None:
    base = with_ranks(engine, random_base(seed, rule))
    for card in cards(engine, base)[:12]:
        for language in LANGUAGES:
            text = reason_card(card, language)
            assert max(cell_len(line) for line in text.splitlines()) <= 80
            assert "None" not in text and "nan" not in text


def one_card(client: Client, **customer: Any) -> dict[str, Any]:
    plain = {name: value for name, (_, value) in CUSTOMER.items()}
    return cards(client, Base([{**plain, **customer}], {}))[0]


@pytest.mark.parametrize("candidate_rule", ["standards", "score"])
def test_a_customer_without_potential_has_a_card_where_potential_alone_counts(
    engine: Client, candidate_rule: str
) -> None:
    plain = {name: value for name, (_, value) in CUSTOMER.items()}
    unknown = {"p_score": None, "total_score": 0.0, "candidate_rule": candidate_rule}
    nothing = {f"{component}_contribution": 0.0 for component in "rfmp"}
    weights = {"r_weight": 0.0, "f_weight": 0.0, "m_weight": 0.0, "p_weight": 1.0}
    card = cards(engine, Base([{**plain, **unknown, **nothing}], weights))[0]
    for language in ("en", "zh"):
        rows = [line.split() for line in reason_card(card, language).splitlines() if "0.000000" in line]
        assert len(rows) >= 4
        assert all("%" not in row or row[row.index("%") - 1] == "0" for row in rows)


@pytest.mark.parametrize(
    ("count", "needed", "english", "chinese"),
    [
        (1, 3, "first of three Mondays below gold", "连续第 1 个周一低于黄金（降级需 3 个）"),
        (2, 3, "second of three Mondays below gold", "连续第 2 个周一低于黄金（降级需 3 个）"),
        (5, 3, "fifth Monday in a row below gold, three needed", "连续第 5 个周一低于黄金（降级需 3 个）"),
        (12, 12, "12th of 12 Mondays below gold", "连续第 12 个周一低于黄金（降级需 12 个）"),
        (0, 3, "below gold, no Monday counted yet", "低于黄金，尚未计入周一"),
    ],
)
def test_the_counter_stands_in_words(engine: Client, count: int, needed: int, english: str, chinese: str) -> None:
    card = one_card(
        engine,
        earned_tier="gold",
        lenient_rank=3,
        down_count=count,
        down_rank=count and 3,
        confirm_down_decisions=needed,
    )
    assert card["counter"] == english
    assert card["counter_zh"] == chinese


def test_an_override_is_named_with_its_end_and_what_comes_after(engine: Client) -> None:
    card = one_card(
        engine,
        tier="diamond",
        earned_tier="silver",
        override_rank=1,
        override_manager_id=7,
        override_reason="tender won",
        override_valid_to=DAY + timedelta(days=10),
    )
    assert card["tier_without_override"] == "silver" and card["next_tier"] == "gold"
    text = reason_card(card)
    assert "diamond, by account manager 7, until 2026-03-14: tender won" in text
    assert "2026-03-14: last day of the override, then silver" in text
    assert "2026-03-14：人工指定的最后一天，之后为白银" in reason_card(card, "zh")


@pytest.mark.parametrize(
    ("customer", "column", "english", "chinese"),
    [
        (
            {"earned_tier": "bronze"},
            "how_to_keep",
            "bronze; the lowest tier cannot be lost",
            "青铜；已是最低等级，不会再降",
        ),
        ({"earned_tier": "diamond"}, "how_to_gain_next", "diamond; already the best tier", "钻石；已是最高等级"),
        (
            {"earned_tier": "silver", "standing": "blocked", "treatment": "freeze", "customer_status": "closed"},
            "how_to_keep",
            "silver; orders change nothing while the customer is blocked or closed",
            "白银；客户冻结或关闭期间，下单不改变等级",
        ),
    ],
)
def test_what_no_lever_moves_is_said_of_the_tier_after_the_override(
    engine: Client, customer: dict[str, Any], column: str, english: str, chinese: str
) -> None:
    override = {"override_manager_id": 7, "override_reason": "tender", "override_valid_to": DAY + timedelta(days=10)}
    card = one_card(engine, tier="gold", override_rank=2, **override, **customer)
    assert card[column] == f"after the override, which ends on 2026-03-14: {english}"
    assert card[f"{column}_zh"] == f"人工指定结束后（2026-03-14）：{chinese}"
    # The end of the override is a change, so nothing says that there is none.
    assert "no downgrade" not in reason_card(card)


def test_a_closed_account_is_not_called_blocked_too(engine: Client) -> None:
    card = one_card(engine, standing="blocked", treatment="freeze", customer_status="closed")
    assert "region east   closed\n" in reason_card(card)


def test_an_amount_is_shown_in_whole_cents_and_never_above_what_it_is(engine: Client) -> None:
    text = render("whole_cents_text", "value")
    shown = f"SELECT countIf({text} != toDecimalString(toDecimal64(number, 2) / 100, 2)) FROM "
    whole = "(SELECT number, number / 100 AS value FROM numbers(300000))"
    assert engine.command(f"{shown} {whole}") == 0  # floor(0.29, 2) is 0.28
    between = "(SELECT number, (number + 0.75) / 100 AS value FROM numbers(300000))"
    assert engine.command(f"{shown} {between}") == 0
    for value, cents in ((0.29, "0.29"), (3215.7275, "3,215.72"), (-0.005, "-0.01")):
        card = one_card(engine, average_order_value=value, order_count=8)
        sentences = f"{card['how_to_keep']}; {card['how_to_gain_next']}"
        assert f"(now {cents.replace(',', '')})" in sentences
        assert f" {cents} " in reason_card(card)


def test_a_day_whose_rules_were_not_kept_has_no_cards(engine: Client) -> None:
    """An earlier version published it: a ladder without steps would say that nothing is needed to keep a tier."""
    unknown: dict[str, Any] = {name: [] for name in ("ladder", "tier_labels", "gates")}
    assert cards(engine, Base([{}], unknown | {"downgrade_weekdays": 0})) == []


def test_a_blocked_customer_has_no_lever(engine: Client) -> None:
    card = one_card(engine, standing="blocked", treatment="freeze")
    assert card["next_tier"] is None and card["orders_per_month_for_next"] is None
    assert card["how_to_gain_next"] == "orders change nothing while the customer is blocked or closed"
    assert card["how_to_keep_zh"] == "客户冻结或关闭期间，下单不改变等级"


def test_a_new_customer_cannot_fall_before_the_protection_ends_and_three_mondays_pass(engine: Client) -> None:
    card = one_card(
        engine,
        standing="new",
        treatment="protect",
        earned_tier="gold",
        lenient_rank=3,
        first_order_date=DAY - timedelta(days=10),
        earned_since_date=DAY - timedelta(days=300),
    )
    # Protected until Tuesday, 2026-03-24: the Mondays of 30 March, 6 and 13 April count.
    assert card["earliest_downgrade_on"] == date(2026, 4, 13)
