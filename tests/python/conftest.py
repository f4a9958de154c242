"""One embedded warehouse for tests of the whole, in a home of its own, behind a free port."""

import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from forked_commands import ForkedCommands
from own_warehouse import SAMPLE, with_parsed_project

from orchestration.project import ensure_manifest, target_directory
from orchestration.warehouse.client import ensure_running, running_server
from orchestration.warehouse.settings import Settings

# Files whose tests take most, the longest first: started last, one of them would keep one worker busy while the other waits. The
# second needs no refreshed home, which the first makes meanwhile.
_LONGEST = (
    "test_marts_against_reference",
    "test_simulation_equals_publishing",
    "test_refresh_command",
    "test_interrupted_refreshes",
    "test_dbt_unit_tests",
    "test_landing_values",
    "test_landing_rules",
    "test_sample_against_reference",
    "test_unchanged_refresh",
    "test_machine_against_a_second_implementation",
    "test_landing_csv",
    "test_landing_sheets",
    "test_incremental_facts",
    "test_landing_demo",
    "test_landing_kill",
    "test_monthly_evaluation",
    "test_suites",
    "test_disk_full",
    "test_server_process",
    "test_weekly_predictions",
    "test_cards",
)


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors: now and then each waits for a server that starts, stops or is watched doing nothing."""
    return min((os.cpu_count() or 1) + 1, 6)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else len(_LONGEST))


@contextmanager
def _for_all_workers(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """The folder of this name that all workers share, which each finds as the first has left it."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / name


@pytest.fixture(scope="session")
def parsed_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's state of the parsed project, made once for the homes of all workers, each of which would take seconds for the same."""
    with _for_all_workers(tmp_path_factory, "parsed") as home:
        settings = Settings.from_environment({"TIERHOUSE_HOME": str(home)})
        ensure_manifest(settings)
    return target_directory(settings) / "partial_parse.msgpack"


@pytest.fixture(scope="session")
def refreshed_home(tmp_path_factory: pytest.TempPathFactory, parsed_project: Path) -> Path:
    """A home to be copied: the hand-made history is landed and refreshed for 2024-06-30, and no server runs. Made once."""
    with _for_all_workers(tmp_path_factory, "refreshed") as home:
        if not home.exists():
            unfinished = ForkedCommands(with_parsed_project(home.with_name("unfinished"), parsed_project))
            unfinished.tierhouse("land", str(SAMPLE))
            unfinished.tierhouse("refresh", "--as-of", "2024-06-30")
            unfinished.stop()
            unfinished.settings.home.rename(home)
    return home


@pytest.fixture(scope="session")
def own_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running, empty warehouse; the server ends after the last test."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ensure_running(Settings.from_environment({"TIERHOUSE_HOME": str(home), "TIERHOUSE_PORT": str(port)}))
    running = running_server(home)
    yield settings
    if running:
        os.kill(running.pid, signal.SIGTERM)


@pytest.fixture
def in_own_warehouse(own_warehouse: Settings, parsed_project: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same, with the environment naming it, as a command of a user would find it."""
    if not target_directory(own_warehouse).exists():
        with_parsed_project(own_warehouse.home, parsed_project)
    for name, value in own_warehouse.environment().items():
        monkeypatch.setenv(name, value)
    return own_warehouse
