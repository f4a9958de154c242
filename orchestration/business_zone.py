"""The business zone belongs to the warehouse: clocks that have landed were read in it, and days that are stored are its days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.warehouse.ddl import engine, on_cluster
from orchestration.warehouse.settings import Settings


def keep_zone(client: Client, settings: Settings) -> None:
    """Write down the zone of a warehouse that has none yet, or into which nothing has landed. For who holds the writer lock.

    Raises TierhouseError where the warehouse is one of another zone.
    """
    refuse_another_zone(client, settings)
    if _zone_of(client, settings) == settings.zone:
        return
    table, cluster = _table(settings), on_cluster(settings)
    client.command(
        f"CREATE TABLE IF NOT EXISTS {table}{cluster} (zone String COMMENT 'Name of the zone') "
        f"ENGINE = {engine(settings)} ORDER BY tuple() COMMENT 'One row: the business zone, in which days begin and end.'"
    )
    client.command(f"TRUNCATE TABLE {table}{cluster}")
    client.command(f"INSERT INTO {table} SELECT {{zone:String}}", parameters={"zone": settings.zone})


def refuse_another_zone(client: Client, settings: Settings) -> None:
    """Raise TierhouseError where something has landed in another zone than that of the settings."""
    known = _zone_of(client, settings)
    if known in ("", settings.zone):
        return
    journal = f"{settings.database('incoming')}.journal"
    if client.query(f"SELECT count() FROM {journal} WHERE state = 'landed'").result_rows[0][0]:
        raise TierhouseError(
            f"the days of this warehouse are days in {known}, and TIERHOUSE_ZONE is {settings.zone}: set it to {known}, "
            "or land the sources anew in another TIERHOUSE_HOME or TIERHOUSE_SCHEMA"
        )


def first_disputed_day(client: Client, settings: Settings, first: date, last: date) -> date | None:
    """The first day, from first to last, on which clocks of the zone go otherwise in the engine than on this machine: governments
    change the rules, and each of the two has those of its release. None where they agree."""
    noon, zone = datetime.combine(first, time(12), UTC), ZoneInfo(settings.zone)
    of_engine = client.query(
        "SELECT timezoneOffset(toTimeZone(toDateTime64({noon:String}, 0, 'UTC') + toIntervalDay(number), {zone:String})) "
        "FROM numbers({days:UInt32}) ORDER BY number",
        parameters={"noon": f"{noon:%Y-%m-%d %H:%M:%S}", "zone": settings.zone, "days": (last - first).days + 1},
    ).result_rows
    for number, (seconds,) in enumerate(of_engine):
        if (noon + timedelta(days=number)).astimezone(zone).utcoffset() != timedelta(seconds=seconds):
            return first + timedelta(days=number)
    return None


def _zone_of(client: Client, settings: Settings) -> str:
    """The zone that is written down; empty where there is none, as in a warehouse that an earlier version made."""
    if client.command(f"EXISTS TABLE {_table(settings)}") != 1:
        return ""
    rows = client.query(f"SELECT zone FROM {_table(settings)}").result_rows
    return str(rows[0][0]) if rows else ""


def _table(settings: Settings) -> str:
    return f"{settings.database('marts')}.business_zone"
