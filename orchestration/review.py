"""The quarterly review as a command: the Dagster job of the schedule, run in this process, with one clear end."""

from __future__ import annotations

from datetime import date

from orchestration.job import run_job
from orchestration.lock import writer_lock
from orchestration.reviews import day_to_review
from orchestration.warehouse.client import connect, ensure_running
from orchestration.warehouse.settings import Settings


def review(as_of: date | None = None) -> date:
    """Review the thresholds on a stored day, by default the latest; returns it. Raises TierhouseError with one line."""
    settings = ensure_running(Settings.from_environment())
    # As in predict.py.
    with writer_lock(settings, "tierhouse review"):
        day = day_to_review(connect(settings, autogenerate_session_id=False), settings, as_of)
        run_job(settings, "quarterly_review", day, f"review of {day} failed, nothing is changed")
    return day
