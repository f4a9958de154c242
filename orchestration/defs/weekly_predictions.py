"""Weekly predictions: Python assets of their own job, not part of the daily refresh, whose facts they read.

What they compute with is imported when they run: every refresh imports this module.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import dagster as dg
from clickhouse_connect.driver.client import Client

from orchestration.defs.partitions import daily
from orchestration.defs.resources import Warehouse, patient_lock
from orchestration.defs.transformation import PUBLISHED
from orchestration.predictive.forecast import MODEL_VERSION as FORECAST_VERSION
from orchestration.predictive.recommendation import MODEL_VERSION as RECOMMENDATION_VERSION
from orchestration.warehouse.settings import Settings

GROUP = "weekly_predictions"
# What both read, and that the day is published: one that is not is refused, which materializing everything at once must come to first.
BASIS: list[list[str] | dg.AssetKey] = [["facts", "fct_order_lines"], ["facts", "fct_orders"], PUBLISHED]


@contextmanager
def _prepared(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[tuple[Client, Settings, date]]:
    """The warehouse and the day, while the writer lock is held; refuses a day that the facts do not reach."""
    from orchestration.predictions import choose_day

    settings, client = warehouse.settings(), warehouse.client()
    asked = date.fromisoformat(context.partition_key)
    with patient_lock(settings, f"tierhouse predict --as-of {asked}", context.log):
        yield client, settings, choose_day(client, settings, asked)


@dg.asset(
    key=["predictive", "product_recommendations"],
    group_name="predictive",
    tags={"runs": GROUP},
    description="One row per customer, as-of date and place of the list: a product to offer and why.",
    deps=BASIS,
    partitions_def=daily(),
    code_version=RECOMMENDATION_VERSION,
    kinds={"python"},
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def product_recommendations(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    from orchestration.predictions import recommend_products

    with _prepared(context, warehouse) as (client, settings, day):
        made = recommend_products(client, settings, day)
    return dg.MaterializeResult(
        metadata={
            "rows": made.row_count,
            "customers": made.customer_count,
            "list_method": made.list_method,
            "new_method": made.new_method,
            "reason": made.reason,
        }
    )


@dg.asset(
    key=["predictive", "sales_forecast"],
    group_name="predictive",
    tags={"runs": GROUP},
    description="One row per as-of date, series and coming week: net sales to expect, in total and by region, category and tier.",
    deps=[*BASIS, ["snapshots", "customer_tier_snapshots"]],
    partitions_def=daily(),
    code_version=FORECAST_VERSION,
    kinds={"python"},
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def sales_forecast(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    from orchestration.predictions import forecast_sales

    with _prepared(context, warehouse) as (client, settings, day):
        made = forecast_sales(client, settings, day)
    return dg.MaterializeResult(
        metadata={"series": made.series_count, "served_by_a_model": made.model_count, "rows": made.row_count}
    )
