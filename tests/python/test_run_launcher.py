"""Which runs of Dagster are dead: one that nobody marks as such would hold the only place in the queue for ever."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.tags import GRPC_INFO_TAG, PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG

from orchestration.definitions import defs
from orchestration.lock import writer_lock
from orchestration.refresh import dagster_instance
from orchestration.run_launcher import PROCESS
from orchestration.warehouse.settings import Settings


@dg.op
def nothing() -> None: ...


@dg.job
def empty() -> None:
    nothing()


def test_a_run_is_dead_where_its_command_holds_the_lock_no_more_or_who_started_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given back at the end: `dagster_instance` sets it.
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("TIERHOUSE_HOME", str(tmp_path))
    settings = Settings.from_environment()
    with dagster_instance(settings) as instance:
        assert instance.run_monitoring_enabled and instance.run_launcher.supports_check_run_worker_health

        def status(**tags: str) -> WorkerStatus:
            run = instance.create_run_for_job(empty, tags=tags)
            return instance.run_launcher.check_run_worker_health(run).status

        own = {PROCESS: str(os.getpid())}
        with writer_lock(settings, "tierhouse refresh"):
            assert status(**own) == WorkerStatus.RUNNING
        assert status(**own) == WorkerStatus.NOT_FOUND
        # What a killed command leaves in the file; no process has such a number.
        (tmp_path / "writer.lock").write_text(json.dumps({"process": 2**31 - 2}))
        assert status(**{PROCESS: str(2**31 - 2)}) == WorkerStatus.NOT_FOUND
        assert status(**{GRPC_INFO_TAG: json.dumps({"socket": str(tmp_path / "gone")})}) == WorkerStatus.NOT_FOUND
        assert status() == WorkerStatus.RUNNING, "nothing is known of it"


def test_of_dead_runs_only_those_of_a_schedule_start_once_more_and_of_failed_ones_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    repository = defs().get_repository_def()
    schedule = repository.get_schedule_def("daily_at_five")
    with dagster_instance(Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})) as instance:
        moment = datetime(2026, 3, 2, 5, tzinfo=ZoneInfo("Asia/Shanghai"))
        with dg.build_schedule_context(instance, moment, repository_def=repository) as context:
            request = schedule.evaluate_tick(context).run_requests[0]
        assert request.partition_key == "2026-03-01"

        def starts_again(tags: Mapping[str, str], reason: RunFailureReason, first: str | None = None) -> bool:
            group = {PARENT_RUN_ID_TAG: first, ROOT_RUN_ID_TAG: first} if first else {}
            run = instance.create_run_for_job(
                empty,
                tags={**tags, **group},
                status=DagsterRunStatus.FAILURE,
                parent_run_id=first,
                root_run_id=first,
            )
            return auto_reexecution_should_retry_run(instance, run, reason)

        assert starts_again(request.tags, RunFailureReason.UNKNOWN)
        assert not starts_again(request.tags, RunFailureReason.STEP_FAILURE)
        assert not starts_again({PROCESS: str(os.getpid())}, RunFailureReason.UNKNOWN)
        first = instance.create_run_for_job(empty, tags=request.tags, status=DagsterRunStatus.FAILURE)
        assert not starts_again(request.tags, RunFailureReason.UNKNOWN, first.run_id), (
            "the second time it is no accident"
        )
