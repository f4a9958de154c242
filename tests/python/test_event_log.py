"""The event log keeps a bounded number of open files, also when several threads write to it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import text

from orchestration.event_log import ENGINES_KEPT, OneEngineEventLogStorage


def test_many_runs_leave_no_more_files_open_than_engines_are_kept(tmp_path: Path) -> None:
    storage = OneEngineEventLogStorage(str(tmp_path))
    runs = [f"run-{number}" for number in range(5 * ENGINES_KEPT)]

    def write(run: str) -> int:
        with storage.run_connection(run) as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS notes (run TEXT)"))
            connection.execute(text("INSERT INTO notes VALUES (:run)"), {"run": run})
            return int(connection.execute(text("SELECT count(*) FROM notes")).scalar_one())

    # Each run is met again after the others have pushed it out.
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, runs)) == [1] * len(runs)
        assert list(pool.map(write, runs)) == [2] * len(runs)

    assert 0 < len(_open_databases(tmp_path)) <= ENGINES_KEPT
    storage.dispose()
    assert not _open_databases(tmp_path)


def _open_databases(folder: Path) -> set[str]:
    """Names of the databases of a folder that this process has open."""
    targets = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.exists())
    return {target.name for target in targets if target.parent == folder and target.suffix == ".db"}
