"""Is there room on the disks? Asked before a landing or a refresh writes anything, for a full disk is found out slowly."""

from __future__ import annotations

import shutil

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from orchestration.errors import TierhouseError
from orchestration.warehouse.settings import Settings

# With less than this the engine reserves no room for a part and puts merges off, and waits for them without an end.
LEAST_FREE_BYTES = 32 << 20


def demand_space(client: Client, settings: Settings) -> None:
    """Raise TierhouseError when the disk of the warehouse or of TIERHOUSE_HOME has no room left to work in."""
    try:
        rows = client.query("SELECT name, unreserved_space FROM system.disks WHERE type = 'Local'").result_rows
    except ClickHouseError:
        # A user who may not look at the disks learns of a full one from the first statement that fails.
        rows = []
    free = {f"of the warehouse ({name})": int(space) for name, space in rows}
    free[f"of {settings.home}"] = shutil.disk_usage(settings.home).free
    for disk, space in free.items():
        if space < LEAST_FREE_BYTES:
            raise TierhouseError(
                f"the disk {disk} is full: {space >> 20} MiB are free, {LEAST_FREE_BYTES >> 20} are needed to begin; "
                "free some space and run it again: it goes on from what is there"
            )
