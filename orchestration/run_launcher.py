"""Dagster's way to start runs, and a word on whether one still lives: a dead one would hold the only place in the queue for ever.

A machine that goes down, or a command that is killed, leaves its run as started. Dagster's own launcher cannot tell such a run
from one that works, so every later run would wait behind it.
"""

from __future__ import annotations

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

from orchestration.lock import living_holder
from orchestration.warehouse.settings import Settings

# Tag of a run that a command of ours executes in its own process, which holds the writer lock meanwhile: that process.
PROCESS = "tierhouse/process"


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's launcher for one machine, which also says whether the process of a run is there."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> WatchedRunLauncher:
        return cls(inst_data=inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Asked before `check_run_worker_health`."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Not found only where that is certain: whoever does not answer in time may be busy."""
        if PROCESS in run.tags:
            is_alive = living_holder(Settings.from_environment()) == int(run.tags[PROCESS])
            return _health(is_alive, "the command that it ran in has ended without a word")
        server = self._get_grpc_client_for_termination(run.run_id)
        if server is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            answer = server.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError as error:
            is_gone = "UNAVAILABLE" in str(error)
            return _health(not is_gone, "the process that had started it is gone")
        return _health(deserialize_value(answer, CanCancelExecutionResult).can_cancel, "its process is gone")


def _health(is_alive: bool, why_not: str) -> CheckRunHealthResult:
    return (
        CheckRunHealthResult(WorkerStatus.RUNNING)
        if is_alive
        else CheckRunHealthResult(WorkerStatus.NOT_FOUND, why_not)
    )
