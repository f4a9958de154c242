"""What is wrong is said once, by the check that is the cause."""

import pytest

from orchestration.doctor import examine


def test_a_wrong_setting_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERHOUSE_TARGET", "moon")
    problems = [(name, problem) for name, problem in examine() if problem]
    assert [name for name, _ in problems] == ["settings"]
    assert "moon" in problems[0][1]
