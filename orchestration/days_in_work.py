"""Days whose tiers are being changed, and what they were: so that a refresh that is cut off leaves no wrong history.

A tier of a day follows from the day before it. Until a changed day is published and the days after it are decided again, it
stands in `<prefix>_marts.days_in_work`, and the rows that it replaces are kept beside the tables of the tiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from clickhouse_connect.driver.client import Client

from orchestration.warehouse.ddl import engine, on_cluster
from orchestration.warehouse.settings import Settings

# By day, and read by the days after it.
_TABLES = ("customer_tier_inputs", "customer_tier_states")


@dataclass(frozen=True)
class DayInWork:
    """One day that was changed, and the build that changes it; an empty one where its tiers alone were decided again."""

    as_of_date: date
    build_id: str


def begin(client: Client, settings: Settings, day: date, build_id: str) -> None:
    """Say that a build is about to change the tiers of `day`, and keep those of before. build_id: empty where they are decided
    again. Does nothing where the day is in work already, as when a step is tried once more."""
    table = _table(settings)
    client.command(
        f"CREATE TABLE IF NOT EXISTS {table}{on_cluster(settings)} ("
        "as_of_date Date COMMENT 'Day whose tiers are changed', "
        "build_id String COMMENT 'Build that changes them; empty where they are decided again from what is stored') "
        f"ENGINE = {engine(settings)} ORDER BY as_of_date "
        "COMMENT 'One row per day whose tiers are being changed, until the days after it follow. Empty between refreshes.'"
    )
    if any(known.as_of_date == day for known in in_work(client, settings)):
        return
    if build_id:
        for name in _TABLES:
            stored, kept = _stored(settings, name), _kept(settings, name)
            if client.command(f"EXISTS TABLE {stored}") == 1:
                client.command(f"CREATE TABLE IF NOT EXISTS {kept}{on_cluster(settings)} AS {stored}")
                # Of a build that was cut off before it said what it would do.
                client.command(f"ALTER TABLE {kept} DROP PARTITION {{day:Date}}", parameters={"day": day})
                _copy(client, stored, kept, day)
    client.command(f"INSERT INTO {table} SELECT {{day:Date}}, {{build:String}}", {"day": day, "build": build_id})


def in_work(client: Client, settings: Settings) -> list[DayInWork]:
    """The days of a refresh that has not come to its end, oldest first."""
    table = _table(settings)
    if client.command(f"EXISTS TABLE {table}") != 1:
        return []
    rows = client.query(f"SELECT as_of_date, build_id FROM {table} ORDER BY as_of_date").result_rows
    return [DayInWork(*row) for row in rows]


def put_back(client: Client, settings: Settings, day: DayInWork) -> None:
    """Make the tiers of a day what they were, unless its build was published or it was only decided again."""
    published = f"{settings.database('snapshots')}.published_builds"
    if not day.build_id:
        return
    if client.command(f"EXISTS TABLE {published}") == 1:
        found = client.query(
            f"SELECT count() FROM {published} WHERE as_of_date = {{day:Date}} AND build_id = {{build:String}}",
            parameters={"day": day.as_of_date, "build": day.build_id},
        ).result_rows[0][0]
        if found:
            return
    for name in _TABLES:
        stored, kept = _stored(settings, name), _kept(settings, name)
        if client.command(f"EXISTS TABLE {stored}") == 1:
            client.command(f"ALTER TABLE {stored} DROP PARTITION {{day:Date}}", parameters={"day": day.as_of_date})
            if client.command(f"EXISTS TABLE {kept}") == 1:
                _copy(client, kept, stored, day.as_of_date)


def end(client: Client, settings: Settings) -> None:
    """Say that every stored day follows from the one before it."""
    client.command(f"TRUNCATE TABLE IF EXISTS {_table(settings)}{on_cluster(settings)}")
    for name in _TABLES:
        client.command(f"DROP TABLE IF EXISTS {_kept(settings, name)}{on_cluster(settings)}")


def _copy(client: Client, source: str, target: str, day: date) -> None:
    # By name: the table may have got a column since.
    columns = client.query(
        "SELECT name FROM system.columns WHERE concat(database, '.', table) IN {tables:Array(String)} "
        "GROUP BY name HAVING count() = 2 ORDER BY name",
        parameters={"tables": [source, target]},
    ).result_rows
    names = ", ".join(f"`{name}`" for (name,) in columns)
    client.command(
        f"INSERT INTO {target} ({names}) SELECT {names} FROM {source} WHERE as_of_date = {{day:Date}}",
        parameters={"day": day},
    )


def _stored(settings: Settings, name: str) -> str:
    return f"{settings.database('tiers')}.{name}"


def _kept(settings: Settings, name: str) -> str:
    return f"{settings.database('tiers')}.{name}_kept"


def _table(settings: Settings) -> str:
    return f"{settings.database('marts')}.days_in_work"
