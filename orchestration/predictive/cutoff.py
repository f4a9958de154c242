"""SQL for Python that reads the warehouse as it was known at the end of a day: the rules of macros/time.sql and versions.sql."""

from __future__ import annotations

from datetime import date, timedelta

from orchestration.warehouse.settings import Settings


def until(day: date) -> str:
    """The day as a date; one before 1970, as the start of a window may be, is not taken for one of 2149."""
    return f"{'toDate' if day.year >= 1970 else 'toDate32'}('{day.isoformat()}')"


def days_before(day: date, days: int) -> str:
    """The day that many days before it, as a date."""
    return until(day - timedelta(days=days))


def cutoff(settings: Settings, day: date) -> str:
    """First moment that is not known any more: the start of the next day in the business zone.

    From a date: as a text, a midnight that the zone skips would be 23:00 of the day before.
    """
    return f"toDateTime64({until(day + timedelta(days=1))}, 3, '{settings.zone}')"


def known(settings: Settings, day: date) -> str:
    """True for the version of a fact that was known at the end of the day."""
    return f"(known_from < {cutoff(settings, day)} AND known_to >= {cutoff(settings, day)})"


def described(settings: Settings, source: str, key: str, columns: tuple[str, ...], day: date) -> str:
    """Master data as of the end of the day: one row per key of `stg_<source>`, its latest version known then, else its first.

    The dimensions of the facts hold the day of the last refresh only, so another day is read from the versions themselves.
    """
    listed = f"{key}, {', '.join(columns)}"
    return (
        f"(SELECT {listed} FROM (SELECT {listed}, is_deleted FROM {settings.database('staging')}.stg_{source} "
        f"ORDER BY {key}, if(known_at < {cutoff(settings, day)}, 1, -1) * toUnixTimestamp64Milli(known_at) DESC "
        f"LIMIT 1 BY {key}) WHERE is_deleted = 0)"
    )
