"""One writer at a time: landing and refreshes of one TIERHOUSE_HOME take the same file lock."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from orchestration.errors import TierhouseError
from orchestration.warehouse.settings import Settings

_held: set[str] = set()
_POLL_SECONDS = 0.5


@contextmanager
def writer_lock(
    settings: Settings, what: str, patience_seconds: float = 0.0, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the writer lock of `settings.home` while the block runs; `what` names the work to whoever finds it taken.

    Re-entrant within a process. A killed holder frees it: the lock belongs to the process, not to the file.
    Where another process holds it, `waiting` is told once by whom, and the lock is tried for `patience_seconds`; then
    TierhouseError is raised with the holder's work, process id and start.
    """
    path = settings.home / "writer.lock"
    if str(path) in _held:
        yield
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8", errors="replace") as file:
        deadline = time.monotonic() + patience_seconds
        while not _taken(file):
            file.seek(0)
            holder = _describe(file.read())
            if time.monotonic() >= deadline:
                raise TierhouseError(f"{holder}; wait until it ends, then run `{what}` again")
            if waiting:
                waiting(f"{holder}; waiting for its end")
                waiting = None
            time.sleep(_POLL_SECONDS)
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


def living_holder(settings: Settings) -> int | None:
    """The process that holds the writer lock, without a try to take it; None where nobody does, or who held it was killed."""
    try:
        process = int(json.loads((settings.home / "writer.lock").read_text(encoding="utf-8"))["process"])
        os.kill(process, 0)
    except PermissionError:
        # Of another user.
        return process
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"`{holder['what']}` is running (process {holder['process']}, since {holder['started']})"
    except (ValueError, KeyError, TypeError):
        # The holder has not written it yet, or the file was written by something else.
        return "another landing or refresh is running"
