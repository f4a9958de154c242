"""The log of refreshes, one row per run, in the marts: who ran what, for which day, how it ended.

`load_audit` belongs to landing and `data_quality_results` to quality; the three tables are written by Python, not by dbt.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from clickhouse_connect.driver.client import Client

from orchestration.landing.judge import instant
from orchestration.project import project_version, settled_relations
from orchestration.warehouse.ddl import engine, on_cluster
from orchestration.warehouse.moments import next_moment
from orchestration.warehouse.settings import Settings

_COLUMNS = """
    run_id String COMMENT 'Identifier of the run, also the build_id of the snapshot it made if it made one',
    as_of_date Date COMMENT 'Snapshot that the run built, or found unchanged',
    started_at DateTime64(3, 'UTC') COMMENT 'Start of the run',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the run; null while it runs',
    status LowCardinality(String) COMMENT 'running, published, unchanged (nothing to make), failed, or killed (found dead by a later run)',
    customer_count Nullable(UInt64) COMMENT 'Customers in the published snapshot',
    message String COMMENT 'Why the run failed, or which build stands unchanged, in one line',
    project_version String COMMENT 'Hash of the dbt project that the run built with',
    landed_until Nullable(DateTime64(3, 'UTC')) COMMENT 'Load time of the last batch when the run started; null where none had landed'
"""
# Those that an earlier version did not have.
_LATER_COLUMNS = 2


def create_refresh_runs(client: Client, settings: Settings) -> None:
    """Create `<prefix>_marts.refresh_runs` where it is missing. One row per run."""
    cluster = on_cluster(settings)
    client.command(f"CREATE DATABASE IF NOT EXISTS {settings.database('marts')}{cluster}")
    client.command(
        f"CREATE TABLE IF NOT EXISTS {_table(settings)}{cluster} ({_COLUMNS}) "
        f"ENGINE = {engine(settings)} ORDER BY (started_at, run_id) "
        "COMMENT 'One row per refresh: when it ran, for which day, how it ended.'"
    )
    # For a log that an earlier version made.
    later = _COLUMNS.strip().splitlines()[-_LATER_COLUMNS:]
    client.command(
        f"ALTER TABLE {_table(settings)}{cluster} "
        + ", ".join(f"ADD COLUMN IF NOT EXISTS {column.strip().rstrip(',')}" for column in later)
    )


def is_project_settled(client: Client, settings: Settings, version: str) -> bool:
    """Whether the dbt project with this hash was the last to make all views and seeds, to the end, and all are still there."""
    if client.command(f"EXISTS TABLE {_settled(settings)}") != 1:
        return False
    if client.query(f"SELECT project_version FROM {_settled(settings)}").result_rows != [(version,)]:
        return False
    expected = settled_relations(settings)
    present = client.query(
        "SELECT database, name FROM system.tables WHERE database IN {databases:Array(String)}",
        parameters={"databases": sorted({database for database, _ in expected})},
    ).result_rows
    return expected <= set(present)


def unsettle_project(client: Client, settings: Settings) -> None:
    """Say that views and seeds are about to change; only a build that makes all of them says otherwise."""
    client.command(f"TRUNCATE TABLE IF EXISTS {_settled(settings)}{on_cluster(settings)}")


def settle_project(client: Client, settings: Settings, version: str) -> None:
    """Say that all views and seeds were made by the dbt project with this hash."""
    client.command(
        f"CREATE TABLE IF NOT EXISTS {_settled(settings)}{on_cluster(settings)} (project_version String "
        "COMMENT 'Hash of the dbt project that made all views and seeds') "
        f"ENGINE = {engine(settings)} ORDER BY tuple() COMMENT 'One row: the project that made all views and seeds.'"
    )
    unsettle_project(client, settings)
    client.command(f"INSERT INTO {_settled(settings)} SELECT {{version:String}}", parameters={"version": version})


def _settled(settings: Settings) -> str:
    return f"{settings.database('marts')}.settled_project"


def mark_killed(client: Client, settings: Settings) -> None:
    """Mark runs that died without an end as killed. Only for who holds the writer lock and has not started a run yet."""
    create_refresh_runs(client, settings)
    table = _table(settings)
    client.command(
        f"INSERT INTO {table} SELECT * REPLACE ('killed' AS status, greatest(now64(3), started_at) AS ended_at, "
        f"'ended without a word; this run repairs it' AS message) FROM {table} AS runs WHERE runs.status = 'running'"
    )
    client.command(f"DELETE FROM {table} WHERE status = 'running'")


def start_run(client: Client, settings: Settings, run_id: str, as_of_date: str) -> None:
    """Write the row of a run that starts."""
    create_refresh_runs(client, settings)
    client.command(
        f"INSERT INTO {_table(settings)} "
        f"SELECT {{run_id:String}}, {{as_of:Date}}, {_next_start(client, settings)}, NULL, 'running', NULL, '', "
        f"{{version:String}}, {_landed_until(client, settings)}",
        parameters={"run_id": run_id, "as_of": as_of_date, "version": project_version(settings)},
    )


def last_run(client: Client, settings: Settings) -> tuple[datetime | None, str, str]:
    """When the run that started last ended, its status, and its message; nothing of each where none is logged."""
    if client.command(f"EXISTS TABLE {_table(settings)}") != 1:
        return None, "", ""
    rows = client.query(
        f"SELECT ended_at, status, message FROM {_table(settings)} ORDER BY started_at DESC, run_id LIMIT 1"
    ).result_rows
    ended, status, message = rows[0] if rows else (None, "", "")
    return ended, str(status), str(message)


def is_published(client: Client, settings: Settings, build_id: str) -> bool:
    """Whether the marts show this build."""
    return _published_customers(client, settings, build_id) is not None


def _published_customers(client: Client, settings: Settings, build_id: str) -> int | None:
    """How many customers the build holds; None where the marts do not show it."""
    published = f"{settings.database('snapshots')}.published_builds"
    if client.command(f"EXISTS TABLE {published}") != 1:
        return None
    rows = client.query(
        f"SELECT max(customer_count) FROM {published} WHERE build_id = {{build_id:String}} HAVING count() > 0",
        parameters={"build_id": build_id},
    ).result_rows
    return int(rows[0][0]) if rows else None


def end_run(client: Client, settings: Settings, run_id: str, message: str = "") -> bool:
    """Write how the run ended: published when the marts show its build, else failed. Returns whether it published."""
    table = _table(settings)
    count = _published_customers(client, settings, run_id)
    status = "failed" if count is None else "published"
    if count is None and not message:
        message = "nothing was published: a part of the refresh ran"
    client.command(
        f"INSERT INTO {table} SELECT * REPLACE ({{status:String}} AS status, greatest(now64(3), started_at) AS ended_at, "
        f"{{count:Nullable(UInt64)}} AS customer_count, {{message:String}} AS message) "
        f"FROM {table} AS runs WHERE runs.run_id = {{run_id:String}} AND runs.status = 'running'",
        parameters={"run_id": run_id, "status": status, "count": count, "message": message},
    )
    client.command(
        f"DELETE FROM {table} WHERE run_id = {{run_id:String}} AND status = 'running'", parameters={"run_id": run_id}
    )
    return count is not None


def log_unchanged(client: Client, settings: Settings, as_of_date: str, build_id: str, customer_count: int) -> None:
    """Write the row of a run that found nothing changed since `build_id` of the day was made, and so made nothing."""
    client.command(
        f"INSERT INTO {_table(settings)} WITH {_next_start(client, settings)} AS moment "
        "SELECT {run_id:String}, {as_of:Date}, moment, moment, 'unchanged', "
        f"{{count:UInt64}}, {{message:String}}, {{version:String}}, {_landed_until(client, settings)}",
        parameters={
            "run_id": str(uuid.uuid4()),
            "as_of": as_of_date,
            "count": customer_count,
            "message": f"build {build_id} stands",
            "version": project_version(settings),
        },
    )


def drop_unpublished_builds(client: Client, settings: Settings) -> None:
    """Drop partitions of snapshots that no published build uses: replaced builds, and what killed runs left behind.

    Tables that dbt filled and did not live to take over go when they are a day old: a `dbt build` by hand may be filling one.
    """
    database = settings.database("snapshots")
    published = {
        f"('{as_of}','{build}')"
        for as_of, build in client.query(f"SELECT as_of_date, build_id FROM {database}.published_builds").result_rows
    }
    partitions = client.query(
        "SELECT DISTINCT table, partition, partition_id FROM system.parts "
        "WHERE active AND database = {database:String} AND table LIKE '%_snapshots'",
        parameters={"database": database},
    ).result_rows
    for table, partition, partition_id in partitions:
        if partition not in published:
            client.command(
                f"ALTER TABLE {database}.{table} DROP PARTITION ID {{partition_id:String}}",
                parameters={"partition_id": partition_id},
            )
    left = client.query(
        "SELECT database, name FROM system.tables WHERE startsWith(database, {prefix:String}) "
        "AND position(name, '__dbt_new_data_') > 0 AND metadata_modification_time < now() - INTERVAL 1 DAY",
        parameters={"prefix": settings.database("")},
    ).result_rows
    for home, name in left:
        client.command(f"DROP TABLE IF EXISTS {home}.`{name}`")


def _next_start(client: Client, settings: Settings) -> str:
    """SQL of the moment at which a run starts now: the log tells in which order runs ran, whatever the clock did."""
    return instant(next_moment(client, _table(settings), "started_at"))


def _landed_until(client: Client, settings: Settings) -> str:
    """SQL of the load time of the last batch that has landed; null where none has."""
    journal = f"{settings.database('incoming')}.journal"
    if client.command(f"EXISTS TABLE {journal}") != 1:
        return "NULL"
    return f"(SELECT maxOrNull(loaded_at) FROM {journal} WHERE state = 'landed')"


def _table(settings: Settings) -> str:
    return f"{settings.database('marts')}.refresh_runs"
