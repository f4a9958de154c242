"""Expectations of features: every scored customer once, windows that contain each other, shares that are shares."""

from __future__ import annotations

from orchestration.quality.checks import Build, Expectation, Suite, rows, whole

_SHARES = {
    "cost_known_share_to_date": "gross amount with a known cost",
    "overdue_share": "what is overdue of what is owed",
}


def suites(build: Build) -> list[Suite]:
    """The feature snapshot that is being built; that it holds every customer of the facts is a test of the dbt project."""
    orders = (
        f"{build.table('facts', 'fct_orders')} WHERE {build.known} AND is_valid = 1 AND business_date <= {build.day}"
    )
    return [
        Suite(
            "features",
            ("features", "feature_snapshot"),
            f"SELECT * FROM {build.table('features', 'feature_snapshot')}",
            [
                whole("not_empty", "At least one customer is scored.", "count() > 0"),
                rows("of_the_day", f"Features are those of {build.as_of}.", f"as_of_date = {build.day}"),
                whole("one_row_per_customer", "Every customer stands there once.", "count() = uniqExact(customer_id)"),
                whole(
                    "sales_of_the_facts",
                    "Net sales of 90 days are those of the orders, to the cent.",
                    "sum(net_amount_90d) = "
                    f"(SELECT sum(net_amount) FROM {orders} AND business_date > {build.days_before(90)})",
                ),
                rows("ordered_at_least_once", "A scored customer has ordered.", "order_count_to_date >= 1"),
                rows(
                    "order_counts_grow_with_window",
                    "A longer window never holds fewer orders: 7, 30, 90, 365 days, to date.",
                    "order_count_7d <= order_count_30d AND order_count_30d <= order_count_90d "
                    "AND order_count_90d <= order_count_365d AND order_count_365d <= order_count_to_date",
                ),
                rows(
                    "order_days_within_orders",
                    "There are no more days with an order than orders.",
                    "order_day_count_90d <= order_count_90d AND (order_day_count_90d > 0) = (order_count_90d > 0)",
                ),
                rows(
                    "last_order_not_ahead",
                    "The last order is on or before the day, and not before the first one.",
                    f"last_order_date <= {build.day} AND first_order_date <= last_order_date "
                    f"AND days_since_last_order = {build.day} - last_order_date",
                ),
                rows(
                    "average_exists_with_orders",
                    "The mean order value is known exactly when there are orders in 90 days.",
                    "(average_order_value_90d IS NULL) = (order_count_90d = 0)",
                ),
                rows(
                    "rates_not_negative",
                    "Refund and complaint rates and variation are not negative.",
                    "ifNull(refund_amount_rate_90d, 0) >= 0 AND ifNull(complaint_rate_90d, 0) >= 0 "
                    "AND ifNull(order_value_cv_180d, 0) >= 0 AND ifNull(order_value_robust_cv_180d, 0) >= 0",
                    # A line whose discount exceeds its price is landed as it is, and can turn a rate around.
                    severity="warning",
                ),
                *(_share(column, meaning) for column, meaning in _SHARES.items()),
                rows(
                    "overdue_within_receivable",
                    "No more is overdue than is owed.",
                    "overdue_amount <= receivable_amount",
                ),
                rows(
                    "tried_within_offered",
                    "No more new products were tried than offered.",
                    "new_product_tried_count_180d <= new_product_offered_count_180d",
                ),
            ],
        ),
    ]


def _share(column: str, meaning: str) -> Expectation:
    # Recorded, not blocking: lines of negative value exist in real histories and push a share out of its range.
    description = f"The share of {meaning} is between 0 and 1."
    return rows(f"{column}_in_range", description, f"{column} BETWEEN 0 AND 1", severity="warning")
