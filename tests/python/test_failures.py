"""What a person is told of a job that failed."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import clickhouse_connect
import dagster as dg
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from dagster._core.errors import DagsterExecutionInterruptedError
from dbt.cli.main import dbtRunner

from orchestration import dbt
from orchestration.defs.retries import again_where_disconnected
from orchestration.errors import TierhouseError
from orchestration.failures import INTERRUPTED, first_failure, told_in_one_line
from orchestration.refresh import dagster_instance
from orchestration.warehouse.settings import Settings


def _told(error: Exception) -> str:
    @dg.op
    def fail() -> None:
        raise error

    @dg.job
    def failing() -> None:
        fail()

    result = failing.execute_in_process(raise_on_error=False, instance=dg.DagsterInstance.ephemeral())
    return first_failure(result.all_events)


def test_what_is_said_to_a_person_comes_without_the_name_of_a_class_and_other_errors_keep_theirs() -> None:
    assert _told(TierhouseError("no order was known;\nwait")) == "no order was known; wait"
    assert _told(ValueError("no such place")) == "ValueError: no such place"
    assert _told(DagsterExecutionInterruptedError()) == INTERRUPTED


def test_a_step_whose_warehouse_is_gone_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OperationalError) as refused:
        clickhouse_connect.get_client(host="127.0.0.1", port=port)
    assert _told(refused.value).startswith("the warehouse went away in the middle ([Errno 111] Connection refused);")


def test_a_home_that_cannot_be_written_or_named_to_sqlite_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(errno.EROFS, os.strerror(errno.EROFS), "/home/shop/writer.lock")
    assert (told_in_one_line(error) or "").startswith(
        "cannot use /home/shop/writer.lock: Read-only file system; TIERHOUSE_HOME"
    )
    monkeypatch.setenv("DAGSTER_HOME", "")
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path / "100%25")})
    with pytest.raises(Exception, match="unable to open database file") as unopened:
        dagster_instance(settings).event_log_storage.all_asset_keys()
    assert "without % and ?" in (told_in_one_line(unopened.value) or "")


def test_what_is_damaged_or_wrong_in_the_state_of_dagster_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})
    # Given back at the end: `dagster_instance` sets it.
    monkeypatch.setenv("DAGSTER_HOME", "")
    (tmp_path / "dagster" / "history").mkdir(parents=True)
    (tmp_path / "dagster" / "history" / "index.db").write_bytes(b"half a page" * 1000)
    with pytest.raises(Exception, match="file is not a database") as damaged:
        dagster_instance(settings).event_log_storage.all_asset_keys()
    line = told_in_one_line(damaged.value) or ""
    assert line.startswith("a file of Dagster's log of runs is damaged") and "\n" not in line
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("concurrency: [")
    with pytest.raises(TierhouseError, match=f"Dagster does not accept DAGSTER_HOME={tmp_path}: while parsing"):
        dagster_instance(settings)


def test_a_step_is_tried_again_where_the_warehouse_was_away_and_not_where_somebody_ends_it() -> None:
    tries: list[type[BaseException]] = []

    def run_of(first: BaseException) -> dg.ExecuteInProcessResult:
        @dg.op
        @again_where_disconnected()
        def step() -> None:
            tries.append(type(first))
            if tries.count(type(first)) == 1:
                raise first

        @dg.job
        def job() -> None:
            step()

        return job.execute_in_process(raise_on_error=False, instance=dg.DagsterInstance.ephemeral())

    with mock.patch("time.sleep"):
        assert run_of(OperationalError("Connection refused")).success
        assert not run_of(DatabaseError("Code: 60. DB::Exception: no such table")).success
        assert not run_of(KeyboardInterrupt()).success
    assert [tries.count(one) for one in (OperationalError, DatabaseError, KeyboardInterrupt)] == [2, 1, 1]


def test_an_interruption_while_dbt_parses_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interrupted = SimpleNamespace(success=False, exception=DagsterExecutionInterruptedError())
    monkeypatch.setattr(dbtRunner, "invoke", lambda *_: interrupted)
    with pytest.raises(DagsterExecutionInterruptedError):
        dbt.parse(Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)}))
