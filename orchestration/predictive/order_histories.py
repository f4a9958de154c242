"""Where predictions find what a customer ordered: one relation, made of the facts of any day or of the features of the day in work.

Both have the same columns, one row per customer with a valid order up to the as-of date, as known at the cut-off:
customer_id, business_type, customer_status, order_dates (ascending, each once), net_amount_90d, net_amount_365d,
net_amount_prior_180d, net_amount_prior_364d (the 180 and 364 days before the last 90), value_to_date, is_from_revenue.
"""

from __future__ import annotations

from datetime import date

from clickhouse_connect.driver.client import Client

from orchestration.predictive.cutoff import days_before, described, known, until
from orchestration.predictive.defection import HALF_DAYS, WINDOW_DAYS, YEAR_DAYS
from orchestration.predictive.store import check_day
from orchestration.warehouse.settings import Settings


def from_facts(settings: Settings, as_of: date, known_until: date, chosen: str = "true") -> str:
    """The relation of any day, from all its orders, without business_type and customer_status.

    chosen: a condition on the rows of orders.
    """
    day = until(as_of)
    before = f"business_date <= {days_before(as_of, WINDOW_DAYS)}"
    return f"""(
        SELECT customer_id,
            arraySort(arrayDistinct(groupArray(business_date))) AS order_dates,
            sumIf(net_amount, business_date > {days_before(as_of, WINDOW_DAYS)}) AS net_amount_90d,
            sumIf(net_amount, business_date > {days_before(as_of, 365)}) AS net_amount_365d,
            sumIf(net_amount, {before} AND business_date > {days_before(as_of, WINDOW_DAYS + HALF_DAYS)}) AS net_amount_prior_180d,
            sumIf(net_amount, {before} AND business_date > {days_before(as_of, WINDOW_DAYS + YEAR_DAYS)}) AS net_amount_prior_364d,
            -- Margin before the tier's discount, as in the lifetime value of the tiers; net sales where no cost is known.
            toFloat64(sum(net_amount)) - if(max(is_cost_known) = 1, toFloat64(round(sum(cost_amount), 2)), 0)
            + toFloat64(sum(tier_discount_amount)) AS value_to_date,
            toUInt8(max(is_cost_known) = 0) AS is_from_revenue
        FROM {settings.database("facts")}.fct_orders
        WHERE {known(settings, known_until)} AND is_valid = 1 AND business_date <= {day} AND {chosen}
        GROUP BY customer_id
    )"""


def described_from_facts(settings: Settings, as_of: date, known_until: date, chosen: str = "true") -> str:
    """The whole relation of any day, from all its orders and all versions of customers."""
    types = described(settings, "customers", "customer_id", ("business_type", "customer_status"), known_until)
    return f"""(
        SELECT orders.*, ifNull(nullIf(types.business_type, ''), 'unknown') AS business_type,
            ifNull(nullIf(types.customer_status, ''), 'active') AS customer_status
        FROM {from_facts(settings, as_of, known_until, chosen)} AS orders
        LEFT JOIN {types} AS types ON orders.customer_id = types.customer_id
    )"""


def from_features(client: Client, settings: Settings, as_of: date) -> str:
    """The whole relation of the day whose features stand in the warehouse: nothing is gathered a second time.

    Raises TierhouseError when they are those of another day.
    """
    table = f"{settings.database('features')}.customer_order_features"
    check_day(client, table, as_of.isoformat())
    return f"""(
        SELECT features.*, customers.business_type AS business_type, customers.customer_status AS customer_status,
            toFloat64(net_amount_to_date) - ifNull(toFloat64(cost_to_date), 0) + toFloat64(tier_discount_amount_to_date)
                AS value_to_date,
            toUInt8(cost_to_date IS NULL) AS is_from_revenue
        FROM {table} AS features
        INNER JOIN {settings.database("facts")}.dim_customers AS customers ON features.customer_id = customers.customer_id
    )"""
