"""Monthly evaluation of the models and quarterly review of the thresholds: Python assets, each in a job of its own.

What they compute with is imported when they run: every refresh imports this module.
"""

from datetime import date

import dagster as dg

from orchestration.defs.partitions import daily
from orchestration.defs.resources import Warehouse, patient_lock


@dg.asset(
    key=["predictive", "model_evaluation"],
    group_name="predictive",
    tags={"runs": "monthly_evaluation"},
    description="One row per evaluation, model and metric: the model beside the best baseline, and what serves by it.",
    deps=[["facts", "fct_orders"]],
    partitions_def=daily(),
    kinds={"python"},
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def model_evaluation(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    from orchestration.evaluations import choose_day, evaluate_models

    settings, client = warehouse.settings(), warehouse.client()
    asked = date.fromisoformat(context.partition_key)
    with patient_lock(settings, f"tierhouse evaluate --as-of {asked}", context.log):
        made = evaluate_models(client, settings, choose_day(client, settings, asked))
    return dg.MaterializeResult(
        metadata={"evaluated_on": str(made.evaluated_on), "serves_from": str(made.serves_from)}
        | {one.question.model: f"{one.verdict}, {one.served_model or 'nothing'} serves" for one in made.evaluations}
    )


@dg.asset(
    key=["predictive", "threshold_review"],
    group_name="predictive",
    tags={"runs": "quarterly_review"},
    description="One row per reviewed day, tier and criterion: where the standards cut, and what would restore the quotas.",
    deps=[["marts", "customer_tier_history"]],
    partitions_def=daily(),
    kinds={"python"},
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def threshold_review(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    from orchestration.reviews import day_to_review, review_thresholds

    settings, client = warehouse.settings(), warehouse.client()
    asked = date.fromisoformat(context.partition_key)
    with patient_lock(settings, f"tierhouse review --as-of {asked}", context.log):
        made = review_thresholds(client, settings, day_to_review(client, settings, asked))
    return dg.MaterializeResult(
        metadata={"policy": made.policy} | {one.standard.tier: one.verdict for one in made.reviews}
    )
