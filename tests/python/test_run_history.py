"""What Dagster keeps of runs does not grow for ever."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from sqlalchemy.exc import OperationalError

from orchestration.defs import resources
from orchestration.refresh import dagster_instance
from orchestration.run_history import FORGOTTEN_AT_ONCE, RUNS_KEPT, forget_old_runs
from orchestration.warehouse.settings import Settings


@dg.asset(check_specs=[dg.AssetCheckSpec("is_there", asset="thing")])
def thing():
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    # Set and taken away again, so that what dagster_instance() sets ends with the test.
    monkeypatch.setenv("DAGSTER_HOME", "")
    return Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})


def _runs(instance: dg.DagsterInstance, count: int) -> list[str]:
    return [dg.materialize([thing], instance=instance).run_id for _ in range(count)]


def test_a_run_leaves_no_write_ahead_log_once_the_instance_is_closed(settings: Settings) -> None:
    with dagster_instance(settings) as instance:
        run_id = _runs(instance, 1)[0]
    history = settings.home / "dagster" / "history"
    assert (history / f"{run_id}.db").exists()
    assert [path.name for path in history.glob("*-wal")] == []


def test_runs_are_forgotten_with_their_files_and_checks_after_their_time(settings: Settings) -> None:
    with dagster_instance(settings) as instance:
        old = _runs(instance, 2)
        assert forget_old_runs(instance) == 0
        now = datetime.now(UTC)
        new = _runs(instance, 1)[0]
        assert forget_old_runs(instance, now + RUNS_KEPT) == 2
        assert [record.dagster_run.run_id for record in instance.get_run_records()] == [new]
        assert instance.all_logs(new)
        with instance.event_log_storage.index_connection() as connection:
            left = connection.exec_driver_sql(
                "SELECT run_id FROM event_logs UNION SELECT run_id FROM asset_check_executions"
            ).fetchall()
        assert left == [(new,)]
        latest = instance.get_latest_materialization_event(dg.AssetKey("thing"))
        assert latest is not None
        assert latest.run_id == new
    names = {path.name for path in (settings.home / "dagster" / "history").iterdir()}
    assert f"{new}.db" in names
    assert not {name for name in names if name.startswith(tuple(old))}


def test_a_long_history_is_forgotten_over_some_refreshes(settings: Settings) -> None:
    with dagster_instance(settings) as instance:
        for _ in range(FORGOTTEN_AT_ONCE + 1):
            instance.add_run(dg.DagsterRun(job_name="refresh", run_id=str(uuid4())))
        later = datetime.now(UTC) + RUNS_KEPT + timedelta(days=1)
        assert [forget_old_runs(instance, later) for _ in range(3)] == [FORGOTTEN_AT_ONCE, 1, 0]


def test_state_that_dagster_keeps_elsewhere_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        _runs(instance, 1)
        assert forget_old_runs(instance, datetime.now(UTC) + 2 * RUNS_KEPT) == 0
        assert len(instance.get_run_records()) == 1


@pytest.mark.parametrize("error", [OSError("no space left"), OperationalError("delete", {}, Exception("locked"))])
def test_a_log_that_cannot_be_tidied_spoils_no_refresh(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(_: object) -> int:
        raise error

    monkeypatch.setattr(resources, "forget_old_runs", fails)
    with dg.DagsterInstance.ephemeral() as instance:
        resources._tidy(dg.build_init_resource_context(instance=instance))
