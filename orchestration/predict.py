"""The weekly predictions as a command: the Dagster job of the schedule, run in this process, with one clear end."""

from __future__ import annotations

import logging
import os
from datetime import date

from orchestration import progress
from orchestration.errors import TierhouseError
from orchestration.failures import first_failure
from orchestration.predictions import choose_day
from orchestration.project import dbt_environment, ensure_manifest
from orchestration.refresh import dagster_instance
from orchestration.warehouse.client import connect, ensure_running
from orchestration.warehouse.settings import Settings


def predict(as_of: date | None = None) -> date:
    """Predict from the end of `as_of`, by default the last refreshed day; returns the day.

    Raises TierhouseError with one line when it fails; what was predicted before stays.
    """
    settings = ensure_running(Settings.from_environment())
    day = choose_day(connect(settings, autogenerate_session_id=False), settings, as_of)
    os.environ.update(dbt_environment(settings))
    ensure_manifest(settings)
    instance = dagster_instance(settings)
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    from orchestration.definitions import defs

    result = (
        defs()
        .resolve_job_def("weekly_predictions")
        .execute_in_process(
            partition_key=day.isoformat(),
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    )
    progress.finish()
    if not result.success:
        reason = first_failure(result.all_events) or "no reason given; see `dagster dev`"
        raise TierhouseError(f"predictions of {day} failed, what was predicted before stays: {reason}")
    return day
