"""`make bench`: land, build, refresh and compare on a demo base of 200,000 customers, 4 million orders, 20 million lines.

Runs in a home of its own and prints one table. Of system.query_log: engine time is the sum of query durations, busy the
time in which any query ran (less, where two ran beside each other), processor what they used of all cores. Wall time is
what a person waits. Nothing is asserted: a machine under load measures its load.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import click
from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.table import Table

from benchmarks import peers
from orchestration.landing import generator
from orchestration.landing.files import land_directory
from orchestration.lock import writer_lock
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

LAST_DATE = date(2026, 3, 31)
CONSOLE = Console(width=120)


@click.command()
@click.option("--customers", default=200_000, show_default=True)
@click.option("--days", default=400, show_default=True)
@click.option("--keep", is_flag=True, help="Leave the home folder behind for a look.")
def main(customers: int, days: int, keep: bool) -> None:
    """Measure landing, full build, next day, nothing new, and the peers."""
    home = Path(tempfile.mkdtemp(prefix="tierhouse-bench-"))
    os.environ.update(TIERHOUSE_HOME=str(home), TIERHOUSE_TARGET="embedded")
    os.environ.pop("TIERHOUSE_PORT", None)
    table = Table("what", "measured", "goal", title=f"{customers:,} customers, {days} days, {os.cpu_count()} cores")
    try:
        _measure(table, home, customers, days)
    finally:
        CONSOLE.print(table)
        server = running_server(home)
        if server:
            os.kill(server.pid, 15)
        if keep:
            CONSOLE.print(f"left in {home}")
        else:
            time.sleep(2)
            shutil.rmtree(home, ignore_errors=True)


def _measure(table: Table, home: Path, customers: int, days: int) -> None:
    settings = ensure_running(Settings.from_environment())
    client = connect(settings, autogenerate_session_id=False)
    world = generator.World(customers, days, 1, LAST_DATE, settings.zone)

    started = time.monotonic()
    generator.export_demo(client, settings, home / "parquet", world)
    table.add_row("generate and export to Parquet", f"{time.monotonic() - started:.1f} s", "-")
    CONSOLE.print(table)

    started = time.monotonic()
    with writer_lock(settings, "bench"):
        report = land_directory(client, settings, home / "parquet")
    seconds = time.monotonic() - started
    lines = next(part for part in report.tables if part.table == "order_lines")
    rows = sum(part.delivered for part in report.tables)
    table.add_row(
        "land from Parquet, lines alone",
        f"{lines.delivered:,} lines, {lines.rows_per_second:,.0f} lines/s",
        ">= 2,000,000 lines/s",
    )
    table.add_row(
        "land from Parquet, all tables", f"{rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s", "-"
    )
    CONSOLE.print(table)

    # What the machine can do at all: the goals were set where this copy took 2.7 s.
    table.add_row("yardstick: one plain copy of the lines", f"{_plain_copy(client, settings):.1f} s", "2.7 s there")
    full = _refresh(client, "--as-of", LAST_DATE.isoformat())
    table.add_row("full build of one day", f"{full}, server {_peak_memory(home):.1f} GiB", "<= 30 s, <= 75 s, <= 4 GiB")
    features = _layer_seconds(client)
    table.add_row("  of it features and scores", f"engine {features:.2f} s", "<= 2 s")
    CONSOLE.print(table)

    table.add_row("refresh with nothing new", str(_refresh(client, "--as-of", LAST_DATE.isoformat())), "<= 25 s wall")
    table.add_row("  the same day made again", str(_refresh(client, "--as-of", LAST_DATE.isoformat(), "--again")), "-")

    # The first of a month fits the models too; the day after it is a day like any other.
    for what, later in (("the next day, first of a month", 1), ("the next day, any other", 2)):
        delta = generator.land_next_day(client, settings)
        next_day = LAST_DATE + timedelta(days=later)
        day = _refresh(client, "--as-of", next_day.isoformat())
        changed = sum(part.landed for part in delta.tables)
        table.add_row(what, f"{changed:,} new rows, {day}", "engine <= 4 s")
        for name, duration in day.dearest:
            table.add_row(f"  {name}", f"{duration:.2f} s", "")
        CONSOLE.print(table)

    for name, start, duration in peers.compare(client, settings, home / "peers", next_day):
        table.add_row(name, f"{duration:.2f} s", f"starts from {start}")


@dataclass(frozen=True)
class _Refresh:
    """Seconds of one `tierhouse refresh`: engine, busy and processor as above; `dearest` are its statements by what they make."""

    wall: float
    engine: float
    busy: float
    processor: float
    dearest: list[tuple[str, float]]

    def __str__(self) -> str:
        return (
            f"engine {self.engine:.1f} s (busy {self.busy:.1f}, processor {self.processor:.1f}), wall {self.wall:.1f} s"
        )


def _refresh(client: Client, *arguments: str) -> _Refresh:
    begin = client.command("SELECT toString(now64(6))")
    started = time.monotonic()
    command = [sys.executable, "-m", "orchestration.cli", "refresh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.monotonic() - started
    if done.returncode:
        raise click.ClickException(done.stderr.strip() or done.stdout.strip())
    # Statements of background work of others do not exist here: the home is the bench's own.
    log = f"FROM system.query_log WHERE type != 'QueryStart' AND event_time_microseconds >= '{begin}'"
    dearest = client.query(
        "SELECT extract(query, '(?i)(?:create (?:or replace )?table|insert into)\\s+(?:if not exists )?`?(\\w+`?\\.`?\\w+)') AS target, "
        f"sum(query_duration_ms) / 1000 AS seconds {log} GROUP BY target ORDER BY seconds DESC LIMIT 8"
    ).result_rows
    engine, processor, busy = client.query(
        "SELECT sum(ended - begun), sum(processor), sum(greatest(0, ended - greatest(begun, ended_before))) FROM (SELECT *, "
        # Of those that began before: the latest end.
        "max(ended) OVER (ORDER BY begun, ended ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended_before FROM ("
        "SELECT toUnixTimestamp64Micro(query_start_time_microseconds) / 1e6 AS begun, begun + query_duration_ms / 1e3 AS ended, "
        f"(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']) / 1e6 AS processor {log}))"
    ).first_row
    return _Refresh(
        wall, engine, busy, processor, [(str(row[0]).replace("`", "") or "other", row[1]) for row in dearest]
    )


def _plain_copy(client: Client, settings: Settings) -> float:
    """Seconds of copying the landed order lines into a table of the same order, without any work on them."""
    started = time.monotonic()
    client.command(
        "CREATE TABLE default.yardstick ENGINE = MergeTree ORDER BY (order_id, line_no, updated_at) "
        f"AS SELECT * FROM {settings.database('landing')}.order_lines"
    )
    seconds = time.monotonic() - started
    client.command("DROP TABLE default.yardstick SYNC")
    return seconds


def _layer_seconds(client: Client) -> float:
    """Engine seconds of the newest statements that made tables of the features and scoring layers."""
    return client.query(
        "SELECT sum(seconds) FROM (SELECT extract(query, '(?i)(?:insert into|create table)\\s+`?(\\w+`?\\.`?\\w+)') AS target, "
        "argMax(query_duration_ms, event_time_microseconds) / 1000 AS seconds FROM system.query_log "
        "WHERE type = 'QueryFinish' AND match(target, '_(features|scoring)') GROUP BY target)"
    ).result_rows[0][0]


def _peak_memory(home: Path) -> float:
    """Largest resident size of the server so far, GiB."""
    server = running_server(home)
    status = Path(f"/proc/{server.pid}/status") if server else None
    if status is None or not status.exists():
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


if __name__ == "__main__":
    main()
