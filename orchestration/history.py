"""Days beside the one that a refresh builds: earlier days of a range, restated days, and later days that follow from them.

They run through dbt alone, in this process, since a run of Dagster for each would cost more than the day itself. Every day is
still judged before it is published, and has its row in `refresh_runs`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date

from clickhouse_connect.driver.client import Client

from orchestration import days_in_work, dbt
from orchestration.business_zone import refuse_another_zone
from orchestration.dbt import DbtFailure, one_by_one
from orchestration.errors import TierhouseError
from orchestration.operations import (
    drop_unpublished_builds,
    end_run,
    is_project_settled,
    start_run,
    unsettle_project,
)
from orchestration.progress import report
from orchestration.project import project_version
from orchestration.warehouse.settings import Settings

# What does not depend on the day, and what does.
_FACTS = ["resource_type:seed", "fqn:tierhouse.staging", "fqn:tierhouse.facts"]
_FEATURES = ["dim_customers", "dim_products", "fqn:tierhouse.features"]
_TIERS = ["fqn:tierhouse.scoring", "fqn:tierhouse.tiers", "fqn:tierhouse.snapshots"]
_NEVER = ["resource_type:unit_test", "published_builds"]
# Leaves out tests that read other tables too, which hold another day or are not made yet.
_CAUTIOUSLY = ["--indirect-selection", "cautious"]
_PUBLISH = [*_CAUTIOUSLY, "--select", "published_builds", "--exclude", "resource_type:unit_test"]


def published_days(client: Client, settings: Settings) -> list[date]:
    """As-of dates that the marts show, oldest first."""
    table = f"{settings.database('snapshots')}.published_builds"
    if client.command(f"EXISTS TABLE {table}") != 1:
        return []
    return [row[0] for row in client.query(f"SELECT DISTINCT as_of_date FROM {table} ORDER BY 1").result_rows]


def refreshed_days(client: Client, settings: Settings) -> list[date]:
    """The same for work that reads the facts. Raises TierhouseError where no day is published, the facts are half changed,
    or the zone is another one."""
    refuse_another_zone(client, settings)
    days = published_days(client, settings)
    if not days:
        raise TierhouseError("nothing is refreshed yet; run `tierhouse refresh` first")
    # The work list is written before the facts and the watermark after them; a build from nothing empties the watermark first.
    facts = settings.database("facts")
    is_whole = client.query(
        f"SELECT count() > 0 AND max(loaded_at) >= (SELECT max(loaded_at) FROM {facts}.fct_changed_orders) FROM {facts}.fct_watermark"
    ).result_rows[0][0]
    if not is_whole:
        raise TierhouseError("a refresh was cut off while it changed the facts; run `tierhouse refresh` first")
    return days


def build_facts(client: Client, settings: Settings, as_of: date, full: bool = False) -> None:
    """Bring the facts up to what has landed, and judge landing and facts. Raises TierhouseError when they do not hold."""
    run_id = str(uuid.uuid4())
    arguments = [*_CAUTIOUSLY, "--select", *_FACTS, "--exclude", "resource_type:unit_test"]
    if full or not is_project_settled(client, settings, project_version(settings)):
        # Seeds and some views are made here, those of the marts by the next refresh.
        unsettle_project(client, settings)
        arguments += one_by_one(settings)
    _dbt("facts", settings, run_id, as_of, arguments + (["--full-refresh"] if full else []))
    _judge(settings, ["landing", "facts"], as_of, run_id)


def build_day(client: Client, settings: Settings, as_of: date, known_until: date | None = None) -> int:
    """Build and publish the snapshot of one day from facts that are up to date; returns its number of customers.

    known_until: restate, that is count what became known until the end of that day. Raises TierhouseError when a step fails;
    the marts then show what they showed before.
    """
    from orchestration.predictive import order_histories, store_churn, store_lifetime_value, store_potential

    with _recorded(client, settings, as_of) as run_id:
        known = known_until.isoformat() if known_until else ""
        day = as_of.isoformat()
        _dbt(
            "features", settings, run_id, as_of, ["--select", *_FEATURES, "--exclude", "resource_type:unit_test"], known
        )
        result = store_potential.refresh_potential(client, settings, day, known)
        histories = order_histories.from_features(client, settings, as_of)
        store_churn.refresh_churn(client, settings, day, known, histories)
        store_lifetime_value.refresh_lifetime_value(client, settings, day, known, histories=histories)
        days_in_work.begin(client, settings, as_of, run_id)
        _dbt("tiers", settings, run_id, as_of, ["--select", *_TIERS, "--exclude", *_NEVER], known)
        _judge(settings, ["marts"], as_of, run_id)
        _dbt("publish", settings, run_id, as_of, _PUBLISH, known)
        return len(result)


def finish_interrupted(client: Client, settings: Settings) -> Iterator[date]:
    """Make the stored days follow from one another again where a refresh was cut off; yields each day that changed.

    What was not published is taken back, and the days after the first one in work are decided again.
    """
    begun = days_in_work.in_work(client, settings)
    for day in begun:
        days_in_work.put_back(client, settings, day)
    if begun:
        if not is_project_settled(client, settings, project_version(settings)):
            # The project may have got seeds since, which the days are decided and told with.
            unsettle_project(client, settings)
            seeds = [*_CAUTIOUSLY, "--select", "resource_type:seed", "--exclude", "resource_type:unit_test"]
            _dbt("seeds", settings, str(uuid.uuid4()), begun[0].as_of_date, seeds)
        yield from decide_again(client, settings, begun[0].as_of_date, through=begun[-1].as_of_date)
        days_in_work.end(client, settings)


def decide_again(
    client: Client, settings: Settings, after: date, before: date = date.max, through: date = date.min
) -> Iterator[date]:
    """Decide the published days between `after` and `before` anew from their stored measures, oldest first; yields each changed
    one.

    A tier of a day follows from the day before it. Where a day later than `through` comes out as it was stored, the later ones
    are as they were too, and the work ends.
    """
    table = f"{settings.database('snapshots')}.published_builds"
    for day in [day for day in published_days(client, settings) if after < day < before]:
        days_in_work.begin(client, settings, day, "")
        stored = _fingerprint(client, settings, day)
        build_id = client.query(
            f"SELECT build_id FROM {table} WHERE as_of_date = {{day:Date}}", parameters={"day": day}
        ).result_rows[0][0]
        states = [*_CAUTIOUSLY, "--select", "customer_tier_states", "--exclude", "resource_type:unit_test"]
        _dbt("decide again", settings, str(uuid.uuid4()), day, states, carried=build_id)
        if _fingerprint(client, settings, day) == stored and _is_shown(client, settings, day, build_id):
            if day <= through:
                continue
            return
        with _recorded(client, settings, day) as run_id:
            arguments = [*_CAUTIOUSLY, "--select", "fqn:tierhouse.snapshots", "--exclude", *_NEVER]
            _dbt("decide again", settings, run_id, day, arguments, carried=build_id)
            _judge(settings, ["marts"], day, run_id, build_id)
            _dbt("publish", settings, run_id, day, _PUBLISH, carried=build_id)
        yield day


class _recorded:
    """One row of `refresh_runs` around a day: published, or failed with its reason in one line."""

    def __init__(self, client: Client, settings: Settings, as_of: date) -> None:
        self._client, self._settings, self._as_of = client, settings, as_of
        self._run_id = str(uuid.uuid4())

    def __enter__(self) -> str:
        start_run(self._client, self._settings, self._run_id, self._as_of.isoformat())
        return self._run_id

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        message = " ".join(str(error).split()) if error else ""
        if end_run(self._client, self._settings, self._run_id, message):
            drop_unpublished_builds(self._client, self._settings)


def _fingerprint(client: Client, settings: Settings, day: date) -> tuple[int, ...]:
    """Changes when any state of the day changes; does not depend on the order of rows."""
    table = f"{settings.database('tiers')}.customer_tier_states"
    rows = client.query(
        f"SELECT count(), sum(cityHash64(*)) FROM {table} WHERE as_of_date = {{day:Date}}", parameters={"day": day}
    ).result_rows
    return tuple(rows[0])


def _is_shown(client: Client, settings: Settings, day: date, build_id: str) -> bool:
    """Whether the published build shows the stored states; not so when a run was killed between the two."""
    columns = "customer_id, tier_rank, tier_since_date, toString(decision), toString(reason_code), up_count, down_count"
    hidden = client.query(
        f"SELECT count() FROM (SELECT {columns} FROM {settings.database('tiers')}.customer_tier_states "
        "WHERE as_of_date = {day:Date} AND is_in_force = 1 "
        f"EXCEPT SELECT {columns} FROM {settings.database('snapshots')}.customer_tier_snapshots "
        "WHERE as_of_date = {day:Date} AND build_id = {build_id:String})",
        parameters={"day": day, "build_id": build_id},
    ).result_rows[0][0]
    return bool(hidden == 0)


def _dbt(
    step: str, settings: Settings, run_id: str, as_of: date, arguments: list[str], known: str = "", carried: str = ""
) -> None:
    try:
        for event in dbt.build(settings, run_id, as_of.isoformat(), arguments, known, carried):
            report(f"{as_of} {step}", event)
    except DbtFailure as failure:
        raise TierhouseError(f"{step} of {as_of} failed, the marts are as before: {failure}") from None


def _judge(settings: Settings, layers: list[str], as_of: date, run_id: str, carried: str = "") -> None:
    from orchestration.quality.suites import run_suites

    report(f"{as_of} quality")
    blocking = [result for result in run_suites(settings, layers, as_of, run_id, carried) if result.blocks]
    if blocking:
        raise TierhouseError(f"quality of {as_of} failed, the marts are as before: {blocking[0].line()}")
