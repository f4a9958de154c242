"""A warehouse as landing tests see it: its client, its settings, and questions about what is in it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration.landing import land_directory
from orchestration.landing.report import LandingReport, TableReport
from orchestration.warehouse.settings import Settings


@dataclass(frozen=True)
class Warehouse:
    """A client and settings with a prefix of their own."""

    client: Client
    settings: Settings

    def land(self, directory: Path, limit: float | None = None) -> dict[str, TableReport]:
        """Land the folder; the outcome by table."""
        return {table.table: table for table in self.report(directory, limit).tables}

    def report(self, directory: Path, limit: float | None = None) -> LandingReport:
        settings = self.settings if limit is None else replace(self.settings, refusal_limit=limit)
        return land_directory(self.client, settings, directory)

    def rows(self, query: str) -> list[tuple]:
        """Rows of a query in which {landing}, {quarantine}, {marts}, {incoming}, {demo} stand for the databases."""
        names = {name: self.settings.database(name) for name in ("landing", "quarantine", "marts", "incoming", "demo")}
        return [tuple(row) for row in self.client.query(query.format(**names)).result_rows]

    def one(self, query: str):
        """The one value of a query."""
        return self.rows(query)[0][0]

    def contents(self, table: str) -> list[tuple]:
        """All rows of a landing table but for the batch that brought them, sorted."""
        return self.rows(
            f"SELECT * EXCEPT (_loaded_at, _batch_id) FROM {{landing}}.{table} "
            f"ORDER BY toString(tuple(* EXCEPT (_loaded_at, _batch_id)))"
        )


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
