"""The end of a day is the same moment for models and for Python, also where the next day begins at 01:00."""

import datetime
import re
from dataclasses import replace
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import chdb
import pytest
from jinja2 import Environment

from orchestration.predictive.cutoff import cutoff, days_before
from orchestration.project import PROJECT_DIR
from orchestration.warehouse.settings import Settings


def of_models(macro: str, zone: str, day: datetime.date, *arguments: object) -> str:
    """A macro of the models, rendered without dbt."""
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.globals.update(
        modules=SimpleNamespace(datetime=datetime),
        execute=True,
        env_var=lambda name, default: day.isoformat(),
        var=lambda name: zone,
    )
    text = (PROJECT_DIR / "macros" / "time.sql").read_text(encoding="utf-8")
    # It returns as only macros of dbt can.
    text = re.sub(r"(macro as_of_iso.*?-%\}).*?(\{%- endmacro)", rf"\g<1>{day}\g<2>", text, flags=re.DOTALL)
    return str(getattr(environment.from_string(text).module, macro)(*arguments))


@pytest.mark.parametrize(
    ("zone", "last", "first_moment"),
    [
        ("America/Sao_Paulo", "2017-10-14", "2017-10-15 03:00:00"),
        ("America/Sao_Paulo", "2018-02-17", "2018-02-18 03:00:00"),
        ("America/Havana", "2018-11-03", "2018-11-04 04:00:00"),
        ("Africa/Cairo", "2024-04-25", "2024-04-25 22:00:00"),
        ("Asia/Shanghai", "2017-10-14", "2017-10-14 16:00:00"),
    ],
)
def test_a_snapshot_ends_when_the_next_day_begins(zone, last, first_moment):
    day = datetime.date.fromisoformat(last)
    settings = replace(Settings.from_environment({}), zone=zone)
    for sql in (cutoff(settings, day), of_models("cutoff", zone, day)):
        answer = str(chdb.query(f"SELECT toString(toDateTime({sql}, 'UTC'))", "TSV")).strip()
        assert answer == first_moment
    first = datetime.datetime.fromisoformat(f"{first_moment}+00:00")
    before = (first - datetime.timedelta(milliseconds=1)).astimezone(ZoneInfo(zone))
    assert (before.date(), first.astimezone(ZoneInfo(zone)).date()) == (day, day + datetime.timedelta(days=1))


@pytest.mark.parametrize("as_of", ["1970-01-01", "1970-12-01", "1971-03-15", "2000-02-29", "2026-12-31", "2148-12-31"])
def test_a_window_that_begins_before_1970_holds_what_lies_in_it(as_of):
    day = datetime.date.fromisoformat(as_of)
    for length in (0, 90, 365, 366, 454):
        first = day - datetime.timedelta(days=length)
        dates = [day, first, first + datetime.timedelta(days=1), datetime.date(1970, 1, 1)]
        dates = sorted({one for one in dates if datetime.date(1970, 1, 1) <= one <= day})
        listed = ", ".join(f"toDate('{one}')" for one in dates)
        in_window = of_models("in_window", "UTC", day, "d", length)
        for condition in (in_window, f"d > {days_before(day, length)}"):
            found = str(
                chdb.query(f"SELECT d FROM (SELECT arrayJoin([{listed}]) AS d) WHERE {condition} ORDER BY d", "TSV")
            ).split()
            assert found == [one.isoformat() for one in dates if one > first], (length, condition)
