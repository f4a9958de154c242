"""The queries that run, by the id their client gave: an id is in use once at a time, whoever uses it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestration.warehouse.server.errors import ServerError

REPLACE_SECONDS = 5.0


class Running(Protocol):
    """A query that runs."""

    def cancel(self) -> None:
        """End it soon."""


class RunningQueries:
    """All running queries of the server."""

    def __init__(self) -> None:
        self._queries: dict[str, tuple[str, Running]] = {}
        self._changed = threading.Condition()

    @contextmanager
    def entered(self, user: str, query_id: str, query: Running, replaces: bool) -> Iterator[None]:
        """Hold an id while its query runs. Raises ServerError 216 when it is in use; with `replaces` the query that uses
        it is ended first."""
        with self._changed:
            owner, other = self._queries.get(query_id, (user, None))
        # Only one's own query can be taken over; ids belong to all.
        replaces = replaces and owner == user
        if other is not None and replaces:
            other.cancel()
        deadline = time.monotonic() + (REPLACE_SECONDS if replaces else 0)
        with self._changed:
            while query_id in self._queries:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    whose = "" if owner == user else f" by user {owner}"
                    message = f"Query with id = {query_id} is already running{whose}."
                    raise ServerError(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", message)
            self._queries[query_id] = user, query
        try:
            yield
        finally:
            with self._changed:
                del self._queries[query_id]
                self._changed.notify_all()
