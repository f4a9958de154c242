"""How tables that last are made on each target: where the statement runs, and the engine that keeps the rows.

On a cluster they are made on all its nodes and replicated; everywhere else they are plain. Tables of one landing stay on the
node that the client talks to."""

from __future__ import annotations

from orchestration.warehouse.settings import Settings


def on_cluster(settings: Settings) -> str:
    """The clause for a CREATE statement, with a blank before it; empty unless the target is a cluster."""
    if settings.target != "cluster":
        return ""
    name = settings.cluster.replace("\\", "\\\\").replace("`", "\\`")
    return f" ON CLUSTER `{name}`"


def engine(settings: Settings, name: str = "MergeTree") -> str:
    """A table engine of the MergeTree family, with its arguments if any; its replicated kind on a cluster.

    Path and replica name are left to the server's defaults (default_replica_path, default_replica_name)."""
    return f"Replicated{name}" if settings.target == "cluster" else name
