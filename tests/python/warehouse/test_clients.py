"""Unmodified clients against the embedded warehouse: clickhouse-connect, its SQLAlchemy dialect, @clickhouse/client."""

import asyncio
import concurrent.futures
import json
import os
import shutil
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import clickhouse_connect
import pandas
import pyarrow
import pytest
import sqlalchemy
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

HERE = Path(__file__).parent
JAVASCRIPT_CLIENT = "@clickhouse/client@1.23.1"


@pytest.fixture(params=["lz4", "zstd", "gzip", "br", False])
def client(request, server):
    return server.client(compress=request.param)


def test_rows_frames_and_arrow_go_in_and_come_out(client, table):
    rows = [[1, "eins"], [2, "zwei\n\t'"], [3, ""]]
    assert client.insert(table, rows, column_names=["a", "b"]).written_rows == 3
    frame = pandas.DataFrame({"a": [4, 5], "b": ["vier", "fünf"]})
    assert client.insert_df(table, frame).written_rows == 2
    arrow = pyarrow.table({"a": pyarrow.array([6], pyarrow.uint64()), "b": ["sechs"]})
    assert client.insert_arrow(table, arrow).written_rows == 1
    assert client.query(f"SELECT * FROM {table} WHERE a <= 3 ORDER BY a").result_rows == [tuple(row) for row in rows]
    assert client.query_df(f"SELECT * FROM {table} ORDER BY a")["b"].tolist()[3:] == ["vier", "fünf", "sechs"]
    assert client.query_arrow(f"SELECT a FROM {table} ORDER BY a").column("a").to_pylist() == [1, 2, 3, 4, 5, 6]
    assert client.query(f"SELECT * FROM {table} WHERE 0").column_names in ((), ("a", "b"))


def test_every_common_type_survives_the_round_trip(server):
    client = server.client()
    client.command("DROP TABLE IF EXISTS types")
    client.command(
        "CREATE TABLE types (d Decimal(18, 2), l LowCardinality(String), n Nullable(Int32),"
        " t DateTime64(3, 'UTC'), day Date"
        ", a Array(Nullable(String)), m Map(String, UInt8), u UUID"
        ", e Enum8('x' = 1, 'y' = 2), p Tuple(a Int8, b String)"
        ")"
        " ENGINE = MergeTree ORDER BY tuple()"
    )
    row = (
        Decimal("12345.67"),
        "text",
        None,
        datetime(2024, 2, 29, 12, 30, 15, 123000, UTC),
        date(2024, 2, 29),
        ["a", None],
        {"k": 1},
        "a0a0a0a0-0000-0000-0000-000000000001",
        "y",
        (1, "z"),
    )
    client.insert("types", [row])
    found = client.query("SELECT * FROM types").first_row
    assert found[:3] == row[:3] and found[3].replace(tzinfo=UTC) == row[3] and found[4:7] == row[4:7]
    assert (
        str(found[7]) == row[7]
        and found[8] == row[8]
        and tuple(dict(found[9]).values() if isinstance(found[9], dict) else found[9]) == row[9]
    )
    client.command("DROP TABLE types")


def test_zones_of_columns_reach_clients_that_name_their_protocol_version(server):
    client = server.client()
    assert client.protocol_version
    row = client.query(
        "SELECT number, toString(number), [now()],"
        " toDateTime('2022-10-25 10:55:22', 'America/Chicago') AS chicago, 'x' AS t,"
        " toDateTime64('2023-01-02 15:44:22.783', 3, 'Asia/Shanghai') AS china,"
        " toDateTime('2023-07-05 15:10:40') AS utc,"
        " toDateTime('2023-01-01 00:00:00', 'Asia/Tokyo') AS tokyo FROM numbers(3)"
    ).first_row
    assert [str(value.tzinfo) for value in (row[3], row[5], row[7])] == [
        "America/Chicago",
        "Asia/Shanghai",
        "Asia/Tokyo",
    ]
    assert row[3].hour == 10 and row[6].tzinfo is None
    query = "select toDateTime(1676369730, 'Asia/Shanghai') as dt FORMAT Native"
    assert client.raw_query(query).hex(" ", 2) == "0101 0264 7408 4461 7465 5469 6d65 425f eb63"
    assert client.raw_query(query, settings={"client_protocol_version": 54337})[14:39] == b"DateTime('Asia/Shanghai')"


def test_parameters_settings_and_large_parameters(server):
    client = server.client()
    answer = client.query(
        "SELECT {a:UInt8} + 1, {b:String}, {c:Array(String)}", parameters={"a": 1, "b": "it's\t", "c": ["x'"]}
    )
    assert answer.first_row == (2, "it's\t", ["x'"])
    assert client.query("SELECT length({text:String})", parameters={"text": "x" * 200_000}).first_row == (200_000,)
    assert client.query("SELECT getSetting('max_threads')", settings={"max_threads": 3}).first_row[0] == 3
    with pytest.raises((DatabaseError, ProgrammingError)):
        client.query("SELECT 1", settings={"no_such_setting": 1})


def test_streams_deliver_and_report_what_goes_wrong_in_the_middle(server):
    client = server.client()
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(len(block) for block in stream) == 300_000
    with client.query_df_stream("SELECT number, toString(number) AS s FROM numbers(200000)") as stream:
        assert sum(len(frame) for frame in stream) == 200_000
    with client.query_arrow_stream("SELECT number FROM numbers(200000)") as stream:
        assert sum(batch.num_rows for batch in stream) == 200_000
    sql = "SELECT sleepEachRow(0.01), throwIf(number = 60) FROM numbers(200)"
    with pytest.raises(StreamFailureError, match="throwIf"):
        _ = client.query(sql, settings={"max_block_size": 1, "wait_end_of_query": 0}).result_rows
    with pytest.raises(DatabaseError, match="Code: 395"):
        client.query(sql, settings={"max_block_size": 1, "wait_end_of_query": 1})
    assert client.command("SELECT 1") == 1


def test_a_session_keeps_temporary_tables_and_settings(server):
    client = server.client(session_id="of-clickhouse-connect")
    client.command("CREATE TEMPORARY TABLE brief (a UInt8)")
    client.insert("brief", [[1], [2]])
    client.command("SET max_threads = 1")
    assert client.query("SELECT sum(a), getSetting('max_threads') FROM brief").first_row == (3, 1)
    with pytest.raises(DatabaseError):
        server.client().query("SELECT * FROM brief")


def test_a_failing_insert_leaves_the_client_usable(server, table):
    client = server.client()
    with pytest.raises(Exception):  # noqa: B017  (whatever the client's serializer raises)
        client.insert(table, [[1, "x"], [2, object()]], column_names=["a", "b"])
    with pytest.raises(DatabaseError):
        client.insert("no_such_table", [[1]], column_names=["a"], column_type_names=["UInt8"])
    assert client.command("SELECT 1") == 1


def test_external_data_join_a_query(server, tmp_path):
    file = tmp_path / "movies.csv"
    file.write_text("movie,year\nAlien,1979\nHeat,1995\n")
    data = ExternalData(file_path=str(file), fmt="CSVWithNames", structure=["movie String", "year UInt16"])
    assert server.client().query(
        "SELECT movie FROM movies WHERE year > {y:UInt16}", {"y": 1980}, external_data=data
    ).first_row == ("Heat",)


def test_form_encoded_queries_and_raw_formats(server):
    client = server.client(form_encode_query_params=True)
    assert client.query("SELECT {a:Int32} + {b:Int32}", parameters={"a": 10, "b": 20}).first_row == (30,)
    assert client.raw_query("SELECT number FROM numbers(2)", fmt="CSVWithNames") == b'"number"\n0\n1\n'


def test_commands_tell_results_from_no_results(server):
    client = server.client()
    assert client.command("SELECT 'one'") == "one"
    assert client.query("SET max_threads = 1").first_item["written_rows"] == 0
    assert client.command("CREATE TABLE IF NOT EXISTS nothing (a Int8) ENGINE = Memory").written_rows == 0
    for name in ("nothing", "system.tables"):
        shown = client.query(f"SHOW CREATE TABLE {name}")
        assert shown.column_names == ("statement",) and shown.first_row[0].startswith("CREATE TABLE ")
    assert client.query("SELECT name FROM system.tables LIMIT 0").column_names in ((), ("name",))


def test_threads_may_share_a_client(server, table):
    client = server.client()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: client.insert(table, [[n, str(n)]], column_names=["a", "b"]), range(40)))
        counts = list(pool.map(lambda _: client.command(f"SELECT count() FROM {table}"), range(40)))
    assert set(counts) == {40}


def test_the_asynchronous_client_runs_queries_side_by_side(server):
    pytest.importorskip("aiohttp")

    async def run() -> list[int]:
        async with await clickhouse_connect.get_async_client(
            host="127.0.0.1", port=server.port, autogenerate_session_id=False
        ) as client:
            results = await asyncio.gather(*(client.query(f"SELECT {n}, sleep(0.1)") for n in range(20)))
            stream = await client.query_rows_stream(
                "SELECT number FROM numbers(100000)", settings={"max_block_size": 1000}
            )
            async with stream:
                async for _row in stream:
                    break
            return [result.first_row[0] for result in results]

    assert asyncio.run(run()) == list(range(20))


def test_the_sqlalchemy_dialect_reads_and_writes(server):
    engine = sqlalchemy.create_engine(f"clickhousedb://default:@127.0.0.1:{server.port}/default")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS dialect"))
        connection.execute(sqlalchemy.text("CREATE TABLE dialect (a UInt8, b String) ENGINE = MergeTree ORDER BY a"))
        connection.execute(sqlalchemy.text("INSERT INTO dialect VALUES (1, 'x'), (2, 'y')"))
        table = sqlalchemy.Table("dialect", sqlalchemy.MetaData(), autoload_with=engine)
        chosen = sqlalchemy.select(table.c.b).where(table.c.a > 1)
        assert connection.execute(chosen).scalars().all() == ["y"]
        assert sqlalchemy.inspect(engine).has_table("dialect")
        connection.execute(sqlalchemy.text("DROP TABLE dialect"))


@pytest.fixture(scope="session")
def javascript_client(tmp_path_factory) -> Path:
    """A folder in which node finds @clickhouse/client."""
    required = os.environ.get("CI") == "true"
    if shutil.which("node") is None or shutil.which("npm") is None:
        assert not required, "node and npm are not installed"
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline", JAVASCRIPT_CLIENT]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if installed.returncode:
        assert not required, f"npm cannot install {JAVASCRIPT_CLIENT}: {installed.stderr[-300:]}"
        pytest.skip(f"npm cannot install {JAVASCRIPT_CLIENT}")
    return folder


def test_the_javascript_client_works(server, javascript_client):
    script = javascript_client / "check.js"
    script.write_text((HERE / "javascript_client.js").read_text())
    finished = subprocess.run(
        ["node", str(script), f"http://127.0.0.1:{server.port}"], capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert json.loads(finished.stdout) == {
        "ping": True,
        "rows": [{"a": "1", "b": "x"}, {"a": "2", "b": "y'\n"}],
        "parameter": "y'\n",
        "streamed": 300000,
        "written": "2",
        "error": "47 UNKNOWN_IDENTIFIER",
        "in_stream": "395",
        "session": "3",
        "exec": "1\n",
        "gone": True,
    }
