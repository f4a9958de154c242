"""Tables for the terminal: what landed, who is in which tier, and what was predicted how well."""

from __future__ import annotations

import io
from datetime import date

from clickhouse_connect.driver.client import Client
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orchestration.landing.report import LandingReport
from orchestration.seeds import rows_in_force
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
        SELECT coalesce(nullIf(toString(any(history.tier_label)), ''), toString(contribution.tier)) AS label,
            contribution.customer_count, contribution.customer_share,
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
            label,
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


def standards_hint(client: Client, settings: Settings, as_of: date) -> str | None:
    """What to do where the standards of `as_of` hardly fit the base, as those made for other prices; None where they do.

    They hardly fit where a tier and the better ones hold less than a quarter of their quota, or more than four times of it.
    Fewer customers than a review asks for say nothing."""
    from orchestration.predictive.threshold_review import FEWEST_CUSTOMERS

    standards = rows_in_force(f"{settings.database('seeds')}.tier_standards", "{as_of:Date}")
    rows = client.query(
        f"""
        SELECT coalesce(nullIf(standards.tier_label, ''), contribution.tier) AS label, maximum_lifetime_value_top_share AS quota,
            sum(customer_count) OVER (ORDER BY contribution.tier_rank) / sum(customer_count) OVER () AS held
        FROM {settings.database("marts")}.tier_value_contribution AS contribution
        INNER JOIN {standards} AS standards ON contribution.tier = standards.tier
        WHERE contribution.as_of_date = {{as_of:Date}}
        QUALIFY sum(customer_count) OVER () >= {FEWEST_CUSTOMERS} AND quota < 1 AND (held < quota / 4 OR held > quota * 4)
        ORDER BY contribution.tier_rank LIMIT 1
        """,
        parameters={"as_of": as_of},
    ).result_rows
    if not rows:
        return None
    label, quota, held = rows[0]
    return (
        f"{_percent(quota)} should be {label} or better by the standards, and {_percent(held)} are: "
        "`tierhouse review` proposes thresholds for this base"
    )


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


def evaluation_table(client: Client, settings: Settings, day: date) -> str:
    """Every model of the evaluation that knew the world up to `day` beside the best baseline, and the verdicts in words."""
    rows = client.query(
        f"""
        SELECT model, metric, value, baseline, baseline_value, gain_low, gain_high, is_deciding, verdict_text
        FROM {settings.database("predictive")}.model_evaluation
        WHERE known_until = {{day:Date}} AND (is_deciding OR metric IN ('capture_10', 'spearman', 'log_loss'))
        ORDER BY model, is_deciding DESC, metric
        """,
        parameters={"day": day},
    ).result_rows
    table = _table("model", "metric", "value", "best baseline", "its", "gain, 95 %")
    for model, metric, value, baseline, baseline_value, low, high, is_deciding, _ in rows:
        table.add_row(
            model.replace("_", " ") if is_deciding else "",
            f"{metric.replace('normalised_', '').replace('_', ' ')}{' *' if is_deciding else ''}",
            _number(value),
            baseline.replace("_", " ") or "-",
            _number(baseline_value),
            "-" if low is None else f"{low:+.3f} … {high:+.3f}",
        )
    for place in (1, 2, 4, 5):
        table.columns[place].no_wrap = True
    table.title = f"Models up to {day}; * decides"
    verdicts = [row[8] for row in rows if row[7]]
    serves_from = client.query(
        f"SELECT max(serves_from) FROM {settings.database('predictive')}.promotions WHERE evaluated_on = {{day:Date}} + 1",
        parameters={"day": day},
    ).result_rows[0][0]
    return "\n".join([_text(table), *verdicts, f"The verdicts decide what serves from {serves_from} on."])


def review_table(client: Client, settings: Settings, day: date) -> str:
    """Where the standards cut on `day`, what would restore the quotas, who would move, and the seed rows of the proposal."""
    table = f"{settings.database('predictive')}.threshold_review"
    rows = client.query(
        f"SELECT tier, criterion, threshold, reaching_share, proposed_threshold, proposed_reaching_share, verdict FROM {table} "
        "WHERE as_of_date = {day:Date} ORDER BY tier_rank, indexOf(['orders_per_month', 'average_order_value', "
        "'lifetime_value_top_share', 'score_top_share'], criterion)",
        parameters={"day": day},
    ).result_rows
    bounds = _table("tier", "criterion", "threshold", "share reaching it", "proposed", "share then")
    for place, (tier, criterion, threshold, share, proposed, then, _) in enumerate(rows):
        bounds.add_row(
            tier if place % 4 == 0 else "",
            criterion.replace("_", " "),
            *(f"{threshold:g}", _percent(share), f"{proposed:g}", _percent(then)),
        )
    bounds.title = f"Where the standards cut on {day}"
    tiers = client.query(
        f"SELECT tier, any(quota_share), any(customer_share), any(candidate_share), any(proposed_candidate_share), "
        "any(customer_count), any(simulated_customer_count), any(past_customer_count), any(past_simulated_customer_count), "
        f"any(verdict), any(proposed_seed_row), any(week_count) FROM {table} WHERE as_of_date = {{day:Date}} "
        "GROUP BY tier ORDER BY any(tier_rank)",
        parameters={"day": day},
    ).result_rows
    weeks = tiers[0][11] if tiers else 0
    # What the past weeks would have made is shown only where there is a past.
    headers = [
        "quota",
        "held",
        "reached",
        "proposed",
        "customers",
        "new",
        *([f"{weeks} w.", "new"] if weeks else []),
        "verdict",
    ]
    shares = _table("tier", *headers)
    for tier, quota, held, reach, then, count, simulated, past, past_then, verdict, _, _ in tiers:
        shares.add_row(
            tier,
            *(_percent(share) for share in (quota, held, reach, then)),
            *(f"{number:,}" for number in (count, simulated, past, past_then) if number is not None),
            verdict.replace("_", " "),
        )
    shares.title = (
        "Shares in the tier or a better one: its quota, held on the day, reached by the measures, reached under the proposal; "
        "customers in the tier, new: that morning under the proposal"
    )
    lines = [_text(bounds), _text(shares)]
    seed_rows = [row[10] for row in tiers if row[10]]
    if seed_rows:
        lines += ["To publish it, add to seeds/tier_standards.csv:", *seed_rows]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


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
