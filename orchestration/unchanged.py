"""Whether anything has changed since the last refresh: the state of all that a refresh reads and writes, and its record.

A part of a table never changes, and `system.parts` holds a hash of its files: equal parts are equal rows. Merges put parts
together without changing a row; as long as the server was not started anew, equal block numbers, mutations and rows say so.
Where the engine keeps no such parts there is no proof, and nothing is ever called unchanged.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration.project import PROJECT_DIR, dbt_environment, project_version
from orchestration.warehouse.ddl import engine
from orchestration.warehouse.settings import Settings

# Written by every run or landing and read by no model.
_LOGS = ("refresh_runs", "data_quality_results", "load_audit", "refreshed_state")
_NOT_READ = ("incoming", "quarantine")
# Both the clock and the time that a server has run are whole seconds.
_CLOCK_SECONDS = 2


@dataclass(frozen=True)
class State:
    """What a refresh depends on and leaves behind, at one moment.

    program: hash of code, settings and installed packages. tables: per table a hash of its identity and definition.
    partitions: per partition the hash of its parts, and what a merge leaves as it is. models: files of fitted models.
    read_at, server_started: when it was read and when the server began, seconds of the server's clock.
    """

    program: str
    tables: dict[str, str]
    partitions: dict[str, list[str]]
    models: list[str]
    read_at: int
    server_started: int

    def is_as(self, earlier: State) -> bool:
        """Whether nothing has changed since `earlier`."""
        if (self.program, self.tables, self.models) != (earlier.program, earlier.tables, earlier.models):
            return False
        if self.partitions.keys() != earlier.partitions.keys():
            return False
        # A server that starts counts blocks from those that are left: the same number may then name other rows. Where the clock
        # was set back since, another server may seem to have started before the record; at the same second it does not.
        started_before = self.server_started + _CLOCK_SECONDS < earlier.read_at
        is_same_server = started_before and abs(self.server_started - earlier.server_started) <= _CLOCK_SECONDS
        return all(
            parts == earlier.partitions[place][0] or (is_same_server and counters == earlier.partitions[place][1])
            for place, (parts, counters) in self.partitions.items()
        )

    def of_inputs(self, settings: Settings) -> State:
        """The same for the tables alone that a refresh only reads."""
        inputs = (f"{settings.database('landing')}.", f"{settings.database('predictive')}.promotions")
        return State(
            program="",
            tables={name: value for name, value in self.tables.items() if name.startswith(inputs)},
            partitions={name: value for name, value in self.partitions.items() if name.startswith(inputs)},
            models=[],
            read_at=self.read_at,
            server_started=self.server_started,
        )


@dataclass(frozen=True)
class Standing:
    """A published build that a refresh would only make again: since when, its name, and its number of customers."""

    since: datetime
    build_id: str
    customer_count: int


def read_state(client: Client, settings: Settings) -> State | None:
    """The state of now; None where it cannot be told: on a cluster, with tables of other engines, while rows are rewritten."""
    if settings.target == "cluster":
        return None
    ours = (
        f"startsWith(database, '{settings.prefix}_') "
        f"AND database NOT IN {tuple(settings.database(layer) for layer in _NOT_READ)} "
        f"AND NOT (database = '{settings.database('marts')}' AND {{name}} IN {_LOGS})"
    )
    tables = client.query(
        "SELECT concat(database, '.', name), database, engine, "
        "hex(sipHash128(uuid, engine, create_table_query)) "
        f"FROM system.tables WHERE {ours.format(name='name')} ORDER BY 1"
    ).result_rows
    # What comes in comes in as rows of ours: a view there would show what lies elsewhere.
    sources = [settings.database(layer) for layer in ("landing", "seeds", "predictive")]
    if any(kind != "MergeTree" and (kind != "View" or database in sources) for _, database, kind, _ in tables):
        return None
    rewriting, read_at, server_started = client.query(
        "SELECT count(), toUnixTimestamp(now()), toUnixTimestamp(now()) - uptime() "
        f"FROM system.mutations WHERE NOT is_done AND {ours.format(name='table')}"
    ).result_rows[0]
    if rewriting:
        return None
    # Patch parts (lightweight updates) belong to the partition that they patch. The fifth piece of a name is the mutation. Parts
    # without rows are what a replaced or dropped partition leaves until the server clears them away, at the latest at its start.
    partitions = client.query(
        "SELECT concat(database, '.', table, ' ', replaceRegexpOne(partition_id, '^patch-[0-9a-f]+-', '')) AS place, "
        "hex(sipHash128(arraySort(groupArray((name, hash_of_all_files))))), "
        "concat(toString(max(max_block_number)), ' ', "
        "toString(max(toUInt64OrZero(arrayElement(splitByChar('_', name), 5)))), ' ', toString(sum(rows))) "
        f"FROM system.parts WHERE active AND rows > 0 AND {ours.format(name='table')} GROUP BY place"
    ).result_rows
    return State(
        program=_program(settings, client.server_version),
        tables={name: identity for name, _, _, identity in tables},
        partitions={place: [parts, counters] for place, parts, counters in partitions},
        # The warehouse holds what they hold; a refresh writes one again that is missing.
        models=sorted(path.name for path in (settings.home / "models").glob("*/*.json")),
        read_at=int(read_at),
        server_started=int(server_started),
    )


def standing(client: Client, settings: Settings, day: date, now: State | None) -> Standing | None:
    """The build that stands where the last refresh was one of `day` and nothing has changed since; else None."""
    table = _table(settings)
    if now is None or client.command(f"EXISTS TABLE {table}") != 1:
        return None
    rows = client.query(
        f"SELECT recorded_at, state FROM {table} WHERE as_of_date = {{day:Date}}", parameters={"day": day}
    ).result_rows
    if len(rows) != 1:
        return None
    recorded_at, text = rows[0]
    try:
        earlier = State(**json.loads(text))
    except (ValueError, TypeError):
        # Another version wrote it.
        return None
    if not now.is_as(earlier):
        return None
    builds = client.query(
        f"SELECT build_id, customer_count FROM {settings.database('snapshots')}.published_builds "
        "WHERE as_of_date = {day:Date}",
        parameters={"day": day},
    ).result_rows
    return Standing(recorded_at, *builds[0]) if len(builds) == 1 else None


def forget(client: Client, settings: Settings) -> None:
    """Take the record away, before anything is changed: a refresh that does not end well leaves none."""
    if settings.target != "cluster":
        client.command(f"TRUNCATE TABLE IF EXISTS {_table(settings)}")


def remember(client: Client, settings: Settings, day: date, before: State | None) -> None:
    """Write the record after a refresh of `day` that went well. before: what was read before it began.

    Nothing is written where what a refresh only reads has changed meanwhile: it may not have seen that.
    """
    after = read_state(client, settings)
    if before is None or after is None:
        return
    inputs = after.of_inputs(settings)
    # A first refresh makes a table that it reads, empty; one with rows would show in the partitions.
    known = {name: value for name, value in inputs.tables.items() if name in before.tables}
    if not replace(inputs, tables=known).is_as(before.of_inputs(settings)):
        return
    table = _table(settings)
    client.command(
        f"CREATE TABLE IF NOT EXISTS {table} ("
        "as_of_date Date COMMENT 'Day of the last refresh', "
        "recorded_at DateTime64(3, 'UTC') COMMENT 'When it had ended', "
        "state String COMMENT 'What it depends on and has left behind, as JSON') "
        f"ENGINE = {engine(settings)} ORDER BY as_of_date "
        "COMMENT 'One row: the last refresh that went well, and the state by which the next one sees whether anything changed.'"
    )
    forget(client, settings)
    # It ran with the program that was there when it began.
    state = json.dumps(asdict(replace(after, program=before.program)), sort_keys=True)
    row = [day, datetime.now(UTC), state]
    client.insert(table, [row], column_names=["as_of_date", "recorded_at", "state"])


def _program(settings: Settings, server_version: str | None) -> str:
    """Hash of all beside the rows that decides what a refresh makes: the project, the code, what is installed, settings."""
    parts = [project_version(settings), settings.prefix, settings.zone, sys.version, str(server_version)]
    parts += [f"{name}={value}" for name, value in sorted(dbt_environment(settings).items()) if name.startswith("DBT_")]
    # A folder name holds name and version of a package; asking each for its version takes twenty times as long.
    folders = [Path(entry) for entry in sys.path if entry]
    parts += sorted({found.name for folder in folders if folder.is_dir() for found in folder.glob("*.dist-info")})
    digest = hashlib.sha256("\n".join(parts).encode())
    for path in sorted((PROJECT_DIR / "orchestration").rglob("*.py")):
        digest.update(path.relative_to(PROJECT_DIR).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _table(settings: Settings) -> str:
    return f"{settings.database('marts')}.refreshed_state"
