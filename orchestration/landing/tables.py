"""The tables landing owns in the warehouse: landing, quarantine, load audit, batch journal, and their creation."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from orchestration.landing.contract import TABLES, Column, Table
from orchestration.warehouse.ddl import engine, on_cluster
from orchestration.warehouse.settings import Settings

# Sorted ids and clocks differ little from row to row: their deltas compress tenfold at the speed of LZ4.
_DELTA = {"UInt64": "CODEC(Delta(8), LZ4)", "UInt32": "CODEC(Delta(4), LZ4)"}
_CLOCK = "CODEC(Delta(8), LZ4)"
# Amounts, quantities and numbers of things use few of their bits (docs/decisions.md, Numbers are stored by the bits they use).
_NUMBER = "CODEC(T64, LZ4)"

AUDIT_COLUMNS = {
    "batch_id": ("String", "Batch of the load"),
    "loaded_at": ("DateTime64(3, 'UTC')", "Load time of the batch, equal to _loaded_at of its rows"),
    "table_name": ("LowCardinality(String)", "Landing table"),
    "status": ("LowCardinality(String)", "landed, or refused when too many rows of the batch were bad"),
    "files": ("Array(String)", "Files delivered, relative to the landed folder"),
    "delivered": ("UInt64", "Rows in the files that hold any value"),
    "landed": ("UInt64", "Rows added to the landing table"),
    "already_there": ("UInt64", "Rows whose version had landed before, or occurs twice in the files"),
    "quarantined": ("UInt64", "Rows refused and kept in quarantine"),
    "held_back": ("UInt64", "Good rows that did not land because the batch was refused; 0 otherwise"),
    "reasons": ("Map(String, UInt64)", "Refused rows by reason; sums to quarantined"),
    "seconds": ("Float64", "Time spent on this table"),
    "rows_per_second": ("Float64", "Delivered rows per second"),
    "warnings": ("Array(String)", "What was ignored, such as unknown columns or rows without any value"),
}

JOURNAL_COLUMNS = {
    "batch_id": ("String", "Batch"),
    "loaded_at": ("DateTime64(3, 'UTC')", "Load time of the batch"),
    "step": ("UInt8", "Order of the states of a batch"),
    "state": ("LowCardinality(String)", "judging, then landing or refusing, then landed, refused or dropped"),
    "report": ("String", "From landing or refusing on: the outcome per table as JSON"),
}


def create_landing_tables(client: Client, settings: Settings) -> None:
    """Create every landing and quarantine table of the contract, the load audit and the batch journal where missing.

    Safe to call at any time: existing tables stay as they are.
    """
    landing, quarantine, incoming, marts = (
        settings.database(layer) for layer in ("landing", "quarantine", "incoming", "marts")
    )
    wanted = wanted_tables(settings)
    present = client.query(
        "SELECT concat(database, '.', name) FROM system.tables WHERE database IN "
        f"('{landing}', '{quarantine}', '{marts}', '{incoming}')"
    ).result_rows
    missing = wanted.keys() - {name for (name,) in present}
    if not missing:
        return
    for database in (landing, quarantine, incoming, marts):
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}{on_cluster(settings)}")
    for name, statement in wanted.items():
        if name in missing:
            client.command(statement)


def wanted_tables(settings: Settings) -> dict[str, str]:
    """The statement that makes each lasting table of landing, by its full name."""
    landing, quarantine, incoming, marts = (
        settings.database(layer) for layer in ("landing", "quarantine", "incoming", "marts")
    )
    cluster = on_cluster(settings)
    wanted = {}
    for table in TABLES.values():
        name = f"{landing}.{table.name}"
        wanted[name] = landing_table(table, name + cluster, engine=engine(settings))
        name = f"{quarantine}.{table.name}"
        replacing = engine(settings, "ReplacingMergeTree(_loaded_at)")
        wanted[name] = quarantine_table(table, name + cluster, f"{replacing} ORDER BY (_row_hash, _copy)")
    wanted[f"{marts}.load_audit"] = (
        f"CREATE TABLE IF NOT EXISTS {marts}.load_audit{cluster} ({_described(AUDIT_COLUMNS)}) "
        f"ENGINE = {engine(settings)} ORDER BY (loaded_at, table_name) COMMENT 'One row per load and table.'"
    )
    wanted[f"{incoming}.journal"] = (
        f"CREATE TABLE IF NOT EXISTS {incoming}.journal{cluster} ({_described(JOURNAL_COLUMNS)}) ENGINE = "
        f"{engine(settings)} ORDER BY (loaded_at, batch_id, step) COMMENT 'One row per state that a batch reached.'"
    )
    return wanted


def _described(columns: dict[str, tuple[str, str]]) -> str:
    return ", ".join(f"{name} {type} COMMENT {quoted(text)}" for name, (type, text) in columns.items())


def landing_table(table: Table, name: str, settings_clause: str = "", engine: str = "MergeTree") -> str:
    """CREATE TABLE of the landing table, or under another name of a side table whose partitions can be attached to it.

    One batch has one `_loaded_at`, hence one partition: that makes landing a batch one atomic statement per table.
    """
    columns = [
        f"{column.name} {column.full_type} COMMENT {quoted(column.description)} {_codec(table, column)}"
        for column in table.columns
    ]
    columns.append(f"_loaded_at DateTime64(3, 'UTC') COMMENT 'Load time of the batch; grows by batch' {_CLOCK}")
    columns.append("_batch_id LowCardinality(String) COMMENT 'Batch that delivered the row'")
    body = ", ".join(columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {name} ({body}, INDEX loaded_at_range _loaded_at TYPE minmax GRANULARITY 1) "
        f"ENGINE = {engine} PARTITION BY toYYYYMM(_loaded_at) ORDER BY ({', '.join((*table.key, 'updated_at'))}) "
        f"{settings_clause} COMMENT {quoted(table.description + ' Append-only change log.')}"
    )


def quarantine_table(table: Table, name: str, engine: str) -> str:
    """CREATE TABLE of refused rows: every contract column as the text that was delivered, and why it was refused.

    The newest delivery of the same bad row replaces the earlier one, so landing a bad file twice does not double it;
    `_copy` numbers identical rows within one batch, so that none of them is lost.
    """
    columns = ", ".join(f"{column.name} Nullable(String)" for column in table.columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {name} ({columns}, "
        "_reason String COMMENT 'All reasons, separated by semicolons', "
        "_file LowCardinality(String) COMMENT 'File that delivered the row', "
        "_row_hash UInt64 COMMENT 'Hash of the delivered texts', "
        "_copy UInt32 COMMENT 'Number among identical rows of the batch', "
        "_loaded_at DateTime64(3, 'UTC') COMMENT 'When the batch was loaded', "
        "_batch_id LowCardinality(String) COMMENT 'Batch that delivered the row') "
        f"ENGINE = {engine} "
        f"COMMENT {quoted('Refused rows of ' + table.name + ', as delivered.')}"
    )


def scalar(client: Client, query: str, parameters: dict[str, str] | None = None) -> int:
    """The one whole number a query answers with."""
    return int(client.query(query, parameters=parameters).result_rows[0][0])


def quoted(text: str) -> str:
    """The text as a SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _codec(table: Table, column: Column) -> str:
    if column.name == "updated_at" or (column.kind == "time" and not column.nullable):
        return _CLOCK
    if column.name == table.key[0] and column.type in _DELTA:
        return _DELTA[column.type]
    return _NUMBER if column.type in ("UInt16", "UInt32", "UInt64") or column.type.startswith("Decimal") else ""
