"""The end of a day is the same moment for models and for Python, also where the next day begins at 01:00."""

import datetime
from dataclasses import replace
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import chdb
import pytest
from jinja2 import Environment

from orchestration.predictive.cutoff import cutoff
from orchestration.project import PROJECT_DIR
from orchestration.warehouse.settings import Settings


def cutoff_of_models(zone: str, day: datetime.date) -> str:
    """The macro of the models, rendered without dbt."""
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.globals.update(
        modules=SimpleNamespace(datetime=datetime),
        execute=True,
        env_var=lambda name, default: day.isoformat(),
        var=lambda name: zone,
    )
    text = (PROJECT_DIR / "macros" / "time.sql").read_text(encoding="utf-8")
    return str(environment.from_string(text).module.cutoff())


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
    for sql in (cutoff(settings, day), cutoff_of_models(zone, day)):
        answer = str(chdb.query(f"SELECT toString(toDateTime({sql}, 'UTC'))", "TSV")).strip()
        assert answer == first_moment
    first = datetime.datetime.fromisoformat(f"{first_moment}+00:00")
    before = (first - datetime.timedelta(milliseconds=1)).astimezone(ZoneInfo(zone))
    assert (before.date(), first.astimezone(ZoneInfo(zone)).date()) == (day, day + datetime.timedelta(days=1))
