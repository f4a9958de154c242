"""What is wrong is said once, by the check that is the cause."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from orchestration import business_zone, doctor
from orchestration.business_zone import first_disputed_day
from orchestration.doctor import examine
from orchestration.errors import TierhouseError
from orchestration.lock import writer_lock
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings


def test_a_wrong_setting_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERHOUSE_TARGET", "moon")
    problems = [(name, problem) for name, problem in examine() if problem]
    assert [name for name, _ in problems] == ["settings"]
    assert "moon" in problems[0][1]


def test_what_the_warehouse_refuses_is_the_problem_of_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise DatabaseError("Code: 497. DB::Exception: bi: Not enough privileges. (ACCESS_DENIED) (version 26.9)")

    monkeypatch.setattr(doctor, "ensure_running", lambda settings: settings)
    monkeypatch.setattr(doctor, "_landed", refuse)
    problems = [(name, problem) for name, problem in examine() if problem]
    assert [(name, problem.partition(";")[0]) for name, problem in problems] == [
        ("orders have landed", "the warehouse says: bi: Not enough privileges. (ACCESS_DENIED)")
    ]


def test_a_refresh_under_way_is_no_problem_and_is_not_kept_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERHOUSE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "ensure_running", lambda settings: settings)
    monkeypatch.setattr(doctor, "connect", lambda *_, **__: None)
    monkeypatch.setattr(doctor, "_landed", lambda: None)
    monkeypatch.setattr(doctor, "_clock_notes", lambda: [])

    def refused(*_: object) -> None:
        raise TierhouseError("looked at")

    monkeypatch.setattr(doctor, "refreshed_days", refused)
    with writer_lock(Settings.from_environment(), "tierhouse refresh"):
        assert dict(examine())["the last refresh went well"] == ""
    assert dict(examine())["the last refresh went well"] == "looked at"


def test_a_zone_whose_clocks_go_otherwise_in_the_engine_is_told_with_the_first_day(
    own_warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, days = connect(own_warehouse, autogenerate_session_id=False), (date(1970, 1, 2), date(2027, 12, 31))
    assert first_disputed_day(client, own_warehouse, *days) is None
    new_york = replace(own_warehouse, zone="America/New_York")
    assert first_disputed_day(client, new_york, *days) is None
    # As if the rules of this machine were those of Lima, which has no summer time since 1994.
    monkeypatch.setattr(business_zone, "ZoneInfo", lambda _: ZoneInfo("America/Lima"))
    assert first_disputed_day(client, new_york, date(2026, 1, 1), date(2026, 12, 31)) == date(2026, 3, 8)
    assert first_disputed_day(client, new_york, date(2026, 1, 1), date(2026, 3, 7)) is None

    monkeypatch.setattr(doctor, "ensure_running", lambda _: new_york)
    monkeypatch.setattr(doctor, "business_days", lambda *_: (date(2026, 1, 1), date(2026, 1, 2)))
    for check in ("_landed", "_refreshed"):
        monkeypatch.setattr(doctor, check, lambda: None)
    assert any(
        name.startswith("to know: from 2026-03-08 on the warehouse and this machine do not agree")
        for name, _ in examine()
    )
