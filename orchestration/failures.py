"""Why something failed, in one line: a run of Dagster, the warehouse, the disk."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

# The reason where somebody ended a run, by Ctrl-C or by a signal.
INTERRUPTED = "interrupted"
_INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
# What the innermost of the errors of a step is called where the warehouse has gone: nothing else is connected to.
_BROKEN_CONNECTIONS = (
    "BrokenPipeError",
    "ConnectionAbortedError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "RemoteDisconnected",
)
_FAILURES = ("STEP_FAILURE", "PIPELINE_FAILURE", "RUN_FAILURE")


_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXTS = ("NOT_ENOUGH_SPACE", "No space left on device", "database or disk is full", "Disk quota exceeded")
# What SQLite says of a full disk, too, when it is its write-ahead log that cannot grow.
_UNCLEAR_TEXT = "disk I/O error"
# What it says where there is no such folder, as SQLAlchemy takes % and ? in a path for something else.
_UNOPENED_TEXT = "unable to open database file"
# What SQLite says of a file that a machine left half written as it went down.
_DAMAGED_TEXTS = ("file is not a database", "database disk image is malformed", "file is encrypted or is not")
# What the engine ends its message with where an account lacks a right.
_REFUSALS = ("(ACCESS_DENIED)", "(READONLY)")
_MEND = "free some space and run it again: it goes on from what is there"


def told_in_one_line(error: BaseException) -> str | None:
    """What to tell a person of an error of the warehouse or of the disk, with what to do; None for any other error."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    for one in chain:
        if isinstance(one, OSError) and one.errno in _FULL:
            return f"the disk is full: {one.strerror}{f': {one.filename}' if one.filename else ''}; {_MEND}"
        if isinstance(one, OSError) and one.errno in _CLOSED and one.filename:
            return f"cannot use {one.filename}: {one.strerror}; TIERHOUSE_HOME and all in it must be writable for this user"
        if any(text in str(one) for text in _FULL_TEXTS):
            return f"the disk is full: {engine_message(one)}; {_MEND}"
        if _UNCLEAR_TEXT in str(one):
            return f"the disk is full or failing: {engine_message(one)}; {_MEND}"
        if _UNOPENED_TEXT in str(one):
            return (
                "Dagster cannot open its log of runs; TIERHOUSE_HOME (or DAGSTER_HOME) must be writable for this user, "
                "and its path without % and ?"
            )
        if any(text in str(one) for text in _DAMAGED_TEXTS):
            return (
                f"a file of Dagster's log of runs is damaged ({engine_message(one)}); move the folder `dagster` in TIERHOUSE_HOME "
                "(or DAGSTER_HOME) away and run it again: a new one is made, and the warehouse keeps all it has"
            )
    from clickhouse_connect.driver.exceptions import ClickHouseError

    found = next((one for one in chain if isinstance(one, ClickHouseError)), None)
    if found is None:
        return None
    from orchestration.warehouse.client import connection_failure

    broken = connection_failure(str(found))
    if broken is not None:
        return _gone(broken)
    said = f"the warehouse says: {engine_message(found)}"
    if any(said.endswith(refusal) for refusal in _REFUSALS):
        said += "; this command needs the account that owns the warehouse, one that only reads has `tierhouse sql` over the marts"
    return said


def _gone(reason: str) -> str:
    return f"the warehouse went away in the middle ({reason}); run it again: it goes on from what is there"


def engine_message(error: BaseException) -> str:
    """The engine's message in one line, without codes, traces and the driver's preamble."""
    text = " ".join(str(error).split())
    text = text.partition("DB::Exception: ")[2] or text
    for mark in (" (version ", ": While executing", ": (while reading", " Stack trace", " [SQL:", " (Background on"):
        text = text.partition(mark)[0]
    return text[:400]


def first_failure(events: Iterable[Any]) -> str:
    """The innermost message of the first of Dagster's events that tells of a failure; empty when none does."""
    for event in events:
        if event.event_type_value not in _FAILURES or not event.event_specific_data:
            continue
        failure = getattr(event.event_specific_data, "user_failure_data", None)
        if failure and failure.description:
            return " ".join(failure.description.split())
        error = getattr(event.event_specific_data, "error", None)
        while error and error.cause:
            error = error.cause
        if error and error.cls_name in _INTERRUPTIONS:
            return INTERRUPTED
        if error:
            message = " ".join(error.message.split())
            if error.cls_name in _BROKEN_CONNECTIONS:
                return _gone(message.partition(": ")[2] or message)
            # What we say to a person needs no name of a class before it.
            return message.partition("TierhouseError: ")[2] if error.cls_name == "TierhouseError" else message
    return ""
