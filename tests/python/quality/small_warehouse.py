"""A warehouse of two customers and four orders, made by hand: every table that the expectation suites read."""

from dataclasses import replace
from datetime import date, timedelta

from clickhouse_connect.driver.client import Client

from orchestration.landing import create_landing_tables
from orchestration.quality.checks import Build
from orchestration.warehouse.settings import Settings

DAY = date(2024, 6, 30)
BUILD = "build-of-today"
_BEFORE, _EVER = "toDateTime64('2024-06-01 00:00:00', 3, 'UTC')", "toDateTime64('2200-01-01 00:00:00', 3, 'UTC')"
_LOADED = "toDateTime64('2024-07-01 01:00:00', 3, 'UTC')"

# Customer 1 ordered on June 10 and 20, customer 2 on June 20, and cancelled order 4.
_TABLES = {
    "facts.fct_orders": f"""
        SELECT toUInt64(order_id) AS order_id, {_BEFORE} AS known_from, {_EVER} AS known_to,
            toUInt64(customer_id) AS customer_id, toDate(business_date) AS business_date,
            toUInt32(line_count) AS line_count,
            toDecimal64(gross, 2) AS gross_amount, toDecimal64(refund, 2) AS refund_amount,
            toDecimal64(gross - refund, 2) AS net_amount, toUInt8(line_count > 0) AS is_valid
        FROM values(
            'order_id UInt8, customer_id UInt8, business_date String, line_count UInt8, gross Float64, refund Float64',
            (1, 1, '2024-06-10', 1, 10, 0), (2, 1, '2024-06-20', 1, 20, 5), (3, 2, '2024-06-20', 1, 30, 0),
            (4, 2, '2024-06-20', 0, 0, 0))
        """,
    "facts.fct_order_lines": f"""
        SELECT toUInt64(order_id) AS order_id, toUInt32(1) AS line_no, {_BEFORE} AS known_from, {_EVER} AS known_to,
            toDate(business_date) AS business_date, toDecimal64(quantity, 3) AS quantity,
            toDecimal64(10, 4) AS unit_price, toDecimal64(0, 2) AS discount_amount,
            toDecimal64(10 * quantity, 2) AS gross_amount, toDecimal128(0, 7) AS cost_amount,
            toUInt8(0) AS is_cost_known, toUInt8(order_id != 4) AS is_valid
        FROM values('order_id UInt64, business_date String, quantity Float64',
            (1, '2024-06-10', 1), (2, '2024-06-20', 2), (3, '2024-06-20', 3), (4, '2024-06-20', 4))
        """,
    "facts.fct_changed_orders": "SELECT toUInt64(3) AS order_id",
    "facts.fct_watermark": f"SELECT {_LOADED} AS loaded_at",
    "facts.dim_customers": """
        SELECT toUInt64(arrayJoin([1, 2])) AS customer_id, 'active' AS customer_status, toUInt16(0) AS credit_term_days
        """,
    "facts.dim_products": "SELECT toUInt64(1) AS product_id",
    "features.feature_snapshot": f"""
        SELECT toDate('{DAY}') AS as_of_date, customer_id, toUInt32(0) AS order_count_7d, orders AS order_count_30d,
            orders AS order_count_90d, orders AS order_count_365d, orders AS order_count_to_date,
            orders AS order_day_count_90d,
            toDecimal64(net, 2) AS net_amount_90d, toNullable(net / orders) AS average_order_value_90d,
            toDate(first_order) AS first_order_date, toDate('2024-06-20') AS last_order_date,
            toUInt32(10) AS days_since_last_order, toNullable(0.1) AS refund_amount_rate_90d,
            toNullable(0.) AS complaint_rate_90d, CAST(NULL AS Nullable(Float64)) AS order_value_cv_180d,
            CAST(NULL AS Nullable(Float64)) AS order_value_robust_cv_180d, 0. AS cost_known_share_to_date,
            toNullable(0.5) AS overdue_share, toNullable(toDecimal64(10, 2)) AS receivable_amount,
            toNullable(toDecimal64(5, 2)) AS overdue_amount, toUInt32(1) AS new_product_offered_count_180d,
            toUInt32(1) AS new_product_tried_count_180d
        FROM values('customer_id UInt64, orders UInt32, net Float64, first_order String',
            (1, 2, 25, '2024-06-10'), (2, 1, 30, '2024-06-20'))
        """,
    "features.customer_category_spend": "SELECT toUInt64(1) AS customer_id, toUInt32(7) AS category_id",
    "seeds.tier_standards": """
        SELECT toDate('2000-01-01') AS valid_from, arrayJoin(['gold', 'bronze']) AS tier
        """,
    "tiers.tier_overrides": "SELECT toUInt64(2) AS customer_id, toUInt64(7) AS input_id, 'in_force' AS override_status",
    "snapshots.customer_tier_snapshots": f"""
        SELECT toDate('{DAY}') AS as_of_date, '{BUILD}' AS build_id, customer_id, tier, 'kept' AS decision,
            toDate('2024-06-01') AS tier_since_date, 0.5 AS r_score, 0.5 AS f_score, 0.5 AS m_score,
            CAST(NULL AS Nullable(Float64)) AS p_score, 0.2 AS r_contribution, 0.2 AS f_contribution,
            0.1 AS m_contribution, 0. AS p_contribution, 0.5 AS total_score,
            toDecimal64(0, 2) AS predicted_margin_365d, 'none' AS lifetime_value_model,
            toDecimal64(net, 2) AS net_amount_90d, 'v1' AS config_version, 'ratio_to_max' AS scoring_model
        FROM values('customer_id UInt64, tier String, net Float64', (1, 'gold', 25), (2, 'bronze', 30))
        """,
    "snapshots.customer_feature_snapshots": f"""
        SELECT toDate('{DAY}') AS as_of_date, '{BUILD}' AS build_id, toUInt64(arrayJoin([1, 2])) AS customer_id,
            toNullable(0.5) AS potential_index, toNullable(0.5) AS headroom_share, toNullable(0.5) AS growth_share,
            toNullable(0.1) AS new_product_acceptance_180d
        """,
    "snapshots.tier_distribution_snapshots": f"""
        SELECT toDate('{DAY}') AS as_of_date, '{BUILD}' AS build_id, tier, toUInt64(1) AS customer_count,
            toDecimal64(net, 2) AS net_amount_90d
        FROM values('tier String, net Float64', ('gold', 25), ('bronze', 30))
        """,
    "snapshots.tier_value_contribution_snapshots": f"""
        SELECT toDate('{DAY}') AS as_of_date, '{BUILD}' AS build_id, tier, toUInt64(1) AS customer_count,
            toNullable(0.5) AS customer_share, toNullable(share) AS net_amount_share,
            CAST(NULL AS Nullable(Float64)) AS gross_margin_share
        FROM values('tier String, share Float64', ('gold', 0.45), ('bronze', 0.55))
        """,
    "snapshots.tier_migration_snapshots": f"""
        SELECT toDate('{DAY}') AS as_of_date, '{BUILD}' AS build_id, toDate('2024-06-29') AS from_date,
            from_tier, to_tier, toNullable(1.) AS share_of_from
        FROM values('from_tier String, to_tier String', ('bronze', 'gold'), ('gold', 'bronze'))
        """,
    "predictive.potential": f"""
        SELECT toDate('{DAY}') AS as_of_date, toUInt64(arrayJoin([1, 2])) AS customer_id,
            toNullable(toDecimal64(5, 2)) AS category_headroom_90d, toNullable(0.5) AS headroom_share,
            CAST(NULL AS Nullable(Float64)) AS growth_share, toNullable(0.1) AS new_product_acceptance_180d,
            toNullable(1.) AS potential_index
        """,
    "predictive.potential_parts": f"""
        SELECT toDate('{DAY}') AS as_of_date, toUInt64(arrayJoin([1, 2])) AS customer_id,
            toNullable(toDecimal64(5, 2)) AS category_headroom_by_size_90d, toNullable(0.5) AS headroom_by_size_share,
            toNullable(0.5) AS growth_slope_share, CAST(NULL AS Nullable(Float64)) AS growth_slope_p_value,
            toNullable(0.5) AS expected_growth_share, toNullable(0.1) AS new_product_acceptance_fitted_180d,
            toNullable(0.) AS potential_index_v2
        """,
    "predictive.churn": f"""
        SELECT toDate('{DAY}') AS as_of_date, toUInt64(arrayJoin([1, 2])) AS customer_id, 7. AS expected_gap_days,
            10. AS silence_open_days, 0. AS pause_open_days, 1.4 AS gap_ratio, 0.2 AS p_no_order_30d, 0. AS p_defected,
            'low' AS churn_risk, toDecimal64(5, 2) AS value_at_risk
        """,
    "predictive.lifetime_value": f"""
        SELECT toDate('{DAY}') AS as_of_date, toUInt64(arrayJoin([1, 2])) AS customer_id,
            12. AS expected_order_count_365d, toNullable(1.) AS p_alive, CAST(NULL AS Nullable(Float64)) AS p_no_order_30d
        """,
    "snapshots.published_builds": f"""
        SELECT toDate('{DAY - timedelta(days=1)}') AS as_of_date, 'build-of-yesterday' AS build_id,
            toUInt64(2) AS customer_count
        """,
}


def make_small_warehouse(client: Client, settings: Settings, prefix: str) -> Build:
    """Create every table under `prefix` and fill it with data that satisfy every expectation."""
    build = Build(replace(settings, prefix=prefix), DAY, BUILD)
    create_landing_tables(client, build.settings)
    for layer in ("facts", "features", "seeds", "tiers", "snapshots", "predictive"):
        client.command(f"CREATE DATABASE {build.settings.database(layer)}")
    for name, rows in _TABLES.items():
        client.command(f"CREATE TABLE {prefix}_{name} ENGINE = MergeTree ORDER BY tuple() AS {rows}")
    moment = "toDateTime64('2024-06-20 08:00:00', 3, 'UTC')"
    landed = f"{moment} AS updated_at, {_LOADED} AS _loaded_at, 'batch' AS _batch_id"
    for name, columns in {
        "orders": f"3 AS order_id, 2 AS customer_id, {moment} AS ordered_at, 'paid' AS status",
        "order_lines": "3 AS order_id, 1 AS line_no, 1 AS product_id, 3 AS quantity, 10 AS unit_price",
        "invoices": "1 AS invoice_id, toDate('2024-06-20') AS issued_on, toDate('2024-07-20') AS due_on",
    }.items():
        names = ", ".join(part.split(" AS ")[-1] for part in f"{columns}, {landed}".split(", ") if " AS " in part)
        client.command(f"INSERT INTO {build.table('landing', name)} ({names}) SELECT {columns}, {landed}")
    return build


def plant(client: Client, build: Build, table: str, *rows: dict[str, str]) -> None:
    """Add copies of the first row of a table, `layer.name`, in which columns have other values (SQL expressions)."""
    name = f"{build.settings.prefix}_{table}"
    first = f"(SELECT * FROM {name} ORDER BY ALL LIMIT 1)"
    changes = [", ".join(f"{value} AS {column}" for column, value in row.items()) for row in rows]
    copies = [f"SELECT * REPLACE ({change}) FROM {first}" if change else f"SELECT * FROM {first}" for change in changes]
    client.command(f"INSERT INTO {name} {' UNION ALL '.join(copies)}")
