"""What is wrong is said once, by the check that is the cause."""

from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from orchestration import doctor
from orchestration.doctor import examine
from orchestration.errors import TierhouseError
from orchestration.lock import writer_lock
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

    def refused(*_: object) -> None:
        raise TierhouseError("looked at")

    monkeypatch.setattr(doctor, "refreshed_days", refused)
    with writer_lock(Settings.from_environment(), "tierhouse refresh"):
        assert dict(examine())["the last refresh went well"] == ""
    assert dict(examine())["the last refresh went well"] == "looked at"
