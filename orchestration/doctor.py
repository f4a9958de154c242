"""What `tierhouse doctor` looks at: versions, settings, seeds, the connection, what has landed and how the last refresh ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import metadata

from orchestration.business_zone import first_disputed_day, refuse_another_zone
from orchestration.days_in_work import in_work
from orchestration.errors import TierhouseError
from orchestration.failures import told_in_one_line
from orchestration.history import refreshed_days
from orchestration.lock import living_holder
from orchestration.operations import last_run
from orchestration.project import PROJECT_DIR
from orchestration.quality.seeds import check_seeds, seed_notes
from orchestration.refresh import business_days
from orchestration.warehouse.client import connect, ensure_running
from orchestration.warehouse.settings import Settings

_PINNED = {"dbt-core": "1.11", "dbt-clickhouse": "1.10", "chdb": "4.4", "great-expectations": "1."}


def examine() -> Iterator[tuple[str, str]]:
    """Yield (what was checked, what is wrong or ''), most basic first; none that needs one that failed."""
    yield (
        f"Python {sys.version.split()[0]}",
        "" if (3, 11) <= sys.version_info < (3, 14) else "needs 3.11, 3.12 or 3.13",
    )
    for package, wanted in _PINNED.items():
        found = metadata.version(package)
        yield f"{package} {found}", "" if found.startswith(wanted) else f"needs {wanted}; run `make setup`"
    seeds = _result("seeds", lambda: check_seeds(PROJECT_DIR / "seeds"))
    yield seeds
    if not seeds[1]:
        for note in seed_notes(PROJECT_DIR / "seeds"):
            yield f"to know: {note}", ""
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("settings", Settings.from_environment),
        ("warehouse answers", lambda: ensure_running(Settings.from_environment())),
        ("orders have landed", _landed),
        ("the last refresh went well", _refreshed),
    )
    for name, check in checks:
        result = _result(name, check)
        yield result
        # Without one of them the next one could only say the same again.
        if result[1]:
            return
    notes: list[str] = []
    compared = _result("clocks of the zone", lambda: notes.extend(_clock_notes()))
    if compared[1]:
        yield compared
    for note in notes:
        yield f"to know: {note}", ""


def _result(name: str, check: Callable[[], object]) -> tuple[str, str]:
    try:
        check()
    except TierhouseError as error:
        return name, str(error)
    except Exception as error:
        # As when the server goes away between two questions, or the user may not look at a table.
        line = told_in_one_line(error)
        if line is None:
            raise
        return name, line
    return name, ""


def _landed() -> None:
    settings = ensure_running(Settings.from_environment())
    client = connect(settings, autogenerate_session_id=False)
    refuse_another_zone(client, settings)
    business_days(client, settings)


def _clock_notes() -> Iterator[str]:
    settings = ensure_running(Settings.from_environment())
    client = connect(settings, autogenerate_session_id=False)
    first, last = business_days(client, settings)
    day = first_disputed_day(client, settings, first, last + timedelta(days=366))
    if day:
        yield (
            f"from {day} on the warehouse and this machine do not agree on the clocks of {settings.zone}: one of them has older rules, "
            "and an order near midnight may count on the day beside its own; update the engine (chdb, or the server) or tzdata"
        )


def _refreshed() -> None:
    settings = ensure_running(Settings.from_environment())
    client = connect(settings, autogenerate_session_id=False)
    if living_holder(settings):
        # What is under way looks like what was cut off.
        return
    refreshed_days(client, settings)
    ended, status, message = last_run(client, settings)
    if in_work(client, settings) or status in ("running", "killed"):
        raise TierhouseError("a refresh was cut off; run `tierhouse refresh`, which repairs what it left")
    if status == "failed":
        raise TierhouseError(f"the one that ended at {ended:%Y-%m-%d %H:%M} UTC failed: {message}")
