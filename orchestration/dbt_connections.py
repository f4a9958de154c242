"""dbt's connections outlive its call: a refresh calls dbt three times, and each call would make four to five of them.

A connection asks the server for its version, its zone and 1,300 settings, and begins a session of its own there.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from dbt.adapters.clickhouse import connections
from dbt.adapters.clickhouse.credentials import ClickHouseCredentials
from dbt.adapters.clickhouse.dbclient import get_db_client

# A session of the server ends when nobody asks in it for a minute, and takes its settings along.
IDLE_SECONDS = 40.0

_lock = threading.Lock()
# Clients that no thread uses, with the credentials they were made with and the time at which they were given back.
_idle: list[tuple[ClickHouseCredentials, float, Any]] = []


def keep_connections() -> None:
    """From now on dbt takes a connection that an earlier call of this process has closed, where there is one."""
    connections.get_db_client = _client


def _client(credentials: ClickHouseCredentials) -> Any:
    now = time.monotonic()
    with _lock:
        _idle[:] = [one for one in _idle if now - one[1] < IDLE_SECONDS]
        for place, (made_with, _, client) in enumerate(_idle):
            if made_with == credentials:
                del _idle[place]
                return client
    client = get_db_client(credentials)
    if credentials.reuse_connections:
        client.close = lambda: _give_back(credentials, client)
    return client


def _give_back(credentials: ClickHouseCredentials, client: Any) -> None:
    with _lock:
        if all(one is not client for _, _, one in _idle):
            _idle.append((credentials, time.monotonic(), client))
