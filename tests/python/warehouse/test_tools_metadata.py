"""What tools ask a server about itself before they show anything: drivers, BI and monitoring, for the owner and for a reader."""

import pytest
from embedded_server import READER, READER_PASSWORD

AS_READER = {"headers": {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD}}
MARTS = "tierhouse_marts"
QUESTIONS = (
    # JDBC, and with it DBeaver, Metabase and Tableau
    "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1",
    "SELECT t.database, t.name, if(t.is_temporary, 'T', t.engine), t.comment, d.engine FROM system.tables t"
    " JOIN system.databases d ON system.tables.database = system.databases.name WHERE t.database LIKE '%'",
    "SELECT name, type, numeric_scale == 0 ? NULL : numeric_scale, character_octet_length::Nullable(Int32),"
    f" system.columns.default_expression FROM system.columns WHERE database LIKE '{MARTS}' ORDER BY position",
    "SELECT trim(c.1), c.2 FROM system.tables"
    " ARRAY JOIN arrayZip(splitByChar(',', primary_key), arrayEnumerate(splitByChar(',', primary_key))) AS c",
    "SELECT name, alias_to, case_insensitive FROM system.data_type_families",
    "SELECT value = '1' FROM system.settings WHERE name = 'readonly'",
    # Go, and with it Grafana
    "SELECT displayName(), version(), revision(), timezone()",
    f"EXPLAIN AST SELECT * FROM {MARTS}.shown",
    f"DESCRIBE TABLE {MARTS}.shown SETTINGS describe_compact_output = 1",
    # Superset
    "SHOW DATABASES",
    f"SHOW TABLES FROM {MARTS}",
    "SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions",
    f"EXPLAIN ESTIMATE SELECT * FROM {MARTS}.shown",
    f"SHOW CREATE TABLE {MARTS}.shown",
    # ODBC and tools that know MySQL
    "SELECT 1 FORMAT ODBCDriver2",
    "SELECT table_schema, table_name, table_type FROM information_schema.tables",
    f"SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = '{MARTS}'",
    "SELECT * FROM information_schema.key_column_usage",
    "SHOW FULL TABLES FROM system LIKE 'one'",
    f"SHOW FULL COLUMNS FROM shown FROM {MARTS}",
    # monitoring
    "SELECT metric, value FROM system.metrics",
    "SELECT event, value FROM system.events",
    "SELECT metric, value, description FROM system.asynchronous_metrics",
    "SELECT * FROM system.errors",
    "SELECT * FROM system.dictionaries",
    "SELECT * FROM system.replicas",
    "SELECT * FROM system.merges",
    "SELECT * FROM system.mutations",
    "SELECT * FROM system.disks",
    "SELECT user, query, query_duration_ms FROM system.query_log LIMIT 1",
    "SELECT * FROM system.opentelemetry_span_log LIMIT 1",
)


@pytest.fixture(scope="module")
def shown(server):
    for statement in (
        f"CREATE DATABASE IF NOT EXISTS {MARTS}",
        f"CREATE OR REPLACE TABLE {MARTS}.shown (id UInt64, name Nullable(String)) ENGINE = MergeTree ORDER BY id",
        f"INSERT INTO {MARTS}.shown VALUES (1, 'x')",
    ):
        assert server.ask(statement).status == 200
    yield
    server.ask(f"DROP TABLE {MARTS}.shown")


@pytest.mark.parametrize("sql", QUESTIONS)
def test_what_tools_ask_at_first_is_answered(server, shown, sql):
    for account in ({}, AS_READER):
        answer = server.ask(sql, **account, default_format="JSONCompact")
        assert answer.status == 200, answer.text


def test_metrics_that_a_server_measures_in_the_background_are_there(server, shown):
    sql = "SELECT metric, value FROM system.asynchronous_metrics FORMAT TSV"
    found = {name: float(value) for name, value in (line.split("\t") for line in server.ask(sql).text.splitlines())}
    assert found["Uptime"] >= 0 and found["NumberOfDatabases"] >= 4 and found["TotalRowsOfMergeTreeTables"] >= 1
    assert found["MaxPartCountForPartition"] >= 1 and found["DiskTotal_default"] > found["DiskAvailable_default"] > 0
