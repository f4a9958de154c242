"""The weekly predictions as a command: the Dagster job of the schedule, run in this process, with one clear end."""

from __future__ import annotations

from datetime import date

from orchestration.job import run_job
from orchestration.lock import writer_lock
from orchestration.predictions import choose_day
from orchestration.warehouse.client import connect, ensure_running
from orchestration.warehouse.settings import Settings


def predict(as_of: date | None = None) -> date:
    """Predict from the end of `as_of`, by default the last refreshed day; returns the day.

    Raises TierhouseError with one line when it fails; what was predicted before stays.
    """
    settings = ensure_running(Settings.from_environment())
    # Whoever refreshes at this moment is named, and not taken for a refresh that was cut off.
    with writer_lock(settings, "tierhouse predict"):
        day = choose_day(connect(settings, autogenerate_session_id=False), settings, as_of)
        run_job(settings, "weekly_predictions", day, f"predictions of {day} failed, what was predicted before stays")
    return day
