"""What a person is told of a job that failed."""

from __future__ import annotations

import dagster as dg

from orchestration.errors import TierhouseError
from orchestration.failures import first_failure


def _told(error: Exception) -> str:
    @dg.op
    def fail() -> None:
        raise error

    @dg.job
    def failing() -> None:
        fail()

    result = failing.execute_in_process(raise_on_error=False, instance=dg.DagsterInstance.ephemeral())
    return first_failure(result.all_events)


def test_what_is_said_to_a_person_comes_without_the_name_of_a_class_and_other_errors_keep_theirs() -> None:
    assert _told(TierhouseError("no order was known;\nwait")) == "no order was known; wait"
    assert _told(ValueError("no such place")) == "ValueError: no such place"
