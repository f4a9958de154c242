"""Expectations of facts: amounts and periods of the orders that this refresh touched or that the day is made of.

Work grows with the day: orders that changed and those of the last 30 days, lines of the last 30 days, never all lines.
"""

from __future__ import annotations

from orchestration.quality.checks import Build, Suite, rows, whole

_DAYS = 30


def suites(build: Build) -> list[Suite]:
    """Orders, order lines, watermark and the two dimensions."""
    orders, lines = build.table("facts", "fct_orders"), build.table("facts", "fct_order_lines")
    window = f"(business_date > {build.days_before(_DAYS)} AND business_date <= {build.day})"
    known = build.known
    return [
        Suite(
            "facts",
            ("facts", "fct_orders"),
            f"SELECT * FROM {orders} WHERE {window} "
            f"OR order_id IN (SELECT order_id FROM {build.table('facts', 'fct_changed_orders')})",
            [
                rows("period_has_length", "A version of an order begins before it ends.", "known_from < known_to"),
                whole(
                    "one_version_at_cutoff",
                    "At the cut-off every order has at most one version.",
                    f"countIf({known}) = uniqExactIf(order_id, {known})",
                ),
                rows(
                    "net_is_gross_less_refunds",
                    "The order value is the value of the lines less the refunds.",
                    "net_amount = gross_amount - refund_amount",
                ),
                rows(
                    "valid_orders_have_lines", "A valid order has at least one line.", "is_valid = 0 OR line_count > 0"
                ),
                rows(
                    "void_orders_have_no_value",
                    "A cancelled or deleted order counts for nothing.",
                    "is_valid = 1 OR (gross_amount = 0 AND refund_amount = 0 AND net_amount = 0)",
                ),
                rows("refund_not_negative", "Refunds take away, they never add.", "refund_amount >= 0"),
                rows(
                    "refund_within_gross",
                    "An order is not refunded more than it was worth.",
                    "refund_amount <= greatest(gross_amount, 0)",
                    severity="warning",
                ),
                rows("customer_present", "Every order has a customer.", "customer_id > 0", severity="warning"),
            ],
        ),
        Suite(
            "facts",
            ("facts", "fct_order_lines"),
            f"SELECT * FROM {lines} WHERE {window}",
            [
                rows("period_has_length", "A version of a line begins before it ends.", "known_from < known_to"),
                rows(
                    "value_is_quantity_times_price",
                    "The value of a line is quantity times price less discount, to the cent.",
                    "gross_amount = round(quantity * unit_price - discount_amount, 2)",
                ),
                rows(
                    "unknown_cost_is_zero",
                    "A line without a known cost carries none.",
                    "is_cost_known = 1 OR cost_amount = 0",
                ),
                whole(
                    "lines_add_up_to_orders",
                    f"The valid lines of the last {_DAYS} days add up to the valid orders of those days, to the cent.",
                    f"sumIf(gross_amount, {known} AND is_valid = 1) = "
                    f"(SELECT sumIf(gross_amount, {known} AND is_valid = 1) FROM {orders} WHERE {window})",
                ),
            ],
        ),
        Suite(
            "facts",
            ("facts", "fct_watermark"),
            f"SELECT * FROM {build.table('facts', 'fct_watermark')}",
            [
                whole(
                    "facts_hold_all_that_landed",
                    "Every landed order, line and refund is in the facts.",
                    "count() = 1 AND max(loaded_at) >= greatest("
                    + ", ".join(
                        f"(SELECT max(_loaded_at) FROM {build.table('landing', name)})"
                        for name in ("orders", "order_lines", "refunds")
                    )
                    + ")",
                ),
            ],
        ),
        Suite(
            "facts",
            ("facts", "dim_customers"),
            f"SELECT customer_id, customer_status, credit_term_days FROM {build.table('facts', 'dim_customers')}",
            [
                whole("one_row_per_customer", "Every customer stands there once.", "count() = uniqExact(customer_id)"),
                rows(
                    "status_known",
                    "A customer is active, blocked or closed.",
                    "customer_status IN ('active', 'blocked', 'closed')",
                ),
            ],
        ),
        Suite(
            "facts",
            ("facts", "dim_products"),
            f"SELECT product_id FROM {build.table('facts', 'dim_products')}",
            [whole("one_row_per_product", "Every product stands there once.", "count() = uniqExact(product_id)")],
        ),
    ]
