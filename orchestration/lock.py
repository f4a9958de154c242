"""One writer at a time: landing and refreshes of one TIERHOUSE_HOME take the same file lock."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from orchestration.errors import TierhouseError
from orchestration.warehouse.settings import Settings

_held: set[str] = set()


@contextmanager
def writer_lock(settings: Settings, what: str) -> Iterator[None]:
    """Hold the writer lock of `settings.home` while the block runs; `what` names the work to whoever finds it taken.

    Re-entrant within a process. A killed holder frees it: the lock belongs to the process, not to the file.
    Raises TierhouseError with the holder's work, process id and start when another process holds it.
    """
    path = settings.home / "writer.lock"
    if str(path) in _held:
        yield
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise TierhouseError(f"{_describe(file.read())}; wait until it ends, then run `{what}` again") from None
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"what": what, "process": os.getpid(), "started": now}))
        file.flush()
        _held.add(str(path))
        try:
            yield
        finally:
            _held.discard(str(path))
            file.truncate(0)


def _describe(text: str) -> str:
    try:
        holder = json.loads(text)
    except json.JSONDecodeError:
        return "another landing or refresh is running"
    return f"`{holder['what']}` is running (process {holder['process']}, since {holder['started']})"
