"""When it runs: every morning for the day before; on Mondays from landing anew, then the predictions of the week; on the first
of a month the evaluation of the models, on the first of a quarter the review of the thresholds."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from orchestration.defs.partitions import daily
from orchestration.defs.transformation import settled_keys

WEEKLY = dg.AssetSelection.tag("runs", "weekly_predictions")
MONTHLY = dg.AssetSelection.tag("runs", "monthly_evaluation")
QUARTERLY = dg.AssetSelection.tag("runs", "quarterly_review")
# Checks on landing have to be named: nothing in a refresh materializes landing.
EVERYTHING = (dg.AssetSelection.all() - WEEKLY - MONTHLY - QUARTERLY) | dg.AssetSelection.all_asset_checks()
# A day changes no view and no seed. The views of the marts stay in, as their freshness is watched.
_SETTLED = dg.AssetSelection.assets(*(key for key in settled_keys() if key.path[0] != "marts"))

daily_refresh = dg.define_asset_job(
    "daily_refresh",
    selection=EVERYTHING - _SETTLED,
    executor_def=dg.in_process_executor,
    description="Bring every layer up to the end of one business day and publish the snapshot.",
)

weekly_refresh = dg.define_asset_job(
    "weekly_refresh",
    selection=EVERYTHING,
    executor_def=dg.in_process_executor,
    config={"ops": {"dbt_features": {"config": {"full": True}}}},
    description="The daily refresh of Sunday with the facts made anew from landing, so that no drift lives for longer than a week.",
)

weekly_predictions = dg.define_asset_job(
    "weekly_predictions",
    selection=WEEKLY,
    executor_def=dg.in_process_executor,
    description="What to offer each customer, and what will be sold in the coming weeks, from the last refreshed day.",
)

monthly_evaluation = dg.define_asset_job(
    "monthly_evaluation",
    selection=MONTHLY,
    executor_def=dg.in_process_executor,
    description="Every model against what is simple, at several earlier days; what serves from the next refresh on.",
)

quarterly_review = dg.define_asset_job(
    "quarterly_review",
    selection=QUARTERLY,
    executor_def=dg.in_process_executor,
    description="Where the standards now cut, and what would restore the quotas; a proposal, which a person publishes or not.",
)

daily_schedule = dg.build_schedule_from_partitioned_job(
    daily_refresh, name="daily_at_five", hour_of_day=5, minute_of_hour=0
)


@dg.schedule(
    job=weekly_refresh,
    name="weekly_on_monday",
    cron_schedule="0 6 * * 1",
    execution_timezone=daily().timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def weekly_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Sunday, the last complete business day on a Monday morning."""
    monday = context.scheduled_execution_time.astimezone(ZoneInfo(daily().timezone)).date()
    key = (monday - timedelta(days=1)).isoformat()
    return dg.RunRequest(run_key=f"weekly-{key}", partition_key=key)


@dg.schedule(
    job=weekly_predictions,
    name="predictions_on_monday",
    cron_schedule="0 8 * * 1",
    execution_timezone=daily().timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def predictions_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """From Sunday, the day that the refreshes of Monday morning have brought up."""
    monday = context.scheduled_execution_time.astimezone(ZoneInfo(daily().timezone)).date()
    key = (monday - timedelta(days=1)).isoformat()
    return dg.RunRequest(run_key=f"predictions-{key}", partition_key=key)


@dg.schedule(
    job=monthly_evaluation,
    name="evaluation_on_the_first",
    cron_schedule="0 9 1 * *",
    execution_timezone=daily().timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def evaluation_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Up to the end of the month before, which the refresh of the morning has brought up."""
    return _the_day_before("evaluation", context)


@dg.schedule(
    job=quarterly_review,
    name="review_on_the_first_of_a_quarter",
    cron_schedule="0 10 1 1,4,7,10 *",
    execution_timezone=daily().timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def review_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """On the last day of the quarter before."""
    return _the_day_before("review", context)


def _the_day_before(name: str, context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    day = context.scheduled_execution_time.astimezone(ZoneInfo(daily().timezone)).date()
    key = (day - timedelta(days=1)).isoformat()
    return dg.RunRequest(run_key=f"{name}-{key}", partition_key=key)
