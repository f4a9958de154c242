"""Moments that tell in which order things were written: a clock may be set back, and the order must not turn round."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client


def next_moment(client: Client, table: str, column: str) -> datetime:
    """Now by the server's clock, but later than every moment in `column` of `table`. For who holds the writer lock."""
    now, last = client.query(
        f"SELECT toUnixTimestamp64Milli(now64(3)), toUnixTimestamp64Milli(max({column})) FROM {table}"
    ).result_rows[0]
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=max(now, last + 1))
