"""What cards of the small distributor state, done for real: orders placed and an invoice paid, then the day once more."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

Mart = Callable[..., pd.DataFrame]
DAY = date(2024, 7, 5)


def assert_cards_agree(mart: Mart, tierhouse: Callable[..., str]) -> None:
    """`tierhouse explain` says what tier_reasons says, and both what customer_tiers and score_contributions say."""
    cards, tiers = mart("tier_reasons", DAY, "customer_id"), mart("customer_tiers", DAY, "customer_id")
    assert list(cards.index) and set(cards.index) == set(tiers.index)
    for column in ("tier", "earned_tier", "candidate_tier", "total_score", "lifetime_value", "decision_reason_zh"):
        assert (cards[column] == tiers[column].reindex(cards.index)).all(), column
    parts = sum(cards[f"{component}_contribution"] for component in "rfmp")
    assert (abs(parts - cards["total_score"]) <= 1e-9).all()
    # The need agrees with the stored share: a criterion is missed exactly where the value is below its need.
    stated = cards[cards["lifetime_value_for_next"].notna()]
    is_missed = stated["criteria_missed_for_next"].map(lambda missed: "lifetime_value" in missed)
    assert len(stated) and (is_missed == (stated["lifetime_value"] < stated["lifetime_value_for_next"])).all()
    for customer in (105, 116):
        for language, suffix in (("en", ""), ("zh", "_zh")):
            text = "".join(tierhouse("explain", str(customer), "--lang", language).split())
            for column in (f"how_to_keep{suffix}", f"how_to_gain_next{suffix}", f"counter{suffix}"):
                assert "".join(cards.loc[customer, column].split()) in text, (customer, column)


def assert_stated_changes_come_true(mart: Mart, tierhouse: Callable[..., str], folder: Path) -> None:
    """The stated number of orders raises a tier, one order less does not, and the stated payment opens a gate."""
    before = mart("tier_reasons", DAY, "customer_id")
    orders, lines = [], []
    for customer, less in ((105, 0), (103, 1)):
        card = before.loc[customer]
        assert card["tier"] == "silver" and card["missing_count_for_next"] == 1
        for _ in range(int(card["orders_per_month_for_next"] - card["orders_per_month"]) - less):
            order = 900_000 + len(orders)
            orders.append({"order_id": order, "customer_id": customer, "status": "completed", "channel": "app"})
            lines.append(
                {"order_id": order, "line_no": 1, "product_id": 1, "quantity": 1, "unit_price": 5, "unit_cost": 4}
            )
    payment = before.loc[116, "overdue_payment_for_next"]
    assert payment > 0 and before.loc[116, "closed_gates_for_next"] == ["overdue_days"]
    folder.mkdir()
    moment = f"{DAY} 12:00:00"
    pd.DataFrame(orders).assign(ordered_at=moment, updated_at=moment).to_csv(folder / "orders.csv", index=False)
    pd.DataFrame(lines).assign(updated_at=moment).to_csv(folder / "order_lines.csv", index=False)
    paid = {"payment_id": 900_000, "invoice_id": 3, "paid_on": DAY - timedelta(days=1), "amount": payment}
    pd.DataFrame([paid]).assign(updated_at=moment).to_csv(folder / "payments.csv", index=False)

    tierhouse("land", str(folder))
    tierhouse("refresh", "--as-of", DAY.isoformat())

    after = mart("tier_reasons", DAY, "customer_id")
    assert after.loc[105, "tier"] == "gold" and after.loc[105, "decision"] == "upgraded"
    assert after.loc[103, "tier"] == "silver"
    assert after.loc[103, "orders_per_month_for_next"] - after.loc[103, "orders_per_month"] == 1
    assert after.loc[116, "closed_gates_for_next"] == [] and after.loc[116, "overdue_payment_for_next"] == 0
