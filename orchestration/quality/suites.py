"""Run the expectation suites of some layers, and keep what they found: in the warehouse and as Data Docs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from orchestration.quality import facts, features, landing, marts, predictive
from orchestration.quality.checks import Build, Result, Suite
from orchestration.quality.docs import write_docs
from orchestration.quality.results import latest_results, recent_runs, store_results
from orchestration.warehouse.client import located, shared_client
from orchestration.warehouse.settings import Settings

# The tables that every refresh judges; Dagster shows a check on each. Landing: those that have rows.
TABLES = {
    "landing": sorted(("landing", name) for name in landing.TABLES),
    "facts": [
        ("facts", name) for name in ("fct_orders", "fct_order_lines", "fct_watermark", "dim_customers", "dim_products")
    ],
    "features": [("features", "feature_snapshot")],
    "marts": [
        ("snapshots", name)
        for name in (
            "customer_tier_snapshots",
            "customer_feature_snapshots",
            "tier_distribution_snapshots",
            "tier_value_contribution_snapshots",
            "tier_migration_snapshots",
        )
    ]
    + [("tiers", "tier_overrides")]
    + [("predictive", name) for name in predictive.TABLES],
}


def run_suites(
    settings: Settings, layers: Iterable[str], as_of: date, build_id: str, carried: str = ""
) -> list[Result]:
    """Judge `layers` (landing, facts, features, marts) for one as-of date; one result per expectation.

    marts means the build `build_id` in the snapshots layer, published or not, and the day's predictions. carried: the published
    build whose measures it keeps, where the day was decided again. Results go to
    `<prefix>_marts.data_quality_results` under run_id `build_id`, and to the pages in `settings.home/data_docs`.
    Nothing is raised for an expectation that fails: see `Result.blocks`.
    """
    settings = located(settings)
    client = shared_client(settings)
    build = Build(settings, as_of, build_id, carried)
    suites: list[Suite] = []
    for layer in layers:
        if layer == "landing":
            suites += landing.suites(client, build)
        elif layer == "facts":
            suites += facts.suites(build)
        elif layer == "features":
            suites += features.suites(build)
        else:
            suites += [*marts.suites(client, build), *predictive.suites(build)]
    # Great Expectations takes seconds to import, so it waits until a refresh needs it.
    from orchestration.quality.validation import validate

    results = validate(settings, suites)
    store_results(client, build, results)
    write_docs(settings.home / "data_docs", latest_results(client, settings), recent_runs(client, settings))
    return results
