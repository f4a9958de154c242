"""People read labels, in their language, and names only where a thing has no label."""

from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from orchestration.macros import render
from orchestration.reason_card import reason_card
from orchestration.tier_names import tier_name

from .bases import CUSTOMER, LABEL_ROWS, Base, store
from .test_cards import one_card

STANDARDS = (
    "(SELECT c1 AS tier, c2 AS tier_label FROM values(('diamond', 'diamond 钻石'), ('gold', 'gold 黄金'), "
    "('silver', 'silver 白银'), ('bronze', 'bronze 青铜')))"
)


def reasons(client: Client, **customer: Any) -> tuple[str, str]:
    """The reason of a customer's tier in English and Chinese."""
    plain = {name: value for name, (_, value) in CUSTOMER.items()}
    customers, _ = store(client, "explain_test", Base([{**plain, **customer}], {}))
    names = render("tier_reason_names", "row", STANDARDS, LABEL_ROWS)
    texts = ", ".join(render("tier_reason_text", "named", language) for language in ("en", "zh"))
    english, chinese = client.query(
        f"SELECT {texts} FROM (SELECT row.*, {names} FROM {customers} AS row) AS named"
    ).result_rows[0]
    return english, chinese


def test_the_reason_of_a_tier_names_tiers_and_gates_in_the_language_of_the_reader(engine: Client) -> None:
    capped = {"reason_code": "gate", "closed_gates": ["long_overdue", "risk_flag"], "earned_tier": "gold"}
    assert reasons(engine, **capped) == (
        "at most silver while closed: invoice long overdue, risk_flag; earned: gold",
        "最高白银，触发限制：账款长期逾期、risk_flag；应得：黄金",
    )
    assert reasons(engine) == (
        "orders silver, order value silver, lifetime value silver: at least 2 of 3 reach silver",
        "订单频次白银，客单价白银，生命周期价值白银：至少 2 项（共 3 项）达到白银",
    )


def test_the_reason_of_the_first_tier_says_what_limits_the_tier(engine: Client) -> None:
    criteria = "first tier: orders silver, order value silver, lifetime value silver: at least 2 of 3 reach silver"
    criteria_zh = "首次定级：订单频次白银，客单价白银，生命周期价值白银：至少 2 项（共 3 项）达到白银"
    lowest = {"reason_code": "first_seen", "tier": "bronze", "tier_rank": 4}
    assert reasons(engine, reason_code="first_seen") == (criteria, criteria_zh)
    assert reasons(engine, **lowest, cap_rank=4, closed_gates=["long_overdue"]) == (
        f"{criteria}; at most bronze while closed: invoice long overdue",
        f"{criteria_zh}；最高青铜，触发限制：账款长期逾期",
    )
    assert reasons(engine, **lowest, earned_tier="bronze", standing="lapsed", days_since_last_order=98) == (
        f"{criteria}; but bronze: no order for 98 days",
        f"{criteria_zh}；但为青铜：已 98 天未下单",
    )
    assert reasons(engine, **lowest, earned_tier="bronze", standing="new", treatment="lowest") == (
        f"{criteria}; but bronze, where new customers begin",
        f"{criteria_zh}；但为青铜，新客户由此开始",
    )


@pytest.mark.parametrize(
    ("share", "text"), [(0.00001, "0.1"), (0.1, "10"), (0.1004, "10.1"), (0.07, "7"), (0.3, "30"), (1.0, "100")]
)
def test_a_customer_is_never_said_to_be_further_up_than_it_is(engine: Client, share: float, text: str) -> None:
    english, chinese = reasons(engine, candidate_rule="score", score_top_share=share)
    assert english == f"score in the top {text} %: silver"
    assert chinese == f"得分位于前 {text}%：白银"


def test_a_card_in_chinese_shows_no_name_that_has_a_label(engine: Client) -> None:
    owes = {"overdue_days_max": 70, "overdue_amount": 10, "overdue_invoices": [(70, 10)]}
    card = one_card(engine, earned_tier="gold", cap_rank=3, has_risk_flag=1, **owes)
    assert "gates that have to open: invoice long overdue, risk_flag" in card["how_to_gain_next"]
    assert "需解除限制：账款长期逾期、risk_flag" in card["how_to_gain_next_zh"]
    chinese, english = reason_card(card, "zh"), reason_card(card)
    assert "策略 等级标准" in chinese and "得分：与最大值之比" in chinese
    assert "ratio to the maximum" in english and "policy standards" in english
    for name in ("ratio_to_max", "long_overdue", "silver", "standards"):
        assert name not in chinese


@pytest.mark.parametrize(
    ("tier", "label", "english", "chinese"),
    [
        ("gold", "gold 黄金", "gold", "黄金"),
        ("gold", "", "gold", "gold"),
        ("gold", "gold", "gold", "gold"),
        ("t1", "黄金", "t1", "黄金"),
        ("t1", "Gold", "Gold", "Gold"),
        # A tier that its label only begins with is no word of its own.
        ("A", "A级", "A", "A级"),
        ("gold", "golden", "golden", "golden"),
    ],
)
def test_a_label_in_one_language_or_both_names_the_tier_in_sql_as_in_python(
    engine: Client, tier: str, label: str, english: str, chinese: str
) -> None:
    for language, name in (("en", english), ("zh", chinese)):
        assert tier_name(tier, label, language) == name
        names = render("tier_names", f"['{tier}']", f"['{label}']", language)
        assert engine.command(f"SELECT {names}[1]") == name
