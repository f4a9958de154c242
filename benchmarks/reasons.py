"""The reason cards of 200,000 customers: all of them, as the mart tier_reasons computes them, and one, as `tierhouse explain` does.

    python -m benchmarks.reasons [CUSTOMERS]

Measures come from a hash, so that runs compare. Prints wall seconds and the engine's processor seconds, the best of three.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration.macros import render
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

_CUSTOMERS = """
SELECT toDate('2026-03-04') AS as_of_date, number AS customer_id, concat('customer ', toString(number)) AS customer_name,
    'restaurant' AS business_type, concat('region ', toString(number % 12)) AS region_code, toNullable(number % 300) AS account_manager_id,
    'active' AS customer_status, toDate('2024-01-01') AS first_order_date, 'standards' AS policy, '{rule}' AS candidate_rule,
    toUInt8(2) AS required_criteria, (cityHash64(number, 1) % 1000003) / 1000003 AS luck, 'gold' AS frequency_tier,
    'gold' AS order_value_tier, 'gold' AS lifetime_value_tier, 'gold' AS score_tier, toUInt32(30 * luck * luck) AS orders_per_month,
    toNullable(8000 * pow((cityHash64(number, 2) % 1000003) / 1000003, 2)) AS average_order_value,
    CAST(toInt64(cityHash64(number, 3) % 90000000) - 5000000 AS Decimal(18, 2)) / 100 AS lifetime_value,
    (rank() OVER (ORDER BY lifetime_value DESC) - 0.5) / {count} AS lifetime_value_top_share,
    toUInt32(cityHash64(number, 4) % 60) AS days_since_last_order, toUInt32(80 * luck) AS order_count,
    CAST(order_count * average_order_value AS Decimal(18, 2)) AS net_amount_90d, 'ratio_to_max' AS scoring_model,
    1 / (1 + days_since_last_order) AS r_score, order_count / 80 AS f_score, average_order_value / 8000 AS m_score,
    toNullable((cityHash64(number, 5) % 1000) / 1000) AS p_score, 0.3 * r_score AS r_contribution, 0.25 * f_score AS f_contribution,
    0.3 * assumeNotNull(m_score) AS m_contribution, 0.15 * assumeNotNull(p_score) AS p_contribution,
    r_contribution + f_contribution + m_contribution + p_contribution AS total_score,
    toUInt32(rank() OVER (ORDER BY total_score DESC)) AS score_rank, (score_rank - 0.5) / {count} AS score_top_share,
    'active' AS standing, 'decide' AS treatment, toUInt8(if(number % 40 = 0, 2, 1)) AS cap_rank, toUInt8(0) AS override_rank,
    emptyArrayString() AS closed_gates, CAST(NULL AS Nullable(UInt64)) AS override_manager_id,
    CAST(NULL AS Nullable(String)) AS override_reason, CAST(NULL AS Nullable(Date)) AS override_valid_to, 'v1' AS config_version,
    ['diamond', 'gold', 'silver', 'bronze'][1 + cityHash64(number, 6) % 4] AS tier, toUInt8(2) AS tier_rank, tier AS tier_label,
    tier AS earned_tier, toNullable(tier) AS previous_tier, tier AS candidate_tier, toDate('2025-06-01') AS tier_since_date,
    toDate('2025-12-01') AS earned_since_date, toDate(0) AS upgraded_on, 'kept' AS decision, 'criteria_met' AS reason_code,
    '' AS decision_reason, '' AS decision_reason_zh, toUInt8(1) AS confirm_up_decisions, toUInt8(3) AS confirm_down_decisions,
    toUInt8(0) AS up_count, toUInt8(0) AS up_rank, toUInt8(number % 3) AS down_count, toUInt8(if(number % 3 = 0, 0, 4)) AS down_rank,
    toUInt8(2 + number % 3) AS strict_rank, toUInt8(1 + number % 4) AS lenient_rank, 'build' AS build_id
FROM numbers({count})
"""
_FEATURES = """
SELECT as_of_date, build_id, customer_id, if(number % 3 = 0, toNullable(CAST(number % 90000 AS Decimal(18, 2))), null) AS overdue_amount,
    if(number % 3 = 0, toNullable(toUInt32(number % 90)), null) AS overdue_days_max,
    if(number % 3 = 0, [(toUInt32(number % 90), CAST(number % 90000 AS Decimal(18, 2)))], []) AS overdue_invoices,
    toNullable(toUInt32(number % 13)) AS complaint_count_90d, toNullable(toUInt8(number % 50 = 0)) AS has_risk_flag
FROM (SELECT *, customer_id AS number FROM bench.tiers)
"""
_RULES = """
SELECT [(toUInt8(1), 'diamond', 15., 5000., 0.1, 0.1), (2, 'gold', 8., 2000., 0.3, 0.3), (3, 'silver', 3., 800., 0.7, 0.7),
        (4, 'bronze', 0., 0., 1., 1.)] AS ladder,
    ['diamond 钻石', 'gold 黄金', 'silver 白银', 'bronze 青铜'] AS tier_labels,
    [('complaints', 'complaint_count_90d', 10., toUInt8(2)), ('long_overdue', 'overdue_days_max', 60., 3),
        ('overdue_amount', 'overdue_amount', 50000., 2), ('overdue_days', 'overdue_days_max', 15., 2),
        ('risk_flag', 'has_risk_flag', 0., 3)] AS gates,
    0.3 AS r_weight, 0.25 AS f_weight, 0.3 AS m_weight, 0.15 AS p_weight, 0.1 AS criteria_band, '{scope}' AS percentile_scope,
    toUInt8(1) AS maximum_steps_down, toUInt16(56) AS minimum_dwell_days, toUInt16(56) AS grace_days_after_upgrade,
    toUInt8(1) AS downgrade_weekdays, toUInt16(30) AS new_customer_days, toUInt16(90) AS lapsed_after_days, 'lowest' AS lapsed_treatment,
    'ratio_to_max' AS normalisation, 'average_order_value' AS monetary_input, 'inverse' AS recency_form, 30. AS recency_half_life_days
"""
_LABELS = "SELECT 'gate' AS kind, 'risk_flag' AS name, 'credit report warns' AS label, '信用报告预警' AS label_zh"


def main() -> None:
    """Make the base, compute all cards and one, under both rules and both scopes."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    home = Path(tempfile.mkdtemp(prefix="tierhouse-bench-"))
    os.environ["TIERHOUSE_HOME"] = str(home)
    os.environ.setdefault("TIERHOUSE_PORT", "18398")
    client = connect(ensure_running(Settings.from_environment()), autogenerate_session_id=False)
    client.command("CREATE DATABASE bench")
    try:
        for rule, scope in (("standards", "base"), ("standards", "region"), ("score", "base")):
            _make(client, "tiers", _CUSTOMERS.format(count=customers, rule=rule))
            _make(client, "features", _FEATURES)
            _make(client, "rules", _RULES.format(scope=scope))
            _make(client, "labels", _LABELS)
            inputs = render("reason_inputs", "bench.tiers", "bench.features", "build_id = 'build'")
            made = render("reason_cards", "inputs", "bench.rules", "bench.labels", "bench.tiers")
            cards = f"WITH inputs AS ({inputs}) SELECT * FROM {made}"
            whole = _best(client, f"SELECT count(), sum(cityHash64(tuple(*))) FROM ({cards})")
            one = _best(client, f"{cards} WHERE customer_id = 77")
            none = _best(client, f"EXPLAIN {cards}")
            print(
                f"{rule}, {scope}: {customers:,} cards in {whole[0]:.2f} s ({whole[1]:.2f} s of processor), "
                f"one in {one[0]:.2f} s ({one[1]:.2f}), the plan alone {none[0]:.2f} s ({none[1]:.2f})"
            )
    finally:
        server = running_server(home)
        if server:
            os.kill(server.pid, 15)


def _make(client: Client, name: str, rows: str) -> None:
    client.command(f"CREATE OR REPLACE TABLE bench.{name} ENGINE = MergeTree ORDER BY tuple() AS {rows}")


def _best(client: Client, statement: str) -> tuple[float, float]:
    """Wall seconds and the server's processor seconds of the fastest of three runs."""
    measured = []
    for _ in range(3):
        before, started = _processor_seconds(), time.monotonic()
        client.query(statement)
        measured.append((time.monotonic() - started, _processor_seconds() - before))
    return min(measured, key=lambda pair: pair[1])


def _processor_seconds() -> float:
    """What the embedded server used so far."""
    server = running_server(Path(os.environ["TIERHOUSE_HOME"]))
    assert server is not None
    fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
