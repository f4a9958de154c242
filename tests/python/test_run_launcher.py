"""Which runs of Dagster are dead: one that nobody marks as such would hold the only place in the queue for ever."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

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
