"""Orders, order lines and the rest as known at the cut-off of one as-of date; money in integer cents."""

from dataclasses import dataclass
from datetime import date

import pandas as pd

from .money import multiply, round_half_away
from .tables import TABLES, business_days, cut_off, day_number, described, known, typed_table


@dataclass(frozen=True)
class Facts:
    """Everything known at the cut-off.

    `orders`: one row per valid order up to `day` (order_id, customer_id, day, gross, refund, net, tier_discount, cost,
    cost_lines, gross_with_cost). `lines`: their lines (order_id, customer_id, day, product_id, category_id, value).
    The other frames are the live rows of their table. Amounts are cents, `cost` 10^-7 CNY, days are day numbers.
    """

    day: int
    zone: str
    orders: pd.DataFrame
    lines: pd.DataFrame
    customers: pd.DataFrame
    products: pd.DataFrame
    refunds: pd.DataFrame
    complaints: pd.DataFrame
    invoices: pd.DataFrame
    payments: pd.DataFrame
    credit_reports: pd.DataFrame
    manager_inputs: pd.DataFrame


def build_facts(tables: dict[str, pd.DataFrame], as_of: date, zone: str) -> Facts:
    """Facts of one as-of date from delivered tables (all versions; absent tables are empty)."""
    cutoff, day = cut_off(as_of, zone), day_number(as_of)
    live = {
        name: (described if name in ("customers", "products") else known)(
            typed_table(name, tables, zone), table.key, cutoff
        )
        for name, table in TABLES.items()
    }
    lines = _lines(live, day, zone)
    complaints = live["complaints"]
    complaints = complaints.assign(day=business_days(complaints["opened_at"], zone))
    return Facts(
        day=day,
        zone=zone,
        orders=_orders(lines, live["refunds"]),
        lines=lines,
        customers=live["customers"].set_index("customer_id"),
        products=live["products"].set_index("product_id"),
        refunds=live["refunds"],
        complaints=complaints,
        invoices=live["invoices"],
        payments=live["payments"],
        credit_reports=live["credit_reports"],
        manager_inputs=live["manager_inputs"],
    )


def _lines(live: dict[str, pd.DataFrame], day: int, zone: str) -> pd.DataFrame:
    """Live lines of the orders that are not cancelled and not after the as-of date."""
    orders = live["orders"]
    orders = orders.assign(day=business_days(orders["ordered_at"], zone))
    orders = orders[(orders["status"] != "cancelled") & (orders["day"] <= day)]
    lines = live["order_lines"].merge(orders[["order_id", "customer_id", "day"]], on="order_id")
    lines = lines.merge(live["products"][["product_id", "category_id"]], on="product_id", how="left")

    # quantity has 3 decimals and price 4, so a product has 7; discounts with 2 are lifted to 7.
    exact = multiply(lines["quantity"], lines["unit_price"]) - lines["discount_amount"] * 10**5
    lines["value"] = round_half_away(exact, 5)

    refunds = live["refunds"]
    stated = refunds[refunds["line_no"].notna() & refunds["quantity"].notna()]
    stated = stated.groupby(["order_id", "line_no"], as_index=False)["quantity"].sum()
    stated = stated.astype({"line_no": "int64"}).rename(columns={"quantity": "refunded_quantity"})
    lines = lines.merge(stated, on=["order_id", "line_no"], how="left")
    kept = lines["quantity"] - lines["refunded_quantity"].fillna(0)
    lines["cost"] = multiply(kept, lines["unit_cost"])  # with all 7 decimals: rounded once, per customer and window
    return lines


def _orders(lines: pd.DataFrame, refunds: pd.DataFrame) -> pd.DataFrame:
    """Valid orders: those that have a live line."""
    has_cost = lines["cost"].notna()
    lines = lines.assign(cost_lines=has_cost.astype("int64"), gross_with_cost=lines["value"].where(has_cost, 0))
    orders = lines.groupby(["order_id", "customer_id", "day"], as_index=False).agg(
        gross=("value", "sum"),
        tier_discount=("tier_discount_amount", "sum"),
        cost=("cost", "sum"),
        cost_lines=("cost_lines", "sum"),
        gross_with_cost=("gross_with_cost", "sum"),
    )
    orders["refund"] = orders["order_id"].map(refunds.groupby("order_id")["amount"].sum()).fillna(0).astype("Int64")
    orders["net"] = orders["gross"] - orders["refund"]
    return orders.astype({"customer_id": "int64", "day": "int64"})
