"""Why a run of Dagster failed, in one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_FAILURES = ("STEP_FAILURE", "PIPELINE_FAILURE", "RUN_FAILURE")


def first_failure(events: Iterable[Any]) -> str:
    """The innermost message of the first of Dagster's events that tells of a failure; empty when none does."""
    for event in events:
        if event.event_type_value not in _FAILURES or not event.event_specific_data:
            continue
        failure = getattr(event.event_specific_data, "user_failure_data", None)
        if failure and failure.description:
            return " ".join(failure.description.split())
        error = getattr(event.event_specific_data, "error", None)
        while error and error.cause:
            error = error.cause
        if error:
            return " ".join(error.message.split())
    return ""
