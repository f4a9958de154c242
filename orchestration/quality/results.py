"""`<prefix>_marts.data_quality_results`: every outcome of every run, written by Python, read by people and tools."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from orchestration.landing.tables import scalar
from orchestration.quality.checks import LAYERS, Build, Result
from orchestration.warehouse.ddl import engine, on_cluster
from orchestration.warehouse.moments import next_moment
from orchestration.warehouse.settings import Settings

_COLUMNS = {
    "run_id": ("String", "Run that judged, also the build_id of its snapshot"),
    "as_of_date": ("Date", "Snapshot that the run built"),
    "evaluated_at": ("DateTime64(3, 'UTC')", "When the layer was judged"),
    "layer": ("LowCardinality(String)", "landing, facts, features, or marts for the build about to be published"),
    "table_name": ("LowCardinality(String)", "Table judged, with the layer it lies in"),
    "expectation": ("LowCardinality(String)", "Name of the expectation"),
    "description": ("String", "What must hold, in one sentence"),
    "is_success": ("UInt8", "1 when it holds"),
    "observed_value": ("String", "Rows that break it, or the message of the engine when it could not be evaluated"),
    "unexpected_count": ("Nullable(UInt64)", "Rows that break it; null when it could not be evaluated"),
    "severity": ("LowCardinality(String)", "critical stops the refresh, warning is only recorded"),
}


def create_results_table(client: Client, settings: Settings) -> None:
    """Create the table where it is missing."""
    columns = ", ".join(f"{name} {type} COMMENT '{comment}'" for name, (type, comment) in _COLUMNS.items())
    cluster = on_cluster(settings)
    client.command(f"CREATE DATABASE IF NOT EXISTS {settings.database('marts')}{cluster}")
    client.command(
        f"CREATE TABLE IF NOT EXISTS {_table(settings)}{cluster} ({columns}) ENGINE = {engine(settings)} "
        "ORDER BY (as_of_date, evaluated_at, layer, table_name, expectation) "
        "COMMENT 'One row per run, layer, table and expectation: whether the data were as they must be.'"
    )


def store_results(client: Client, build: Build, results: list[Result]) -> None:
    """Write the outcomes; those that the same run wrote before for the same layers are replaced."""
    settings = build.settings
    create_results_table(client, settings)
    layers = sorted({result.layer for result in results})
    parameters = {"run_id": build.build_id}
    of_run = f"FROM {_table(settings)} WHERE run_id = {{run_id:String}} AND layer IN {tuple(layers)}"
    if scalar(client, f"SELECT count() {of_run}", parameters):
        client.command(f"DELETE {of_run}", parameters=parameters)
    # What people see of a layer is what was judged last.
    now = next_moment(client, _table(settings), "evaluated_at")
    client.insert(
        _table(settings),
        [
            [
                build.build_id,
                build.as_of,
                now,
                result.layer,
                ".".join(result.asset),
                result.expectation,
                result.description,
                int(result.is_success),
                result.observed_value,
                result.unexpected_count,
                result.severity,
            ]
            for result in results
        ],
        column_names=list(_COLUMNS),
    )


def latest_results(client: Client, settings: Settings) -> list[dict]:
    """The rows of the latest run of each layer, in the order of the layers."""
    table = _table(settings)
    query = client.query(
        f"SELECT * FROM {table} "
        f"WHERE (layer, evaluated_at) IN (SELECT layer, max(evaluated_at) FROM {table} GROUP BY layer) "
        f"ORDER BY indexOf({list(LAYERS)}, layer), table_name, is_success, expectation"
    )
    return [dict(zip(query.column_names, row, strict=True)) for row in query.result_rows]


def recent_runs(client: Client, settings: Settings, limit: int = 30) -> list[dict]:
    """The latest runs, newest first: run_id, as_of_date, ended_at, expectations, failed, warnings."""
    query = client.query(
        "SELECT run_id, any(as_of_date) AS as_of_date, max(evaluated_at) AS ended_at, count() AS expectations, "
        "countIf(is_success = 0 AND severity = 'critical') AS failed, "
        "countIf(is_success = 0 AND severity != 'critical') AS warnings "
        f"FROM {_table(settings)} GROUP BY run_id ORDER BY ended_at DESC LIMIT {limit}"
    )
    return [dict(zip(query.column_names, row, strict=True)) for row in query.result_rows]


def _table(settings: Settings) -> str:
    return f"{settings.database('marts')}.data_quality_results"
