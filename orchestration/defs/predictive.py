"""Python assets: what SQL cannot express. Features in, one table each out, replaced per as-of date."""

from datetime import date
from typing import Any

import dagster as dg

from orchestration.defs.partitions import daily
from orchestration.defs.resources import RefreshRun, Warehouse
from orchestration.defs.retries import again_where_disconnected
from orchestration.predictive import order_histories, store_churn, store_lifetime_value, store_potential
from orchestration.predictive.churn_model import CODE_VERSION as CHURN_VERSION
from orchestration.predictive.lifetime_value import OPTIONS as LIFETIME_VALUE_OPTIONS
from orchestration.predictive.potential_parts import CODE_VERSION as POTENTIAL_VERSION
from orchestration.progress import report

# What the assets of a refresh have in common.
_DAILY: dict[str, Any] = {
    "group_name": "predictive",
    "partitions_def": daily(),
    "kinds": {"python"},
    "backfill_policy": dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
}


@dg.asset(
    key=["predictive", "potential"],
    description="One row per scored customer and as-of date: the room to grow and its parts.",
    deps=[
        ["features", "feature_snapshot"],
        ["features", "customer_category_spend"],
        ["facts", "fct_orders"],
        ["facts", "fct_order_lines"],
        ["seeds", "potential_weights"],
        ["predictive", "promotions"],
    ],
    code_version=POTENTIAL_VERSION,
    **_DAILY,
)
@again_where_disconnected()
def potential(context: dg.AssetExecutionContext, warehouse: Warehouse, refresh_run: RefreshRun) -> dg.MaterializeResult:
    result = store_potential.refresh_potential(warehouse.client(), warehouse.settings(), context.partition_key)
    report("potential", len(result))
    return dg.MaterializeResult(
        metadata={"customers": len(result), "without_index": int(result["potential_index"].isna().sum())}
    )


@dg.asset(
    key=["predictive", "churn"],
    description="One row per scored customer and as-of date: rhythm, silence, partial defection and churn risk.",
    deps=[
        ["features", "customer_order_features"],
        ["facts", "dim_customers"],
        ["facts", "fct_orders"],
        ["facts", "fct_order_lines"],
        ["facts", "dim_products"],
        ["seeds", "score_weights"],
        ["predictive", "promotions"],
    ],
    code_version=CHURN_VERSION,
    **_DAILY,
)
@again_where_disconnected()
def churn(context: dg.AssetExecutionContext, warehouse: Warehouse, refresh_run: RefreshRun) -> dg.MaterializeResult:
    client, settings, day = warehouse.client(), warehouse.settings(), context.partition_key
    histories = order_histories.from_features(client, settings, date.fromisoformat(day))
    result = store_churn.refresh_churn(client, settings, day, histories=histories)
    report("churn", len(result))
    return dg.MaterializeResult(
        metadata={
            "customers": len(result),
            "high": int((result["churn_risk"] == "high").sum()),
            "method": ", ".join(result["method"].unique()),
            "served_model": ", ".join(result["served_model"].unique()),
        }
    )


@dg.asset(
    key=["predictive", "lifetime_value"],
    description="One row per scored customer and as-of date: expected orders and margin of 12 months, P(alive), residual value.",
    deps=[
        ["features", "customer_order_features"],
        ["facts", "dim_customers"],
        ["facts", "fct_orders"],
        ["predictive", "promotions"],
    ],
    code_version=LIFETIME_VALUE_OPTIONS.code_version,
    **_DAILY,
)
@again_where_disconnected()
def lifetime_value(
    context: dg.AssetExecutionContext, warehouse: Warehouse, refresh_run: RefreshRun
) -> dg.MaterializeResult:
    client, settings, day = warehouse.client(), warehouse.settings(), context.partition_key
    histories = order_histories.from_features(client, settings, date.fromisoformat(day))
    result = store_lifetime_value.refresh_lifetime_value(client, settings, day, histories=histories)
    report("lifetime value", len(result))
    return dg.MaterializeResult(
        metadata={
            "customers": len(result),
            "method": next(iter(result["method"]), "none"),
            "model_version": next(iter(result["model_version"]), "none"),
            "served_model": next(iter(result["served_model"]), ""),
            "expected_margin_365d": float(result["expected_margin_365d"].sum()),
        }
    )


# Tables that assets write beside their own, so that the lineage goes on through them.
side_tables = [
    dg.AssetSpec(
        ["predictive", "potential_parts"],
        group_name="predictive",
        deps=[["predictive", "potential"]],
        description="One row per scored customer and as-of date: the parts of the second potential, each with its reason.",
    ),
    dg.AssetSpec(
        ["predictive", "promotions"],
        group_name="predictive",
        deps=[["predictive", "model_evaluation"]],
        description="One row per verdict on a model: what serves from then on.",
    ),
]
