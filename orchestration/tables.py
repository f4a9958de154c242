"""Tables for the terminal: what landed, who is in which tier, and what was predicted how well."""

from __future__ import annotations

import io
from datetime import date

from clickhouse_connect.driver.client import Client
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orchestration.landing.report import LandingReport
from orchestration.warehouse.settings import Settings


def landing_table(report: LandingReport) -> str:
    """Delivered = landed + already there + quarantined, a line per table."""
    table = _table("table", "delivered", "landed", "already there", "quarantined")
    for part in report.tables:
        table.add_row(
            part.table, *(f"{value:,}" for value in (part.delivered, part.landed, part.already_there, part.quarantined))
        )
    return _text(table)


def tier_table(client: Client, settings: Settings, as_of: date) -> str:
    """Customers, sales and margin of each tier on `as_of`, with how many came up and went down."""
    marts = settings.database("marts")
    rows = client.query(
        f"""
        SELECT any(history.tier_label) AS label, contribution.customer_count, contribution.customer_share,
            contribution.net_amount, contribution.net_amount_share, contribution.gross_margin_share,
            countIf(history.decision = 'upgraded'), countIf(history.decision = 'downgraded')
        FROM {marts}.tier_value_contribution AS contribution
        LEFT JOIN {marts}.customer_tier_history AS history
            ON history.as_of_date = contribution.as_of_date AND history.tier = contribution.tier
        WHERE contribution.as_of_date = {{as_of:Date}}
        GROUP BY contribution.tier, contribution.tier_rank, contribution.customer_count, contribution.customer_share,
            contribution.net_amount, contribution.net_amount_share, contribution.gross_margin_share
        ORDER BY contribution.tier_rank
        """,
        parameters={"as_of": as_of},
    ).result_rows
    table = _table("tier", "customers", "share", "net sales 90 d", "of sales", "of margin", "up", "down")
    for label, count, share, net, net_share, margin_share, up, down in rows:
        table.add_row(
            label or "-",
            f"{count:,}",
            _percent(share),
            f"{net:,.0f}",
            _percent(net_share),
            _percent(margin_share),
            f"{up:,}",
            f"{down:,}",
        )
    table.title = f"Tiers on {as_of}"
    return _text(table)


def recommendation_table(client: Client, settings: Settings, day: date) -> str:
    """How well each method foresaw the last two weeks, and which ones made the lists of `day`."""
    database = settings.database("predictive")
    rows = client.query(
        f"""
        SELECT method, verdict,
            maxIf(recall_at_10, target = 'all'), maxIf(recall_at_10, target = 'not_in_use'),
            maxIf(recall_at_10, target = 'never_bought'), maxIf(coverage, target = 'not_in_use'),
            arrayStringConcat(groupUniqArrayIf(role, role != ''), ', ')
        FROM {database}.recommendation_evaluation WHERE as_of_date = {{day:Date}} GROUP BY method, verdict
        ORDER BY indexOf(['popularity', 'repurchase', 'co_occurrence', 'factorisation', 'blend', 'served'], method)
        """,
        parameters={"day": day},
    ).result_rows
    count, customers = client.query(
        f"SELECT count(), uniqExact(customer_id) FROM {database}.product_recommendations WHERE as_of_date = {{day:Date}}",
        parameters={"day": day},
    ).result_rows[0]
    table = _table("method", "recall@10: all", "not in use", "never bought", "coverage", "serves")
    for method, _, *measures, role in rows:
        table.add_row(method, *(_percent(measure) for measure in measures), role.replace("_", " "))
    verdict = rows[0][1] if rows else "no customer"
    table.title = f"{count:,} recommendations for {customers:,} customers on {day}; methods by the two weeks before it ({verdict})"
    return _text(table)


def forecast_table(client: Client, settings: Settings, day: date) -> str:
    """Net sales to expect from `day` on, in total, of the largest regions and of the tiers, with what serves and how it did."""
    rows = client.query(
        f"""
        SELECT dimension, any(member_name), any(method), argMin(net_amount, weeks_ahead),
            argMin(net_amount_low, weeks_ahead), argMin(net_amount_high, weeks_ahead), any(mase), any(baseline_mase),
            any(interval_coverage)
        FROM {settings.database("predictive")}.sales_forecast
        WHERE as_of_date = {{day:Date}} AND dimension != 'category' GROUP BY dimension, member
        ORDER BY indexOf(['total', 'region', 'tier'], dimension), sum(net_amount) DESC, member
        LIMIT 8 BY dimension
        """,
        parameters={"day": day},
    ).result_rows
    table = _table("series", "method", "next week", "80 % interval", "MASE", "baseline", "inside")
    for dimension, name, method, first, low, high, error, baseline_error, inside in rows:
        table.add_row(
            "total" if dimension == "total" else f"{dimension} {name}",
            method.replace("_", " "),
            f"{first:,.0f}",
            "-" if low is None else f"{low:,.0f} … {high:,.0f}",
            *("-" if value is None else f"{value:.2f}" for value in (error, baseline_error)),
            _percent(inside),
        )
    table.title = f"Net sales to expect after {day}"
    return _text(table)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, title_justify="left")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _text(table: Table) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=100).print(table)
    return buffer.getvalue().rstrip()
