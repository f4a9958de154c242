"""Tables for the terminal: what landed, who is in which tier, and what was predicted how well."""

from __future__ import annotations

from datetime import date, timedelta

from clickhouse_connect.driver.client import Client

from orchestration.landing.contract import TABLES
from orchestration.landing.report import LandingReport
from orchestration.seeds import rows_in_force
from orchestration.terminal import empty_table, plain_text
from orchestration.tier_names import tier_name, tier_names
from orchestration.warehouse.settings import Settings
from orchestration.words_zh import said


def column_table(name: str) -> str:
    """What a file of a landing table may hold, a line per column."""
    contract = TABLES[name]
    printed = empty_table("column", "type", "", "meaning", words=range(4), title=f"{name}: {contract.description}")
    for column in contract.columns:
        need = "required" if column.required else "optional"
        meaning = column.description + (f": {', '.join(map(str, column.values))}" if column.kind == "text" else "")
        printed.add_row(column.name, column.kind, need, meaning.rstrip(": "))
    return plain_text(printed)


def landing_table(report: LandingReport) -> str:
    """Delivered = landed + already there + quarantined, a line per table."""
    printed = empty_table("table", "delivered", "landed", "already there", "quarantined")
    for part in report.tables:
        printed.add_row(
            part.table, *(f"{value:,}" for value in (part.delivered, part.landed, part.already_there, part.quarantined))
        )
    return plain_text(printed)


def tier_table(client: Client, settings: Settings, as_of: date) -> str:
    """Customers, sales and margin of each tier on `as_of`, with how many came up and went down."""
    marts = settings.database("marts")
    rows = client.query(
        f"""
        SELECT coalesce(nullIf(toString(history.tier_label), ''), toString(contribution.tier)) AS label,
            contribution.customer_count, contribution.customer_share,
            contribution.net_amount, contribution.net_amount_share, contribution.gross_margin_share,
            history.upgraded_count, history.downgraded_count
        FROM {marts}.tier_value_contribution AS contribution
        LEFT JOIN (
            SELECT tier, any(tier_label) AS tier_label, countIf(decision = 'upgraded') AS upgraded_count,
                countIf(decision = 'downgraded') AS downgraded_count
            FROM {marts}.customer_tier_history WHERE as_of_date = {{as_of:Date}} GROUP BY tier
        ) AS history ON history.tier = contribution.tier
        WHERE contribution.as_of_date = {{as_of:Date}}
        ORDER BY contribution.tier_rank
        """,
        parameters={"as_of": as_of},
    ).result_rows
    printed = empty_table(
        "tier",
        "customers",
        "share",
        "net sales\n90 d",
        "of\nsales",
        "of\nmargin",
        "up",
        "down",
        title=f"Tiers on {as_of}",
    )
    for label, count, share, net, net_share, margin_share, up, down in rows:
        printed.add_row(
            label,
            f"{count:,}",
            _percent(share),
            f"{net:,.0f}",
            _percent(net_share),
            _percent(margin_share),
            f"{up:,}",
            f"{down:,}",
        )
    return plain_text(printed)


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
    return plain_text(
        f"{_percent(quota)} should be {label} or better by the standards, and {_percent(held)} are: "
        "`tierhouse review` proposes thresholds for this base"
    )


def customer_to_explain(client: Client, settings: Settings, as_of: date) -> str:
    """What to give to `tierhouse explain`: the customer with most sales of those who moved on the day, else of all.

    With the day, where a later one is published, and empty where nobody has a tier.
    """
    history = f"{settings.database('marts')}.customer_tier_history"
    rows = client.query(
        f"""
        SELECT customer_id, (SELECT max(as_of_date) FROM {history}) AS latest FROM {history} WHERE as_of_date = {{as_of:Date}}
        ORDER BY decision IN ('upgraded', 'downgraded') DESC, net_amount_90d DESC, customer_id LIMIT 1
        """,
        parameters={"as_of": as_of},
    ).result_rows
    return "".join(f"{customer}{'' if latest == as_of else f' --as-of {as_of}'}" for customer, latest in rows)


def recommendation_table(client: Client, settings: Settings, day: date, language: str = "en") -> str:
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
    headings = ("method", "recall@10:\nall", "not in\nuse", "never\nbought", "coverage", "serves")
    printed = empty_table(*(said(language, one) for one in headings), words=(0, 5))
    for method, _, *measures, role in rows:
        roles = ", ".join(_words(one, language) for one in role.split(", "))
        printed.add_row(_words(method, language), *(_percent(measure) for measure in measures), roles)
    verdict = _words(rows[0][1] if rows else "no customer", language)
    title = "{count} recommendations for {customers} customers on {day}; methods by the two weeks before it ({verdict})"
    printed.title = said(language, title, count=f"{count:,}", customers=f"{customers:,}", day=day, verdict=verdict)
    return plain_text(printed)


def forecast_table(client: Client, settings: Settings, day: date, language: str = "en") -> str:
    """Net sales to expect from `day` on, in total, of the largest regions and of the tiers, with what serves and how it did."""
    rows = client.query(
        f"""
        SELECT dimension, any(member_name), any(method), argMin(net_amount, weeks_ahead),
            argMin(net_amount_low, weeks_ahead), argMin(net_amount_high, weeks_ahead), any(mase), any(baseline_mase),
            any(interval_coverage), member
        FROM {settings.database("predictive")}.sales_forecast
        WHERE as_of_date = {{day:Date}} AND dimension != 'category' GROUP BY dimension, member
        ORDER BY indexOf(['total', 'region', 'tier'], dimension), sum(net_amount) DESC, member
        LIMIT 8 BY dimension
        """,
        parameters={"day": day},
    ).result_rows
    # The first week that was not complete: after a day other than Sunday it has begun.
    monday = day - timedelta(days=(day.weekday() + 1) % 7 - 1)
    headings = ("series", "method", "week from\n{monday}", "80 % interval", "MASE", "base-\nline", "inside")
    printed = empty_table(*(said(language, one, monday=monday) for one in headings), words=(0, 1, 3))
    before = "total"
    for dimension, name, method, first, low, high, error, baseline_error, inside, member in rows:
        if dimension != before:
            printed.add_section()
            before = dimension
        printed.add_row(
            _member(dimension, member, name, language),
            _words(method, language),
            f"{first:,.0f}",
            "-" if low is None else f"{low:,.0f} … {high:,.0f}",
            *("-" if value is None else f"{value:.2f}" for value in (error, baseline_error)),
            _percent(inside),
        )
    printed.title = said(language, "Net sales to expect after {day}", day=day)
    return plain_text(printed)


def _member(dimension: str, member: str, name: str, language: str) -> str:
    if dimension == "tier" and language != "en":
        return tier_name(member, name, language)
    return said(language, name) if name in ("total", "other", "unknown") else name


def evaluation_table(client: Client, settings: Settings, day: date, language: str = "en") -> str:
    """Every model of the evaluation that knew the world up to `day` beside the best baseline, and the verdicts in words."""
    from orchestration.predictive.evaluation_text import name_zh, signed

    rows = client.query(
        f"""
        SELECT model, metric, value, baseline, baseline_value, gain_low, gain_high, is_deciding,
            verdict_text{"_zh" if language == "zh" else ""}
        FROM {settings.database("predictive")}.model_evaluation
        WHERE known_until = {{day:Date}} AND (is_deciding OR metric IN ('capture_10', 'spearman', 'log_loss'))
        ORDER BY model, is_deciding DESC, metric
        """,
        parameters={"day": day},
    ).result_rows
    named = name_zh if language == "zh" else _words
    headings = ("model", "metric", "value", "best baseline", "its", "gain, 95 %")
    printed = empty_table(*(said(language, one) for one in headings), words=(0, 1, 3, 5))
    for model, metric, value, baseline, baseline_value, low, high, is_deciding, _ in rows:
        printed.add_row(
            named(model) if is_deciding else "",
            f"{_words(metric.replace('normalised_', ''), language)}{' *' if is_deciding else ''}",
            _number(value),
            named(baseline) or "-",
            _number(baseline_value),
            "-" if low is None else f"{signed(low)} … {signed(high)}",
        )
    printed.title = said(language, "Models up to {day}; * decides", day=day)
    verdicts = [row[8] for row in rows if row[7]]
    serves_from = client.query(
        f"SELECT max(serves_from) FROM {settings.database('predictive')}.promotions WHERE evaluated_on = {{day:Date}} + 1",
        parameters={"day": day},
    ).result_rows[0][0]
    return plain_text(
        printed, *verdicts, said(language, "The verdicts decide what serves from {day} on.", day=serves_from)
    )


def review_table(client: Client, settings: Settings, day: date, language: str = "en") -> str:
    """Where the standards cut on `day`, what would restore the quotas, who would move, and the seed rows of the proposal."""
    source = f"{settings.database('predictive')}.threshold_review"
    rows = client.query(
        f"SELECT tier, criterion, threshold, reaching_share, proposed_threshold, proposed_reaching_share, verdict FROM {source} "
        "WHERE as_of_date = {day:Date} ORDER BY tier_rank, indexOf(['orders_per_month', 'average_order_value', "
        "'lifetime_value_top_share', 'score_top_share'], criterion)",
        parameters={"day": day},
    ).result_rows
    standards = rows_in_force(f"{settings.database('seeds')}.tier_standards", "{day:Date}")
    named = tier_names(
        client.query(f"SELECT tier, tier_label FROM {standards}", parameters={"day": day}).result_rows, language
    )
    headings = ("tier", "criterion", "threshold", "share\nreaching it", "proposed", "share\nthen")
    bounds = empty_table(
        *(said(language, one) for one in headings),
        words=(0, 1),
        title=said(language, "Where the standards cut on {day}", day=day),
    )
    for place, (tier, criterion, threshold, share, proposed, then, _) in enumerate(rows):
        bounds.add_row(
            named.get(tier, tier) if place % 4 == 0 else "",
            _words(criterion, language),
            *(_plain(threshold), _percent(share), _plain(proposed), _percent(then)),
        )
    tiers = client.query(
        f"SELECT tier, any(quota_share), any(customer_share), any(candidate_share), any(proposed_candidate_share), "
        "any(customer_count), any(simulated_customer_count), any(past_customer_count), any(past_simulated_customer_count), "
        f"any(verdict), any(proposed_seed_row), any(week_count) FROM {source} WHERE as_of_date = {{day:Date}} "
        "GROUP BY tier ORDER BY any(tier_rank)",
        parameters={"day": day},
    ).result_rows
    weeks = tiers[0][11] if tiers else 0
    shares = empty_table(
        *(said(language, one) for one in ("tier", "quota", "held", "reached", "proposed", "verdict")),
        words=(0, 5),
        title=said(
            language,
            "Shares in the tier or a better one: its quota, held on the day, reached by the measures, "
            "reached under the proposal",
        ),
    )
    # What the past weeks would have made is shown only where there is a past.
    past_headings = (said(language, "after {weeks}\nweeks", weeks=weeks), said(language, "under the\nproposal"))
    counts = empty_table(
        *(said(language, one) for one in ("tier", "that morning", "under the\nproposal")),
        *(past_headings if weeks else ()),
        title=said(language, "Customers in the tier"),
    )
    for tier, quota, held, reach, then, count, simulated, past, past_then, verdict, _, _ in tiers:
        cells = (_percent(share) for share in (quota, held, reach, then))
        shares.add_row(named.get(tier, tier), *cells, _words(verdict, language))
        counts.add_row(
            named.get(tier, tier),
            *(
                f"{number:,}"
                for number in (count, simulated, past, past_then)[: 4 if weeks else 2]
                if number is not None
            ),
        )
    parts = [plain_text(bounds, "", shares, "", counts)]
    seed_rows = [row[10] for row in tiers if row[10]]
    if seed_rows:
        # Lines of a file: they are copied, so they stay whole.
        parts += [said(language, "To publish it, add to seeds/tier_standards.csv:"), *seed_rows]
    return "\n".join(parts)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _plain(bound: float) -> str:
    """All its digits: `g` alone rounds to six of them."""
    return f"{bound:,.10g}"


def _words(name: str, language: str = "en") -> str:
    return said(language, name.replace("_", " "))
