"""When it runs: every morning for the day before; on Mondays from landing anew, then the predictions of the week; on the first
of a month the evaluation of the models, on the first of a quarter the review of the thresholds."""

from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG, RETRY_ON_ASSET_OR_OP_FAILURE_TAG, RETRY_STRATEGY_TAG

from orchestration.defs.partitions import daily
from orchestration.defs.transformation import settled_keys

WEEKLY = dg.AssetSelection.tag("runs", "weekly_predictions")
MONTHLY = dg.AssetSelection.tag("runs", "monthly_evaluation")
QUARTERLY = dg.AssetSelection.tag("runs", "quarterly_review")
# Checks on landing have to be named: nothing in a refresh materializes landing.
EVERYTHING = (dg.AssetSelection.all() - WEEKLY - MONTHLY - QUARTERLY) | dg.AssetSelection.all_asset_checks()
# A day changes no view and no seed. The views of the marts stay in, as their freshness is watched, and those of staging, as the
# facts follow from landing through them alone: without them they would not wait for the gate of landing.
_SETTLED = dg.AssetSelection.assets(*(key for key in settled_keys() if key.path[0] not in ("staging", "marts")))

# A scheduled run whose process is gone, as after a power cut, is started once more, whole: a part of a refresh publishes nothing.
# One in which a step failed says what somebody has to do.
_AGAIN = {MAX_RETRIES_TAG: "1", RETRY_STRATEGY_TAG: "ALL_STEPS", RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"}

_job = partial(dg.define_asset_job, executor_def=dg.in_process_executor)

daily_refresh = _job(
    "daily_refresh",
    selection=EVERYTHING - _SETTLED,
    description="Bring every layer up to the end of one business day and publish the snapshot.",
)

weekly_refresh = _job(
    "weekly_refresh",
    selection=EVERYTHING,
    config={"ops": {"dbt_features": {"config": {"full": True}}}},
    description="The daily refresh of Sunday with the facts made anew from landing, so that no drift lives for longer than a week.",
)

weekly_predictions = _job(
    "weekly_predictions",
    selection=WEEKLY,
    description="What to offer each customer, and what will be sold in the coming weeks, from the last refreshed day.",
)

monthly_evaluation = _job(
    "monthly_evaluation",
    selection=MONTHLY,
    description="Every model against what is simple, at several earlier days; what serves from the next refresh on.",
)

quarterly_review = _job(
    "quarterly_review",
    selection=QUARTERLY,
    description="Where the standards now cut, and what would restore the quotas; a proposal, which a person publishes or not.",
)


def _on_the_day_before(job: str, name: str, run: str, cron: str, why: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        job_name=job,
        name=name,
        description=why,
        cron_schedule=cron,
        execution_timezone=daily().timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def request(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time.astimezone(ZoneInfo(daily().timezone)).date() - timedelta(days=1)
        return dg.RunRequest(run_key=f"{run}-{day}", partition_key=str(day), tags=_AGAIN)

    return request


daily_schedule = _on_the_day_before(
    "daily_refresh", "daily_at_five", "daily", "0 5 * * *", "Yesterday, the last complete business day."
)

weekly_schedule = _on_the_day_before(
    "weekly_refresh",
    "weekly_on_monday",
    "weekly",
    "0 6 * * 1",
    "Sunday, the last complete business day on a Monday morning.",
)

predictions_schedule = _on_the_day_before(
    "weekly_predictions",
    "predictions_on_monday",
    "predictions",
    "0 8 * * 1",
    "From Sunday, the day that the refreshes of Monday morning have brought up.",
)

evaluation_schedule = _on_the_day_before(
    "monthly_evaluation",
    "evaluation_on_the_first",
    "evaluation",
    "0 9 1 * *",
    "Up to the end of the month before, which the refresh of the morning has brought up.",
)

review_schedule = _on_the_day_before(
    "quarterly_review",
    "review_on_the_first_of_a_quarter",
    "review",
    "0 10 1 1,4,7,10 *",
    "On the last day of the quarter before.",
)
