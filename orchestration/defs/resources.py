"""What the assets of one refresh share: the warehouse, and the bookkeeping around a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import date

import dagster as dg
from clickhouse_connect.driver.client import Client
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from sqlalchemy.exc import SQLAlchemyError

from orchestration import history, unchanged
from orchestration.errors import TierhouseError
from orchestration.failures import first_failure
from orchestration.landing import repair
from orchestration.lock import writer_lock
from orchestration.operations import drop_unpublished_builds, end_run, mark_killed, start_run
from orchestration.progress import report
from orchestration.refresh import business_days, check_days
from orchestration.run_history import forget_old_runs
from orchestration.warehouse.client import located, shared_client
from orchestration.warehouse.settings import Settings

# A run of Dagster has nobody before it who would start it again: it waits where a landing, or a refresh by hand, is going.
PATIENCE_SECONDS = 2 * 60 * 60.0
# Tag of a run that is the last part of a refresh by the command line, which holds the lock already.
IS_PART = "tierhouse/part_of_a_refresh"


class Warehouse(dg.ConfigurableResource):
    """The warehouse as the environment names it."""

    def settings(self) -> Settings:
        """Connection and paths; starts the embedded server where none answers."""
        return located(Settings.from_environment())

    def client(self) -> Client:
        """The client that all assets share; sessions are off, so that threads may."""
        return shared_client(Settings.from_environment())


def patient_lock(settings: Settings, what: str, log: dg.DagsterLogManager | None) -> AbstractContextManager[None]:
    """The writer lock for a run of Dagster; the run's log says for whom it waits."""
    return writer_lock(settings, what, PATIENCE_SECONDS, log.info if log else None)


class RefreshRun(dg.ConfigurableResource):
    """One refresh at a time: holds the writer lock while the run lasts, repairs what an earlier one left, keeps the log.

    All runs use the in-process executor, so the resource lives as long as the run.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[RefreshRun]:
        settings = located(Settings.from_environment())
        client = shared_client(settings)
        run = context.dagster_run
        if not run:
            yield self
            return
        as_of = _day_of(run.tags)
        with patient_lock(settings, f"tierhouse refresh --as-of {as_of}", context.log):
            repair(client, settings)
            mark_killed(client, settings)
            if IS_PART not in run.tags:
                # Dagster offers days beyond the data, and the last one first: a build of it would be what the marts show.
                check_days([date.fromisoformat(as_of)], *business_days(client, settings))
            unchanged.forget(client, settings)
            if IS_PART not in run.tags:
                for day in history.finish_interrupted(client, settings):
                    report("cut off earlier, decided again", day)
            start_run(client, settings, run.run_id, as_of)
            try:
                yield self
            finally:
                message = _why_it_failed(context, run.run_id)
                if end_run(client, settings, run.run_id, message):
                    drop_unpublished_builds(client, settings)
                _tidy(context)


def _day_of(tags: Mapping[str, str]) -> str:
    """The one day of a run. A backfill, and a run of chosen assets, names it as a range of one day."""
    first = tags.get(ASSET_PARTITION_RANGE_START_TAG, "")
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG, "")
    day = tags.get(PARTITION_NAME_TAG, "") or first
    if not day:
        raise TierhouseError("no day is given; choose a partition, which is the day to refresh")
    if first != last:
        raise TierhouseError(
            f"one run refreshes one day, not {first} to {last}; launch a backfill, which makes a run of each"
        )
    return day


def _tidy(context: dg.InitResourceContext) -> None:
    """Forget old runs; what keeps that from going well must not spoil a refresh that has ended."""
    if context.instance is None:
        return
    try:
        forget_old_runs(context.instance)
    except (OSError, SQLAlchemyError) as error:
        if context.log is not None:
            context.log.warning(
                f"old runs of Dagster stay for now: {type(error).__name__}; the next refresh tries again"
            )


def _why_it_failed(context: dg.InitResourceContext, run_id: str) -> str:
    """The first failure that the run has logged so far; empty when it went well."""
    if context.instance is None:
        return ""
    logged = context.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return first_failure(entry.dagster_event for entry in logged if entry.dagster_event)
