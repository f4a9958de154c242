"""Dagster's event log in SQLite, without a new engine, connection and wait for the disk at each of hundreds of events.

Dagster's own class makes a SQLAlchemy engine per event and so compiles each statement anew. On a refresh of 120 models and
checks that was 3 of 27 seconds of work and a third of the wait (docs/decisions.md).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SQLITE_BUSY_TIMEOUT_SECONDS, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

# The index, the run that is under way, and some that a page shows. A shard is a run: a process that stays meets ever more.
ENGINES_KEPT = 8


def _engine(address: str) -> Engine:
    # One connection at a time is in use (`_db_lock`), by whichever thread.
    engine = create_engine(address, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _log_without_waiting(connection: Any, _: Any) -> None:
        # Dagster's write-ahead log survives a killed process without a wait for the disk at each of hundreds of commits.
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine


class OneEngineEventLogStorage(SqliteEventLogStorage):
    """Same files and tables as Dagster's class; the engines used last and their connections are kept."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # By shard, the one used last at the end; only who holds `_db_lock` touches them, so that none in use is given up.
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._seen_tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> OneEngineEventLogStorage:
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._kept_engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; asked at each check's event, and a table that was there stays."""
        if table_name not in self._seen_tables and super().has_table(table_name):
            self._seen_tables.add(table_name)
        return table_name in self._seen_tables

    def delete_events(self, run_id: str) -> None:
        """Forget a run with its file and what its checks found, both of which Dagster's class leaves."""
        super().delete_events(run_id)
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id))
        with self._db_lock:
            engine = self._engines.pop(run_id, None)
            if engine:
                engine.dispose()
            self._initialized_dbs.discard(run_id)
            file = Path(self.path_for_shard(run_id))
            for one in (file, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm"))):
                one.unlink(missing_ok=True)

    def _kept_engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            self._engines[shard] = _engine(self.conn_string_for_shard(shard))
        self._engines.move_to_end(shard)
        if len(self._engines) > ENGINES_KEPT:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
