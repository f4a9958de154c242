"""A job of Dagster run in this process by a command, with one clear end."""

from __future__ import annotations

import logging
import os
from datetime import date

from orchestration import progress
from orchestration.errors import TierhouseError
from orchestration.failures import INTERRUPTED, first_failure
from orchestration.project import dbt_environment, ensure_manifest
from orchestration.refresh import dagster_instance
from orchestration.warehouse.settings import Settings


def run_job(settings: Settings, name: str, day: date, failed: str) -> None:
    """Run the job for a day; only for who holds the writer lock.

    Raises TierhouseError, `failed` and the reason in one line, when it does not succeed."""
    os.environ.update(dbt_environment(settings))
    ensure_manifest(settings)
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    from orchestration.definitions import defs
    from orchestration.run_launcher import PROCESS

    job = defs().resolve_job_def(name)
    with dagster_instance(settings) as instance:
        result = job.execute_in_process(
            partition_key=day.isoformat(),
            instance=instance,
            tags={PROCESS: str(os.getpid())},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    progress.finish()
    if not result.success:
        reason = first_failure(result.all_events) or "no reason given; see `dagster dev`"
        if reason == INTERRUPTED:
            # Dagster has taken Ctrl-C for a failure of the step that it fell in.
            raise KeyboardInterrupt
        raise TierhouseError(f"{failed}: {reason}")
