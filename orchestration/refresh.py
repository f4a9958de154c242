"""Bring the warehouse up to a day: the Dagster job of the schedule, run in this process, with progress and one clear end."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from clickhouse_connect.driver.client import Client

from orchestration import days_in_work, history, progress, unchanged
from orchestration.errors import TierhouseError
from orchestration.failures import INTERRUPTED, first_failure
from orchestration.landing import repair
from orchestration.lock import writer_lock
from orchestration.operations import log_unchanged, mark_killed
from orchestration.project import PROJECT_DIR, dbt_environment, ensure_manifest
from orchestration.quality.seeds import check_seeds
from orchestration.warehouse.client import connect, ensure_running
from orchestration.warehouse.settings import Settings

_DAGSTER_YAML = """# Dagster's own state of this warehouse. One refresh at a time; no usage statistics, no invitation to leave an address.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
run_launcher:
  module: orchestration.run_launcher
  class: WatchedRunLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 60
  start_timeout_seconds: 900
run_retries:
  enabled: true
  max_retries: 0
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
event_log_storage:
  module: orchestration.event_log
  class: OneEngineEventLogStorage
  config:
    base_dir: {base_dir}
"""


@dataclass(frozen=True)
class Published:
    """One published snapshot: its day and how many customers it holds; None where only tiers were decided again.

    unchanged_since: end of the refresh that made it, where nothing has changed since and it was not made again.
    """

    as_of_date: date
    customer_count: int | None
    unchanged_since: datetime | None = None


def business_days(client: Client, settings: Settings) -> tuple[date, date]:
    """First and last business date of the landed orders. Raises TierhouseError when nothing has landed."""
    orders = f"{settings.database('landing')}.orders"
    if client.command(f"EXISTS TABLE {orders}") != 1:
        raise TierhouseError("nothing has landed yet; run `tierhouse demo` or `tierhouse land DIR` first")
    first, last, count = client.query(
        f"SELECT min(toDate(ordered_at, {{zone:String}})), max(toDate(ordered_at, {{zone:String}})), count() FROM {orders}",
        parameters={"zone": settings.zone},
    ).result_rows[0]
    if not count:
        raise TierhouseError("no order has landed yet; run `tierhouse demo` or `tierhouse land DIR` first")
    return first, last


def last_complete_day(client: Client, settings: Settings, first: date, last: date) -> date:
    """The last business day that was over when something landed last, and on which there is a later order; else the first day.

    An order may be dated a day ahead, as by a till whose clock is wrong: of itself it makes no day complete.
    """
    landed_on = client.query(
        f"SELECT toDate(max(_loaded_at), {{zone:String}}) FROM {settings.database('landing')}.orders",
        parameters={"zone": settings.zone},
    ).result_rows[0][0]
    # The day of the last order may still be going on, so the day before is the last complete one.
    return max(first, min(last, landed_on) - timedelta(days=1))


def choose_days(
    first: date, complete: date, as_of: date | None = None, start: date | None = None, end: date | None = None
) -> list[date]:
    """The as-of dates of a refresh: one day, a range (an end that is not given is `first` or `complete`), or else `complete`."""
    if as_of and (start or end):
        raise TierhouseError("--as-of names one day, --from and --to a range; give one or the other")
    if not (start or end):
        return [as_of or complete]
    start, end = start or first, end or complete
    if start > end:
        raise TierhouseError(f"--from {start} is after --to {end}; swap them")
    return [start + timedelta(days=offset) for offset in range((end - start).days + 1)]


def check_days(days: list[date], first: date, last: date) -> None:
    """Raises TierhouseError for days, in order, beyond the business dates of the first and the last order."""
    if days[0] < first:
        raise TierhouseError(
            f"as-of date {days[0]} is before the first order ({first}); choose a day from {first} to {last}"
        )
    if days[-1] > last:
        raise TierhouseError(
            f"as-of date {days[-1]} is after the last order ({last}); land newer orders or choose a day up to {last}"
        )


def refresh(
    as_of: date | None = None,
    start: date | None = None,
    end: date | None = None,
    full: bool = False,
    every: int = 1,
    restate: bool = False,
    again: bool = False,
) -> Iterator[Published]:
    """Build and publish the snapshot of each day, oldest first; yields each one when it is published.

    full: make the facts anew from landing, not from what changed. every: of a range, take each n-th day, counted back from
    its last. restate: rebuild the published days of the range with all that is known by the last complete business day, or by
    their own end, if that is later. Later days that are stored are decided again, since a tier follows from the day before.
    again: make a single day anew also where nothing has changed since it was made. Raises TierhouseError with one line when a
    step fails; the marts then still show what they showed before.
    """
    settings = ensure_running(Settings.from_environment())
    check_seeds(PROJECT_DIR / "seeds")
    with writer_lock(settings, "tierhouse refresh"):
        client = connect(settings, autogenerate_session_id=False)
        repair(client, settings)
        mark_killed(client, settings)
        first, last = business_days(client, settings)
        complete = last_complete_day(client, settings, first, last)
        chosen = choose_days(first, complete, as_of, start, end)
        check_days(chosen, first, last)
        days = chosen[::-1][::every][::-1]
        check_seeds(PROJECT_DIR / "seeds", days[0])
        before = unchanged.read_state(client, settings)
        if not (start or end or full or restate or again):
            stands = unchanged.standing(client, settings, days[0], before)
            if stands:
                log_unchanged(client, settings, days[0].isoformat(), stands.build_id, stands.customer_count)
                yield Published(days[0], stands.customer_count, unchanged_since=stands.since)
                return
        unchanged.forget(client, settings)
        os.environ.update(dbt_environment(settings))
        ensure_manifest(settings)
        for day in history.finish_interrupted(client, settings):
            yield Published(day, None)
        if restate:
            yield from _restate(client, settings, days, known_until=complete)
            return
        if len(days) > 1:
            history.build_facts(client, settings, days[-1], full)
            for day, following in pairwise(days):
                yield Published(day, history.build_day(client, settings, day))
                for between in history.decide_again(client, settings, day, before=following):
                    yield Published(between, None)
        # Closed at the end, which lets SQLite fold its write-ahead logs of some MB into the files.
        with dagster_instance(settings) as instance:
            published = _run(instance, days[-1], full=full and len(days) == 1)
        unchanged.remember(client, settings, days[-1], before)
        yield published


def _restate(client: Client, settings: Settings, days: list[date], known_until: date) -> Iterator[Published]:
    """Rebuild the published ones of `days` with what is known at the end of `known_until`; decide later days again.

    A day after `known_until`, which was published before it was complete, is rebuilt with what is known at its own end.
    """
    published = history.published_days(client, settings)
    chosen = sorted(set(published) & set(days))
    if not chosen:
        stored = f"{published[0]} to {published[-1]}" if published else "none"
        raise TierhouseError(f"no published day from {days[0]} to {days[-1]} to restate; published: {stored}")
    history.build_facts(client, settings, chosen[-1])
    for day, following in zip(chosen, [*chosen[1:], date.max], strict=True):
        yield Published(day, history.build_day(client, settings, day, max(day, known_until)))
        for later in history.decide_again(client, settings, day, before=following):
            yield Published(later, None)
    days_in_work.end(client, settings)
    progress.finish()


def dagster_instance(settings: Settings) -> Any:
    """The Dagster instance that keeps runs and events under TIERHOUSE_HOME, unless DAGSTER_HOME names another.

    Raises TierhouseError where the configuration there is broken."""
    import dagster as dg
    import yaml  # type: ignore[import-untyped]

    home = settings.home / "dagster"
    if not os.environ.get("DAGSTER_HOME"):
        home.mkdir(parents=True, exist_ok=True)
        configuration = home / "dagster.yaml"
        text = _DAGSTER_YAML.format(base_dir=json.dumps(str(home / "history")))
        if not configuration.exists() or configuration.read_text(encoding="utf-8") != text:
            configuration.write_text(text, encoding="utf-8")
        os.environ["DAGSTER_HOME"] = str(home)
    try:
        return dg.DagsterInstance.get()
    except (yaml.YAMLError, dg.DagsterError) as error:
        message = " ".join(str(error).split())
        raise TierhouseError(f"Dagster does not accept DAGSTER_HOME={os.environ['DAGSTER_HOME']}: {message}") from None


def _run(instance: Any, day: date, full: bool) -> Published:
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    from orchestration.definitions import defs
    from orchestration.defs.resources import IS_PART
    from orchestration.run_launcher import PROCESS

    job = defs().resolve_job_def("daily_refresh")
    result = job.execute_in_process(
        partition_key=day.isoformat(),
        instance=instance,
        # What an earlier refresh left is mended; days that this one has made are still in work.
        tags={IS_PART: "1", PROCESS: str(os.getpid())},
        raise_on_error=False,
        run_config={
            "ops": {"dbt_features": {"config": {"full": full}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )
    progress.finish()
    if not result.success:
        reason = first_failure(result.all_events) or "no reason given; see `dagster dev`"
        if reason == INTERRUPTED:
            # Dagster has taken Ctrl-C for a failure of the step that it fell in.
            raise KeyboardInterrupt
        raise TierhouseError(f"refresh of {day} failed, the marts are as before: {reason}")
    customers = sum(
        int(str(event.materialization.metadata["customers"].value))
        for event in result.get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[-1] == "potential"
    )
    return Published(day, customers)
