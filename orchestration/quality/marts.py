"""Expectations of the marts, held against the build in the snapshots layer that is about to be published."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from orchestration.landing.tables import scalar
from orchestration.quality.checks import Build, Suite, none, rows, whole
from orchestration.seeds import rows_in_force

# A base that loses half its customers overnight lost data, not customers.
_SMALLEST_SHARE_OF_YESTERDAY = 0.5
_TOLERANCE = 1e-9
_SCORES = ("r_score", "f_score", "m_score", "p_score", "total_score")


def suites(client: Client, build: Build) -> list[Suite]:
    """The five tables of the build, all restricted to its as-of date and build_id, and what was set by hand for it."""
    of_build = f"as_of_date = {build.day} AND build_id = '{build.build_id}'"
    snapshots = {
        name: f"{build.table('snapshots', name)} WHERE {of_build}"
        for name in (
            "customer_tier_snapshots",
            "customer_feature_snapshots",
            "tier_distribution_snapshots",
            "tier_value_contribution_snapshots",
            "tier_migration_snapshots",
        )
    }
    customers = f"(SELECT count() FROM {snapshots['customer_tier_snapshots']})"
    ladder = _ladder(build)
    yesterday = _customers_before(client, build)
    expectations = {
        "customer_tier_snapshots": [
            whole("not_empty", "At least one customer has a tier.", "count() > 0"),
            whole("one_row_per_customer", "Every customer stands there once.", "count() = uniqExact(customer_id)"),
            whole(
                "customers_of_the_features",
                "Every customer with features has a tier, and nobody else.",
                f"count() = (SELECT count() FROM {snapshots['customer_feature_snapshots']})",
            ),
            whole(
                "base_did_not_collapse",
                f"At least {_SMALLEST_SHARE_OF_YESTERDAY} of the {yesterday} customers of the published day before.",
                f"count() >= {_SMALLEST_SHARE_OF_YESTERDAY} * {yesterday}",
            ),
            rows(
                "tier_of_the_ladder",
                "The tier is one of the ladder of the day.",
                f"tier IN (SELECT tier FROM {ladder})",
            ),
            rows(
                "scores_in_range",
                "Every score is between 0 and 1.",
                " AND ".join(f"ifNull({score} BETWEEN 0 AND 1 + {_TOLERANCE}, 1)" for score in _SCORES),
            ),
            rows(
                "scores_are_numbers",
                "No score is infinite or not a number.",
                " AND ".join(f"ifNull(isFinite({score}), 1)" for score in _SCORES),
            ),
            rows(
                "contributions_add_up",
                "The contributions of the four components add up to the total score.",
                f"abs(r_contribution + f_contribution + m_contribution + p_contribution - total_score) <= {_TOLERANCE}",
            ),
            rows(
                "tier_since_not_ahead",
                "Nobody holds a tier since a later day.",
                f"tier_since_date <= {build.day}",
            ),
            rows(
                "predicted_margin_of_a_model",
                "A predicted margin counts only where a model serves.",
                "lifetime_value_model != 'none' OR predicted_margin_365d = 0",
            ),
            rows(
                "decision_known",
                "The day's decision is one that the tier machine makes.",
                "decision IN ('new', 'kept', 'upgraded', 'downgraded', 'held', 'overridden', 'capped')",
            ),
            whole(
                "one_configuration",
                "One version of the configuration made all rows.",
                "uniqExact(config_version) <= 1 AND uniqExact(scoring_model) <= 1",
            ),
        ],
        "customer_feature_snapshots": [
            whole("one_row_per_customer", "Every customer stands there once.", "count() = uniqExact(customer_id)"),
            whole("as_many_customers_as_tiers", "As many customers as have a tier.", f"count() = {customers}"),
            rows(
                "potential_in_range",
                "The potential index and its parts are between 0 and 1.",
                " AND ".join(
                    f"ifNull({column} BETWEEN 0 AND 1, 1)"
                    for column in ("potential_index", "headroom_share", "growth_share", "new_product_acceptance_180d")
                ),
            ),
        ],
        "tier_distribution_snapshots": [
            whole(
                "as_many_customers_as_tiers",
                "The groups hold every customer once.",
                f"sum(customer_count) = {customers}",
            ),
            whole(
                "sales_of_the_customers",
                "Net sales of the groups are those of the customers, to the cent.",
                f"sum(net_amount_90d) = (SELECT sum(net_amount_90d) FROM {snapshots['customer_tier_snapshots']})",
            ),
        ],
        "tier_value_contribution_snapshots": [
            whole(
                "one_row_per_tier",
                "Every tier of the ladder stands there once.",
                f"count() = uniqExact(tier) AND count() = (SELECT count() FROM {ladder})",
            ),
            whole(
                "as_many_customers_as_tiers",
                "The tiers hold every customer once.",
                f"sum(customer_count) = {customers}",
            ),
            whole(
                "shares_add_up",
                "The shares of customers, sales and margin add up to 1, where there are any.",
                " AND ".join(
                    f"ifNull(abs(sumOrNull({share}) - 1) <= {_TOLERANCE}, 1)"
                    for share in ("customer_share", "net_amount_share", "gross_margin_share")
                ),
            ),
        ],
        "tier_migration_snapshots": [
            rows(
                "shares_in_range",
                "A share of movers is between 0 and 1.",
                f"share_of_from BETWEEN 0 AND 1 + {_TOLERANCE}",
            ),
            rows(
                "from_an_earlier_day",
                "Moves start on an earlier day.",
                f"from_date < {build.day}",
            ),
            none(
                "shares_add_up",
                "Those who left a tier on a day went somewhere, all of them.",
                "SELECT from_date, from_tier FROM {batch} GROUP BY from_date, from_tier "
                f"HAVING abs(sum(share_of_from) - 1) > {_TOLERANCE}",
            ),
        ],
    }
    overrides = Suite(
        "marts",
        ("tiers", "tier_overrides"),
        f"SELECT * FROM {build.table('tiers', 'tier_overrides')}",
        [
            rows(
                "override_counts",
                "A tier set by hand is one of the ladder, by its name in the seed, and has a reason; else it does not count.",
                "override_status IN ('in_force', 'superseded')",
                severity="warning",
            )
        ],
    )
    return [
        *(
            Suite("marts", ("snapshots", name), f"SELECT * FROM {snapshots[name]}", expectations[name])
            for name in expectations
        ),
        overrides,
    ]


def _ladder(build: Build) -> str:
    """The tiers of the day, as a relation: those of the seed, or of the published build whose ladder a day decided again keeps."""
    seed = rows_in_force(build.table("seeds", "tier_standards"), build.day)
    if not build.carried:
        return seed
    published = (
        f"SELECT arrayMap(step -> toString(step.2), ladder) FROM {build.table('snapshots', 'published_builds')} "
        f"WHERE as_of_date = {build.day} AND build_id = '{build.carried}'"
    )
    # A build of an earlier version may know no ladder.
    return f"(SELECT arrayJoin(if(empty(({published}) AS kept), (SELECT groupArray(toString(tier)) FROM {seed}), kept)) AS tier)"


def _customers_before(client: Client, build: Build) -> int:
    """Customers of the latest published day before the as-of date; 0 when there is none."""
    published = build.table("snapshots", "published_builds")
    if not scalar(client, f"EXISTS TABLE {published}"):
        return 0
    return scalar(
        client, f"SELECT argMaxOrDefault(customer_count, as_of_date) FROM {published} WHERE as_of_date < {build.day}"
    )
