"""Reading weekly net sales as they were known at a cut-off, and writing their forecasts."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.predictive.category_tree import ROOM, read_tops, top_of
from orchestration.predictive.cutoff import described, known, until
from orchestration.predictive.forecast import HISTORY_WEEKS
from orchestration.predictive.store_tables import Replacement, frame_of
from orchestration.warehouse.settings import Settings

TOTAL, REGION, CATEGORY, TIER = "total", "region", "category", "tier"
# Of each dimension the members that sold most in the last year have a forecast of their own, the others one together.
LARGEST_MEMBERS = 40
OTHERS = "other"
_TYPES = {"dimension": "str", "member": "str", "member_name": "str", "week": "datetime64[s]", "net_amount": "float64"}

# Read before the rows replace those of before.
MUST_HOLD = {
    "a week of a series stands there once": "uniqExact(dimension, member, week_start_date) = count()",
    "a forecast lies within its interval": "countIf(net_amount_low > net_amount OR net_amount > net_amount_high) = 0",
    "coverage is between 0 and 1": "countIf(NOT ifNull(interval_coverage BETWEEN 0 AND 1, 1)) = 0",
}


def read_weekly_sales(client: Client, settings: Settings, day: date) -> pd.DataFrame:
    """Net sales of complete ISO weeks up to the end of `day`, one row per series and week with an order.

    dimension, member, member_name, week (its Monday), net_amount (CNY, refunds taken off). The week of the first order counts only
    if it began on the Monday. Categories are those at the top; a customer's tier is the one that was published last at `day`.
    """
    last_monday = last_complete_week(day)
    sales = pd.concat(
        [_of_customers(client, settings, day, last_monday), _of_categories(client, settings, day, last_monday)],
        ignore_index=True,
    )
    return _largest_members(sales, last_monday)


def last_complete_week(day: date) -> date:
    """Monday of the last week that ended on `day` or before."""
    return day - timedelta(days=(day.weekday() + 1) % 7 + 6)


def first_complete_week(client: Client, settings: Settings, day: date) -> date | None:
    """Monday of the first week that the orders cover whole; None without an order."""
    first = client.query(
        f"SELECT minOrNull(business_date) FROM {settings.database('facts')}.fct_orders "
        f"WHERE {known(settings, day)} AND is_valid = 1 AND business_date <= {until(day)}"
    ).result_rows[0][0]
    return None if first is None else first + timedelta(days=-first.weekday() % 7)


def _of_customers(client: Client, settings: Settings, day: date, last_monday: date) -> pd.DataFrame:
    customers = described(settings, "customers", "customer_id", ("region_code",), day)
    snapshots = settings.database("snapshots")
    tiers = "(SELECT toUInt64(0) AS customer_id, '' AS tier, '' AS tier_label WHERE 0)"
    if client.command(f"EXISTS TABLE {snapshots}.published_builds") == 1:
        tiers = (
            f"(SELECT customer_id, toString(tier) AS tier, toString(tier_label) AS tier_label FROM {snapshots}.customer_tier_snapshots "
            f"WHERE (as_of_date, build_id) IN (SELECT as_of_date, build_id FROM {snapshots}.published_builds "
            f"WHERE as_of_date <= {until(day)} ORDER BY as_of_date DESC LIMIT 1))"
        )
    return frame_of(
        client,
        f"""
        SELECT multiIf(grouping(region) = 0, '{REGION}', grouping(tier) = 0, '{TIER}', '{TOTAL}') AS dimension,
            multiIf(dimension = '{REGION}', region, dimension = '{TIER}', tier, '{TOTAL}') AS member,
            if(dimension = '{TIER}', any(label), member) AS member_name, week, toFloat64(sum(net)) AS net_amount
        FROM (
            SELECT if(customer.region_code = '', 'unknown', customer.region_code) AS region, tiers.tier AS tier,
                tiers.tier_label AS label, orders.week AS week, orders.net AS net
            FROM (SELECT customer_id, toMonday(business_date) AS week, sum(net_amount) AS net
                FROM {settings.database("facts")}.fct_orders WHERE {_period(settings, day, last_monday)}
                GROUP BY customer_id, week) AS orders
            LEFT JOIN {customers} AS customer ON orders.customer_id = customer.customer_id
            LEFT JOIN {tiers} AS tiers ON orders.customer_id = tiers.customer_id
        )
        GROUP BY GROUPING SETS ((week), (week, region), (week, tier))
        HAVING NOT (dimension = '{TIER}' AND member = '')
        ORDER BY dimension, member, week
        """,
        _TYPES,
    )


def _of_categories(client: Client, settings: Settings, day: date, last_monday: date) -> pd.DataFrame:
    """Line values less their share of the refunds of their order, since most refunds do not name a line."""
    products = described(settings, "products", "product_id", ("category_id",), day)
    categories = described(settings, "categories", "category_id", ("category_name",), day)
    top = top_of("assumeNotNull(category_id)", read_tops(client, settings, day))
    facts, period = settings.database("facts"), _period(settings, day, last_monday)
    return frame_of(
        client,
        f"""
        SELECT '{CATEGORY}' AS dimension, toString(of_product.top_id) AS member,
            ifNull(nullIf(any(top.category_name), ''), member) AS member_name, week,
            toFloat64(sum(sold.net)) AS net_amount
        FROM (
            SELECT product_id, toMonday(business_date) AS week, sum(gross_amount) - sum(refunded) AS net
            FROM (
                -- Decimals throughout: a float would lose a cent on its way into one. Without a refund it is 0 / 1.
                SELECT product_id, business_date, line.gross_amount AS gross_amount,
                    round(toDecimal128(line.gross_amount, 2) * refunds.amount / if(refunds.of_amount = 0, 1, refunds.of_amount), 2)
                        AS refunded
                FROM (SELECT * FROM {facts}.fct_order_lines WHERE {period}) AS line
                LEFT JOIN (
                    SELECT order_id, refund_amount AS amount, gross_amount AS of_amount FROM {facts}.fct_orders
                    WHERE {period} AND refund_amount != 0 AND gross_amount != 0
                ) AS refunds ON line.order_id = refunds.order_id
            )
            GROUP BY product_id, week
        ) AS sold
        INNER JOIN (
            SELECT product_id, {top} AS top_id FROM {products} WHERE category_id IS NOT NULL
        ) AS of_product ON sold.product_id = of_product.product_id
        LEFT JOIN {categories} AS top ON of_product.top_id = top.category_id
        GROUP BY member, week ORDER BY member, week
        """,
        _TYPES,
        ROOM,
    )


def _period(settings: Settings, day: date, last_monday: date) -> str:
    first = last_monday - timedelta(weeks=HISTORY_WEEKS - 1)
    return (
        f"{known(settings, day)} AND is_valid = 1 AND business_date >= {until(first)} "
        f"AND business_date <= {until(last_monday)} + 6"
    )


def _largest_members(sales: pd.DataFrame, last_monday: date) -> pd.DataFrame:
    year = sales[sales["week"] > pd.Timestamp(last_monday - timedelta(weeks=52))]
    size = year.groupby(["dimension", "member"], as_index=False)["net_amount"].sum()
    size = size.sort_values(["dimension", "net_amount", "member"], ascending=[True, False, True])
    kept = size[size.groupby("dimension").cumcount() < LARGEST_MEMBERS][["dimension", "member"]]
    is_kept = pd.MultiIndex.from_frame(sales[["dimension", "member"]]).isin(pd.MultiIndex.from_frame(kept))
    sales = sales.assign(
        member=np.where(is_kept, sales["member"], OTHERS), member_name=np.where(is_kept, sales["member_name"], OTHERS)
    )
    return sales.groupby(["dimension", "member", "member_name", "week"], as_index=False)["net_amount"].sum()


def replace_forecast(client: Client, settings: Settings, day: date, rows: pd.DataFrame, version: str) -> None:
    """Make `rows` the forecast of `day`, all at once or not at all."""
    with Replacement(client, settings, "sales_forecast", day, MUST_HOLD) as incoming:
        incoming.insert(rows, as_of_date=day, model_version=version)
