"""Every day whose orders can land can be refreshed: Dagster must know it as a partition."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from orchestration.defs.partitions import daily
from orchestration.defs.schedules import daily_schedule


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Sao_Paulo", "America/Los_Angeles", "Pacific/Auckland"])
def test_every_day_from_the_first_that_can_land_to_tomorrow_is_a_partition(monkeypatch, zone):
    monkeypatch.setenv("TIERHOUSE_ZONE", zone)
    today = datetime.now(ZoneInfo(zone)).date()
    # 1997: the purchases of CDNOW; 2017-10-15: a day of Sao Paulo that begins at 01:00.
    days = [
        "1970-01-02",
        "1997-06-30",
        "2004-12-31",
        "2017-10-15",
        *(str(today + timedelta(days=n)) for n in (-1, 0, 1)),
    ]
    assert [day for day in days if not daily().has_partition_key(day)] == []


def test_the_morning_refreshes_the_day_before() -> None:
    tick = datetime(2026, 3, 2, 5, tzinfo=ZoneInfo("Asia/Shanghai"))
    run = daily_schedule(dg.build_schedule_context(scheduled_execution_time=tick))
    assert run.partition_key == "2026-03-01"
