"""What is wrong is said once, by the check that is the cause."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from orchestration import doctor
from orchestration.doctor import examine


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
