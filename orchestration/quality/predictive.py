"""Expectations of what the models say of the day, held against the rows that scores, tiers and marts are made of.

One row of a customer at most, chances and shares that are such, amounts that are numbers. Only the partition of the day is read.
A day that is decided again may be older than the predictions that are kept, so no row at all is no fault here: the features of
the build say how many customers there are.
"""

from __future__ import annotations

from orchestration.quality.checks import Build, Expectation, Suite, rows, whole

TABLES = ("potential", "churn", "lifetime_value")
_SECOND_SHARES = (
    "headroom_by_size_share",
    "growth_slope_share",
    "growth_slope_p_value",
    "expected_growth_share",
    "new_product_acceptance_fitted_180d",
    "potential_index_v2",
)


def suites(build: Build) -> list[Suite]:
    """The predictive tables of the as-of date; the second version of potential is judged beside the first."""
    parts = f"{build.table('predictive', 'potential_parts')} WHERE as_of_date = {build.day}"
    in_range = f"{_between(*_SECOND_SHARES)} AND ifNull(category_headroom_by_size_90d >= 0, 1)"
    expectations = {
        "potential": [
            _one_row_per_customer(),
            rows(
                "shares_in_range",
                "The potential index and its parts are between 0 and 1, and headroom is not negative.",
                f"{_between('potential_index', 'headroom_share', 'growth_share', 'new_product_acceptance_180d')} "
                "AND ifNull(category_headroom_90d >= 0, 1)",
            ),
            whole(
                "second_version_in_range",
                "The same holds of the second version, and every customer stands there once.",
                f"(SELECT count() = uniqExact(customer_id) AND countIf(NOT ({in_range})) = 0 FROM {parts})",
            ),
        ],
        "churn": [
            _one_row_per_customer(),
            rows(
                "chances_in_range",
                "The chances of no order and of having left are between 0 and 1.",
                _between("p_no_order_30d", "p_defected"),
            ),
            rows(
                "silence_is_a_number",
                "Gaps, silence and their ratio are numbers, not negative.",
                " AND ".join(
                    f"isFinite({column}) AND {column} >= 0"
                    for column in ("expected_gap_days", "silence_open_days", "pause_open_days", "gap_ratio")
                ),
            ),
            rows("value_at_risk_not_negative", "Nobody has less than nothing to lose.", "value_at_risk >= 0"),
            rows("risk_known", "The risk is low, medium or high.", "churn_risk IN ('low', 'medium', 'high')"),
        ],
        "lifetime_value": [
            _one_row_per_customer(),
            rows(
                "chances_in_range",
                "The chances to still order, and of no order, are between 0 and 1.",
                _between("p_alive", "p_no_order_30d"),
            ),
            rows(
                "expected_orders_are_a_number",
                "Expected orders are a number, not negative.",
                "isFinite(expected_order_count_365d) AND expected_order_count_365d >= 0",
            ),
        ],
    }
    return [
        Suite(
            "marts",
            ("predictive", name),
            f"SELECT * FROM {build.table('predictive', name)} WHERE as_of_date = {build.day}",
            expectations[name],
        )
        for name in TABLES
    ]


def _one_row_per_customer() -> Expectation:
    return whole("one_row_per_customer", "Every customer stands there once.", "count() = uniqExact(customer_id)")


def _between(*columns: str) -> str:
    # NaN is between no two numbers.
    return " AND ".join(f"ifNull({column} BETWEEN 0 AND 1, 1)" for column in columns)
