"""dbt inside this process: the same `dbt build` as by hand, without paying its start again for every group of models."""

import os
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestration.errors import TierhouseError
from orchestration.project import PROJECT_DIR, dbt_environment, target_directory
from orchestration.warehouse.client import shared_client
from orchestration.warehouse.ddl import on_cluster
from orchestration.warehouse.settings import Settings

_END = object()

# The parsed project of one run: its groups share it, the next run parses anew (only what changed), because a run leaves
# compiled SQL in it.
_parsed: dict[str, Any] = {}
# The run of the last build that went well.
_built = ""


class DbtFailure(Exception):
    """A dbt build with a failed node; the message names the first one, in one line."""


def one_by_one(settings: Settings) -> list[str]:
    """Arguments of a build from nothing on the embedded target: its statements are large, and each is on all cores."""
    return ["--threads", "1"] if settings.target == "embedded" else []


def build(
    settings: Settings,
    run_id: str,
    as_of: str,
    arguments: list[str],
    known_until: str = "",
    carried_build_id: str = "",
) -> Iterator[Mapping[str, Any]]:
    """Run `dbt build` with `arguments` for one snapshot and yield dbt's structured events as they come.

    known_until: ISO date of the last day whose knowledge counts, for a restatement; empty: the as-of date itself.
    carried_build_id: published build whose measures the snapshot keeps, when only the tiers are decided again.
    Raises DbtFailure when a model or test failed, TierhouseError when the project does not parse. Not for two threads: dbt
    keeps its state in the process and reads the environment.
    """
    global _built
    os.environ.update(
        dbt_environment(settings),
        # What a run needs once, its first build makes.
        TIERHOUSE_IS_LATER_STEP="1" if run_id == _built else "",
        TIERHOUSE_AS_OF_DATE=as_of,
        TIERHOUSE_BUILD_ID=run_id,
        TIERHOUSE_KNOWN_UNTIL=known_until,
        TIERHOUSE_CARRIED_BUILD_ID=carried_build_id,
    )
    _make_base_database(settings)
    from dbt.cli.main import dbtRunner

    from orchestration.dbt_connections import keep_connections

    _make_no_events_that_no_one_reads()
    keep_connections()
    events: queue.Queue[Any] = queue.Queue()
    runner = dbtRunner(manifest=_manifest(run_id), callbacks=[lambda event: events.put(_as_mapping(event))])
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(runner.invoke([*_global_arguments(), "build", *_paths(settings), *arguments]))
        finally:
            events.put(_END)

    thread = threading.Thread(target=work, name="dbt", daemon=True)
    thread.start()
    while (event := events.get()) is not _END:
        if event is not None:
            yield event
    thread.join()
    if not outcome or not outcome[0].success:
        raise DbtFailure(_first_failure(outcome[0] if outcome else None))
    _built = run_id


def parse(settings: Settings) -> None:
    """Parse the project and write its manifest, without a connection. Raises TierhouseError when it does not parse."""
    with _environment_of(settings):
        _parse(settings, [argument for argument in _global_arguments() if argument != "--no-write-json"])


def _manifest(run_id: str) -> Any:
    if run_id not in _parsed:
        _parsed.clear()
        _parsed[run_id] = _parse(Settings.from_environment(), _global_arguments())
    return _parsed[run_id]


def _parse(settings: Settings, global_arguments: list[str]) -> Any:
    from dbt.cli.main import dbtRunner

    _parse_anew_for_no_other_address()
    result = dbtRunner().invoke([*global_arguments, "parse", *_paths(settings)])
    if result.exception is not None and not isinstance(result.exception, Exception):
        # Somebody ends the command: dbt takes that for an error of its own.
        raise result.exception
    if not result.success:
        raise TierhouseError(f"the dbt project does not parse: {' '.join(str(result.exception).split())}")
    return result.result


@contextmanager
def _environment_of(settings: Settings) -> Iterator[None]:
    """dbt reads the environment; whoever only asks for the manifest finds it as it was."""
    before = dict(os.environ)
    os.environ.update(dbt_environment(settings))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _parse_anew_for_no_other_address() -> None:
    """dbt parses the whole project again when the connection changes. Where the server listens and who asks is in no model."""
    from dbt.adapters.clickhouse.credentials import ClickHouseCredentials

    keys = ClickHouseCredentials._connection_keys

    def without_address(self: ClickHouseCredentials) -> tuple[str, ...]:
        return tuple(key for key in keys(self) if key not in ("host", "port", "user"))

    if keys.__name__ != without_address.__name__:
        ClickHouseCredentials._connection_keys = without_address  # type: ignore[method-assign]


def _make_base_database(settings: Settings) -> None:
    """dbt makes the database that its connections start in once per process: it would not notice another warehouse."""
    shared_client(settings).command(f"CREATE DATABASE IF NOT EXISTS {settings.prefix}{on_cluster(settings)}")


def _make_no_events_that_no_one_reads() -> None:
    """dbt makes an event of each statement and look-up, which its log at level `info` then throws away: half a second a refresh."""
    from dbt.adapters.events.logging import AdapterLogger
    from dbt_common.events.base_types import BaseEvent, EventLevel
    from dbt_common.events.event_manager import EventManager
    from dbt_common.events.event_manager_client import ctx_set_event_manager, get_event_manager

    class WithoutDebugEvents(EventManager):
        def fire_event(
            self,
            e: BaseEvent,
            level: EventLevel | None = None,
            node: Any = None,
            force_warn_or_error_handling: bool = False,
        ) -> None:
            if (level or e.level_tag()) not in (EventLevel.DEBUG, EventLevel.TEST):
                super().fire_event(e, level, node, force_warn_or_error_handling)

    if type(get_event_manager()) is EventManager:
        ctx_set_event_manager(WithoutDebugEvents())
        AdapterLogger.debug = lambda self, msg, *args: None  # type: ignore[method-assign]


def _global_arguments() -> list[str]:
    # Nothing reads the JSON that every call would write; `ensure_manifest` makes the manifest that Dagster reads.
    quietly = ["--quiet", "--no-use-colors", "--no-write-json", "--no-send-anonymous-usage-stats"]
    # The first failure is told by the command itself, in one line; all of them stand in dbt's log.
    return [*quietly, "--log-level", "none", "--log-level-file", "info"]


def _paths(settings: Settings) -> list[str]:
    target: Path = target_directory(settings)
    return ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR), "--target-path", str(target)]


def _as_mapping(event: Any) -> Mapping[str, Any] | None:
    """The event as dbt's JSON log would show it; None for the many that no one reads."""
    if event.info.name not in ("LogSeedResult", "LogModelResult", "LogTestResult"):
        return None
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(event, preserving_proto_field_name=True)


def _first_failure(result: Any) -> str:
    if result is not None and result.exception is not None:
        return " ".join(str(result.exception).split())
    for node in getattr(getattr(result, "result", None), "results", []):
        if node.status in ("error", "fail"):
            message = " ".join((node.message or "").split())
            return f"{node.node.resource_type} {node.node.name} failed: {message}"
    return "dbt ended without a result; see logs/dbt.log in TIERHOUSE_HOME"
