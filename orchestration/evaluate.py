"""The monthly evaluation as a command: the Dagster job of the schedule, run in this process, with one clear end."""

from __future__ import annotations

from datetime import date

from orchestration.evaluations import choose_day
from orchestration.job import run_job
from orchestration.lock import writer_lock
from orchestration.warehouse.client import connect, ensure_running
from orchestration.warehouse.settings import Settings


def evaluate(as_of: date | None = None) -> date:
    """Judge the models with what was known at the end of `as_of`, by default the last refreshed month end; returns the day.

    Raises TierhouseError with one line when it fails; what served before goes on serving.
    """
    settings = ensure_running(Settings.from_environment())
    # As in predict.py.
    with writer_lock(settings, "tierhouse evaluate"):
        day = choose_day(connect(settings, autogenerate_session_id=False), settings, as_of)
        run_job(settings, "monthly_evaluation", day, f"evaluation of {day} failed, what served before goes on serving")
    return day
