"""The HTTP interface as curl and other plain clients use it: requests in, headers, statuses and bodies out."""

import bz2
import concurrent.futures
import gzip
import http.client
import json
import lzma
import shutil
import socket
import subprocess
import time
import zlib
from pathlib import Path

import brotli
import lz4.frame
import pytest
import zstandard
from embedded_server import PATIENCE_SECONDS, READER, READER_PASSWORD, ask_on, wait_until

DECODERS = {
    "gzip": gzip.decompress,
    "xz": lzma.decompress,
    "bz2": bz2.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "lz4": lz4.frame.decompress,
}
ENCODERS = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}


def post_multipart(server, parts: list[tuple[str, str | None, bytes]], headers=None, **parameters):
    boundary = "-----boundary-of-the-test"
    body = b""
    for name, file_name, content in parts:
        file_clause = f'; filename="{file_name}"' if file_name else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file_clause}\r\n\r\n'.encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return server.ask(body, headers=content_type | (headers or {}), **parameters)


def test_health_checks_answer_without_a_query(server):
    for path in ("/ping", "/replicas_status", "/"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
        for method in ("GET", "HEAD"):
            connection.request(method, path)
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"Ok.\n" if method == "GET" else b"")
        connection.close()


def test_other_paths_and_methods_are_refused_and_options_answered(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/", 405), ("OPTIONS", "/", 204)):
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_rows_by_get_and_by_post(server):
    address = f"http://127.0.0.1:{server.port}/"
    by_post = subprocess.run(["curl", "-sS", address, "-d", "SELECT 1, 'x'"], capture_output=True, check=True)
    by_get = subprocess.run(
        ["curl", "-sSG", address, "--data-urlencode", "query=SELECT 1, 'x'"], capture_output=True, check=True
    )
    assert by_post.stdout == by_get.stdout == b"1\tx\n"


def test_the_statement_may_be_split_between_url_and_body(server):
    assert server.ask("FROM numbers(3)", query="SELECT sum(number)").text == "3\n"
    assert (
        server.ask(b"query=SELECT+1%2B1", headers={"Content-Type": "application/x-www-form-urlencoded"}).text == "2\n"
    )


def test_the_format_comes_from_the_clause_or_the_header_or_the_parameter(server):
    assert server.ask("SELECT 1 FORMAT CSV", default_format="JSON").headers["X-ClickHouse-Format"] == "CSV"
    assert server.ask("SELECT 1", default_format="JSONEachRow").text == '{"1":1}\n'
    by_header = server.ask("SELECT 1", headers={"X-ClickHouse-Format": "JSONCompactEachRow"})
    assert (by_header.text, by_header.headers["X-ClickHouse-Format"]) == ("[1]\n", "JSONCompactEachRow")
    assert server.ask("SELECT 1").headers["X-ClickHouse-Format"] == "TabSeparated"


def test_the_format_header_tells_no_rows_from_no_result(server):
    assert server.ask("SELECT 1 WHERE 0").headers["X-ClickHouse-Format"] == "TabSeparated"
    assert "X-ClickHouse-Format" not in server.ask("SET max_threads = 1").headers
    assert (
        "X-ClickHouse-Format" not in server.ask("CREATE TABLE IF NOT EXISTS nothing (a Int8) ENGINE = Memory").headers
    )


@pytest.mark.parametrize(
    "output_format", ["JSON", "CSVWithNames", "Arrow", "ArrowStream", "Parquet", "Pretty", "Native", "XML"]
)
def test_a_format_gives_the_same_bytes_in_pieces_as_at_once(server, output_format):
    sql = f"SELECT number, toString(number) AS text FROM numbers(200000) FORMAT {output_format}"
    settings = {"output_format_write_statistics": 0, "max_threads": 1, "output_format_parquet_parallel_encoding": 0}
    streamed = server.ask(sql, **settings)
    complete = server.ask(sql, wait_end_of_query=1, **settings)
    assert streamed.status == 200 and streamed.body == complete.body and len(streamed.body) > 1000


def test_parameters_are_substituted_by_the_engine(server):
    answer = server.ask(
        "SELECT {text:String}, {list:Array(UInt8)}, {none:Nullable(String)} IS NULL, {table:Identifier}.number"
        " FROM numbers(1) AS t",
        param_text="it's \\t tab",
        param_list="[1,2]",
        param_none="\\N",
        param_table="t",
    )
    assert answer.text == "it\\'s \\t tab\t[1,2]\t1\t0\n"
    assert server.ask("SELECT {missing:UInt8}").code == 456


def test_query_and_parameters_may_come_as_multipart_form(server):
    large = b"x" * 100_000
    answer = post_multipart(server, [("query", None, b"SELECT length({text:String})"), ("param_text", None, large)])
    assert answer.text == "100000\n"


def test_external_data_are_tables_of_that_request_only(server):
    parts = [("names", "names.csv", b"1,one\n2,two\n"), ("keys", "keys.tsv", b"2\n3\n")]
    description = {"names_format": "CSV", "names_structure": "id UInt8, name String", "keys_types": "UInt8"}
    sql = "SELECT name FROM names WHERE id IN (SELECT _1 FROM keys) AND id > {low:UInt8}"
    answer = post_multipart(server, [*parts, ("param_low", None, b"0")], query=sql, **description)
    assert answer.text == "two\n", answer.text
    assert server.ask("SELECT * FROM names").code == 60
    copied = post_multipart(
        server, parts, query="CREATE OR REPLACE TABLE copied ENGINE = Memory AS SELECT * FROM names", **description
    )
    assert copied.status == 200 and server.ask("SELECT count() FROM copied").text == "2\n"


def test_who_may_only_read_brings_external_data_along_all_the_same(server, table):
    assert server.ask("CREATE USER IF NOT EXISTS nobody_yet").status == 200
    parts, sql = [("names", "names", b"1\tone\n")], "SELECT name, currentRoles() FROM names"
    reader = {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD}
    nobody = {"X-ClickHouse-User": "nobody_yet", "X-ClickHouse-Key": ""}
    structure = {"names_structure": "id UInt8, name String"}
    for who, roles in (
        (reader, "['warehouse_reader']"),
        (nobody, "[]"),
        ({}, "['warehouse_loader','warehouse_owner','warehouse_reader']"),
    ):
        for options in ({}, {"readonly": 1}, {"readonly": 2}, {"session_id": "brings"}):
            answer = post_multipart(server, parts, query=sql, headers=who, **structure, **options)
            assert answer.text == f"one\t{roles}\n", options
        assert server.ask("SELECT * FROM names", headers=who, session_id="brings").code == 60
    query = f"SELECT * FROM names JOIN {table} ON a = id"
    assert post_multipart(server, parts, query=query, headers=reader, **structure).code == 497
    for escape in (
        f"id UInt8, name String) AS SELECT a, b FROM {table} --",
        f"id UInt8, name String) ENGINE = Merge(currentDatabase(), '{table}') --",
        "id UInt8, name String) ENGINE = Memory AS (SELECT 1, 'x'",
    ):
        refused = post_multipart(server, parts, query="SELECT 1", headers=reader, names_structure=escape)
        assert refused.code == 36, refused.text
    assert server.ask("DROP USER nobody_yet").status == 200


def test_statements_and_data_are_bytes_not_text(server, table):
    assert server.ask(b"SELECT hex('\xff\xfe')").text == "FFFE\n"
    # Eleven columns, ten rows: the data begin with what looks like two blanks.
    columns = ", ".join(f"c{place} UInt8" for place in range(11))
    server.ask("DROP TABLE IF EXISTS blanks")
    server.ask(f"CREATE TABLE blanks ({columns}) ENGINE = Memory")
    native = server.ask(
        "SELECT * FROM (SELECT "
        + ", ".join(f"toUInt8(number + {p}) AS c{p}" for p in range(11))
        + " FROM numbers(10)) FORMAT Native"
    ).body
    assert native.startswith(b"\x0b\x0a")
    assert server.ask(b"INSERT INTO blanks FORMAT Native\n" + native).summary["written_rows"] == 10
    assert server.ask(native, query="INSERT INTO blanks FORMAT Native").summary["written_rows"] == 10
    tricky = b"1\t; DROP TABLE subject -- ' INTO OUTFILE `\n"
    assert server.ask(tricky, query=f"INSERT INTO {table} FORMAT TSV").status == 200
    assert server.ask(f"SELECT b FROM {table}").text.startswith("; DROP TABLE subject")


@pytest.mark.parametrize("encoding", sorted(ENCODERS))
def test_bodies_may_be_compressed_in_both_directions(server, table, encoding):
    data = ENCODERS[encoding](
        f"INSERT INTO {table} FORMAT CSV\n".encode() + b"".join(b"%d,x\n" % n for n in range(1000))
    )
    assert server.ask(data, headers={"Content-Encoding": encoding}).summary["written_rows"] == 1000
    answer = server.ask(
        f"SELECT * FROM {table} ORDER BY a FORMAT CSV", headers={"Accept-Encoding": encoding}, enable_http_compression=1
    )
    assert answer.headers["Content-Encoding"] == encoding
    assert DECODERS[encoding](answer.body).count(b"\n") == 1000
    error = server.ask("SELECT nope", headers={"Accept-Encoding": encoding}, enable_http_compression=1)
    assert b"UNKNOWN_IDENTIFIER" in DECODERS[encoding](error.body)
    by_default = server.ask("SELECT 1", headers={"Accept-Encoding": encoding})
    assert (by_default.headers["Content-Encoding"], DECODERS[encoding](by_default.body)) == (encoding, b"1\n")
    off = server.ask("SELECT 1", headers={"Accept-Encoding": encoding}, enable_http_compression=0)
    assert "Content-Encoding" not in off.headers and "Content-Encoding" not in server.ask("SELECT 1").headers


def test_a_body_that_cannot_be_decoded_leaves_the_connection_usable(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    for encoding in ENCODERS:
        broken = ask_on(
            connection, b"INTERNAL EXCEPTION WHILE SERIALIZING" * 10, headers={"Content-Encoding": encoding}
        )
        assert broken.code > 0 and "Cannot decompress" in broken.text
        cut = ask_on(connection, ENCODERS[encoding](b"SELECT 1" * 1000)[:-5], headers={"Content-Encoding": encoding})
        assert cut.code > 0
        assert ask_on(connection, "SELECT 1").text == "1\n"
    assert ask_on(connection, b"x", headers={"Content-Encoding": "unknown"}).code == 89
    connection.close()


def test_an_insert_may_take_its_data_apart_with_input(server, table):
    answer = server.ask(
        f"INSERT INTO {table} SELECT x * 2, upper(y) FROM input('x UInt64, y String') WHERE x > 1"
        " FORMAT CSV\n1,a\n2,b\n3,c\n"
    )
    assert answer.status == 200, answer.text
    assert answer.summary["written_rows"] == 2
    assert server.ask(f"SELECT * FROM {table} ORDER BY a").text == "4\tB\n6\tC\n"


@pytest.mark.parametrize(
    ("statement", "data", "rows"),
    [
        ("INTO inputs SELECT *, 'c' AS extra FROM input('auto')", "1,x", "1\tx\tc"),
        ("INTO inputs SELECT * FROM input()", "1,x,y", "1\tx\ty"),
        ("INTO TABLE default.inputs (extra, a) SELECT *, plus(1, 1) FROM input('auto')", "x", "2\t\tx"),
        (
            "INTO inputs (extra, b) SELECT upper('z'), word FROM input('auto') WHERE word != 'no'",
            "yes\nno",
            "0\tyes\tZ",
        ),
        ("INTO inputs SELECT a + 1, b, c FROM (SELECT a, 'b' AS b, c FROM input('auto'))", "1,z", "2\tb\tz"),
        ("INTO inputs SELECT one AS a, toString(2), '' FROM input('one UInt8')", "1", "1\t2\t"),
    ],
)
def test_an_input_may_take_its_structure_from_the_table(server, statement, data, rows):
    server.ask(
        "CREATE OR REPLACE TABLE inputs (a UInt64, b String, extra String, m UInt8 MATERIALIZED 1) ENGINE = Memory"
    )
    answer = server.ask(f"INSERT {statement} FORMAT CSV\n{data}\n")
    assert answer.status == 200, answer.text
    assert server.ask("SELECT * FROM inputs").text == f"{rows}\n"


def test_an_input_whose_structure_does_not_follow_needs_one(server, table):
    for sql in (
        f"INTO {table} SELECT upper(x), y FROM input('auto')",
        f"INTO {table} SELECT *, 1, 2, 3 FROM input('auto')",
    ):
        assert server.ask(f"INSERT {sql} FORMAT CSV\n1,2\n").code == 636
    assert server.ask("INSERT INTO nowhere SELECT * FROM input('auto') FORMAT CSV\n1,2\n").code == 60


def test_a_large_insert_is_complete_and_counted(server, table):
    data = b"".join(b"%d,value of %d\n" % (n, n) for n in range(400_000))
    answer = server.ask(data, query=f"INSERT INTO {table} (b, a) SETTINGS max_insert_threads = 1 FORMAT CSV")
    assert answer.code in (6, 27, 117)  # the columns are swapped: nothing may have been written, nor a path been shown
    assert str(server.home) not in answer.text and "bodies" not in answer.text
    answer = server.ask(data, query=f"INSERT INTO {table} (a, b) SETTINGS max_insert_threads = 1 FORMAT CSV")
    assert (answer.summary["written_rows"], answer.summary["read_rows"]) == (400_000, 400_000)
    assert server.ask(f"SELECT count(), sum(a) FROM {table}").text == f"400000\t{sum(range(400_000))}\n"
    assert not list((server.home / "warehouse" / "bodies").iterdir())


def test_a_body_without_a_statement_is_refused_however_large(server):
    assert server.ask(b"PAR1" + bytes(range(256)) * 20_000).code == 62
    assert server.ask(b"SELECT " + b"1," * (10 << 20)).code == 229
    assert (
        server.ask("SELECT 1 IN (" + ",".join(map(str, range(100_000))) + ")", max_query_size=10_000_000).text == "1\n"
    )


def test_summaries_hold_the_real_numbers(server, table):
    inserted = server.ask(f"INSERT INTO {table} VALUES (1, 'a'), (1 + 1, lower('B'))").summary
    assert (inserted["written_rows"], inserted["read_rows"]) == (2, 2)
    copied = server.ask(f"INSERT INTO {table} SELECT number, '' FROM numbers(100)").summary
    assert (copied["written_rows"], copied["read_rows"]) == (100, 100)
    read = server.ask(f"SELECT a FROM {table} WHERE a % 10 = 1 AND b != 'x'", wait_end_of_query=1).summary
    assert (read["read_rows"], read["result_rows"]) == (102, 11) and read["elapsed_ns"] > 0


def test_a_get_request_cannot_write(server, table):
    for statement in (
        f"INSERT INTO {table} VALUES (1, 'a')",
        f"DROP TABLE {table}",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
    ):
        answer = server.ask(method="GET", query=statement)
        assert (answer.code, answer.status) == (164, 500)
        assert server.ask(method="GET", query=statement, session_id="get-only").code == 164
    assert server.ask(method="GET", query=f"SELECT count() FROM {table}").text == "0\n"
    assert server.ask(f"INSERT INTO {table} VALUES (1, 'a')", session_id="get-only").status == 200
    assert server.ask(f"INSERT INTO {table} VALUES (1, 'a')", readonly=1).code == 164


def test_errors_carry_code_name_and_the_status_of_clickhouse(server):
    for statement, code, status in (
        ("SELECT nope", 47, 404),
        ("SELEC 1", 62, 400),
        ("SELECT * FROM nope", 60, 404),
        ("SELECT nope()", 46, 404),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT 1 FORMAT Nope", 73, 404),
        ("USE nope", 81, 404),
        ("", 62, 400),
        ("SELECT toUInt8('x')", 6, 400),
        ("SELECT 'open", 62, 400),
        ("1 + 1", 62, 400),
    ):
        answer = server.ask(statement)
        assert (answer.code, answer.status) == (code, status), answer.text
        assert answer.text.startswith(f"Code: {code}. DB::Exception: ") and "(version " in answer.text
    assert server.ask("SELECT 1", no_such_setting=1).code == 115
    assert server.ask("SELECT 1", database="no_such_database").code == 81


def test_several_statements_in_one_request_are_refused(server, table):
    answer = server.ask(f"SELECT 1; DROP TABLE {table}")
    assert answer.code == 62 and "Multi-statements are not allowed" in answer.text
    assert server.ask(f"CREATE TABLE y (a Int8) ENGINE = Memory; DROP TABLE {table}").code == 62
    assert server.ask(f"SELECT count() FROM {table};").text == "0\n"
    assert server.ask("SELECT ';', 1 -- ; nothing").text == ";\t1\n"


def test_an_error_behind_rows_ends_the_body_with_the_tagged_block(server):
    sql = "SELECT sleepEachRow(0.01), throwIf(number = 60) FROM numbers(200)"
    for encoding in (None, "gzip"):
        headers = {"Accept-Encoding": encoding} if encoding else {}
        answer = server.ask(sql, headers=headers, max_block_size=1, enable_http_compression=1)
        assert answer.status == 200
        body = DECODERS[encoding](answer.body) if encoding else answer.body
        tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
        assert body.startswith(b"0\t0\n") and len(tag) == 16
        _, _, block = body.partition(b"\r\n__exception__\r\n")
        named, _, rest = block.partition(b"\r\n")
        message, _, length = rest.removesuffix(b" " + tag + b"\r\n__exception__\r\n").rpartition(b"\n")
        assert named == tag and message.startswith(b"Code: 395. DB::Exception: ") and int(length) == len(message) + 1
    complete = server.ask(sql, max_block_size=1, wait_end_of_query=1)
    assert (complete.status, complete.code, complete.is_cut) == (500, 395, False)


def test_rows_before_an_error_are_never_taken_for_all_rows(server):
    sql = "SELECT number, throwIf(number = 300000) FROM numbers(400000) FORMAT "
    for row_format in ("TSV", "CSVWithNames", "JSON", "JSONEachRow", "RowBinary", "Native", "Parquet"):
        for parameters in ({}, {"headers": {"Accept-Encoding": "zstd"}}, {"compress": 1}):
            answer = server.ask(sql + row_format, **parameters)
            assert answer.status == 500 or answer.is_cut, row_format
    in_format = {"http_write_exception_in_output_format": 1, "headers": {"Accept-Encoding": "gzip"}}
    said = server.ask(sql + "JSONEachRow", **in_format)
    assert not said.is_cut and b'"exception": "Code: 395.' in gzip.decompress(said.body)
    assert server.ask(sql.replace("= 300000", "> 400000") + "TSV").is_cut is False


def test_nothing_leaks_from_one_request_to_the_next(server):
    server.ask("CREATE DATABASE IF NOT EXISTS elsewhere")
    server.ask("USE elsewhere")
    server.ask("SET max_threads = 7")
    server.ask("CREATE TEMPORARY TABLE brief (a Int8)")
    server.ask("SELECT throwIf(1)", max_block_size=77, database="elsewhere")
    assert server.ask("SELECT currentDatabase()").text == "default\n"
    assert server.ask("SELECT currentDatabase()", database="elsewhere").text == "elsewhere\n"
    assert server.ask("SELECT currentDatabase()", headers={"X-ClickHouse-Database": "elsewhere"}).text == "elsewhere\n"
    assert (
        server.ask("SELECT name FROM system.settings WHERE changed AND name IN ('max_threads', 'max_block_size')").text
        == ""
    )
    assert server.ask("SELECT * FROM brief").code == 60


def test_a_session_keeps_its_state_and_gives_back_what_a_request_borrowed(server):
    def ask(sql, **parameters):
        return server.ask(sql, session_id="keeps", **parameters).text

    server.ask("CREATE DATABASE IF NOT EXISTS elsewhere")
    assert ask("CREATE TEMPORARY TABLE brief (a Int8)") == ""
    assert ask("INSERT INTO brief VALUES (1), (2)") == ""
    assert ask("SELECT sum(a) FROM brief") == "3\n"
    assert ask("SET max_threads = 3, session_timezone = 'Asia/Tokyo'") == ""
    assert ask("USE elsewhere") == ""
    setting = "SELECT getSetting('max_threads'), getSetting('max_block_size') = 5, currentDatabase(), timezone()"
    assert ask(setting, max_threads=1, max_block_size=5, database="default") == "1\t1\tdefault\tAsia/Tokyo\n"
    assert ask(setting) == "3\t0\telsewhere\tAsia/Tokyo\n"
    assert ask("INSERT INTO brief VALUES (1)", readonly=1).startswith("Code: 164")
    assert ask("INSERT INTO brief VALUES (1)") == ""
    zone = server.ask("SELECT 1", session_id="keeps").headers["X-ClickHouse-Timezone"]
    assert zone == "Asia/Tokyo" and server.ask("SELECT 1").headers["X-ClickHouse-Timezone"] == "UTC"


def test_what_a_request_borrowed_of_a_session_does_not_reach_the_next_one(server):
    def ask(sql, **parameters):
        return server.ask(sql, session_id="borrows", **parameters).text

    server.ask("CREATE DATABASE IF NOT EXISTS elsewhere")
    state = "SELECT getSetting('max_threads') = 7, getSetting('max_block_size') = 5, currentDatabase()"
    assert ask(state, max_threads=7, max_block_size=5, database="elsewhere") == "1\t1\telsewhere\n"
    assert ask(state, max_threads=7, max_block_size=5, database="elsewhere") == "1\t1\telsewhere\n"
    assert ask(state, max_threads=6, max_block_size=5, database="elsewhere") == "0\t1\telsewhere\n"
    assert ask(state, max_threads=7, max_block_size=5) == "1\t1\tdefault\n"
    assert ask(state, max_block_size=5) == "0\t1\tdefault\n"
    assert ask(state, database="elsewhere") == "0\t0\telsewhere\n"
    # What the server asks of the session is not answered under settings of the request before.
    assert ask("SELECT 1", offset=1, database="elsewhere") == ""
    assert ask(state, max_threads=7) == "1\t0\tdefault\n"
    assert server.ask("SELECT 1", session_id="borrows", no_such_setting=1).code == 115
    assert ask(state) == "0\t0\tdefault\n"
    # A SET of the session holds, and comes back behind a request that had another value.
    assert ask(state, max_threads=3, max_block_size=5, database="elsewhere") == "0\t1\telsewhere\n"
    assert ask("SET max_threads = 7", max_threads=3, max_block_size=5, database="elsewhere") == ""
    assert ask(state) == "1\t0\tdefault\n"
    assert ask(state, max_threads=3) == "0\t0\tdefault\n"
    assert ask("USE elsewhere", max_threads=3, database="default") == ""
    assert ask(state) == "1\t0\telsewhere\n"


def test_a_request_with_a_role_gives_the_session_its_own_back_in_spite_of_the_settings_before(server):
    roles = "SELECT arrayStringConcat(arraySort(currentRoles()), ',')"
    own = server.ask(roles, session_id="has-roles").text
    assert own.strip()
    assert server.ask("SELECT 1", session_id="has-roles", offset=1).text == ""
    assert server.ask(roles, session_id="has-roles", role="warehouse_reader").text == "warehouse_reader\n"
    assert server.ask(roles, session_id="has-roles").text == own


def test_a_session_refuses_a_second_query_while_one_runs(server):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(server.ask, "SELECT sleep(2), 'holds the session'", session_id="busy")
        wait_until(lambda: server.running("holds the session"), "the first query to run")
        assert server.ask("SELECT 1", session_id="busy").code == 373
        assert first.result().status == 200
    assert server.ask("SELECT 1", session_id="busy").text == "1\n"


def test_a_session_expires_and_can_be_required(server):
    assert server.ask("SELECT 1", session_id="unknown", session_check=1).code == 372
    server.ask("CREATE TEMPORARY TABLE brief (a Int8)", session_id="short", session_timeout=1)
    time.sleep(1.5)
    assert server.ask("SELECT 1", session_id="short", session_check=1).code == 372
    assert server.ask("SELECT 1", session_id="short", session_timeout="x").code == 374
    assert server.ask("SELECT 1", session_id="short", session_timeout=1_000_000).code == 374


def test_a_session_keeps_the_timeout_that_it_was_made_with(server):
    server.ask("SELECT 1", session_id="brief", session_timeout=1)
    server.ask("SELECT 1", session_id="brief", session_timeout=60)
    server.ask("SELECT 1", session_id="lasting", session_timeout=60)
    server.ask("SELECT 1", session_id="lasting", session_timeout=1)
    assert server.ask("SELECT 1", session_id="lasting", session_timeout="x").code == 374
    time.sleep(1.5)
    assert server.ask("SELECT 1", session_id="brief", session_check=1).code == 372
    assert server.ask("SELECT 1", session_id="lasting", session_check=1).text == "1\n"


def test_a_session_needs_a_name(server):
    assert server.ask("SELECT 1", session_id="").code == 744


def test_the_query_id_is_echoed_logged_and_can_be_killed(server):
    assert server.ask("SELECT 1").headers["X-ClickHouse-Query-Id"]
    assert server.ask("SELECT 1", query_id="my 'own' id").headers["X-ClickHouse-Query-Id"] == "my 'own' id"
    server.ask("SYSTEM FLUSH LOGS")
    logged = server.ask(
        "SELECT type, query FROM system.query_log WHERE query_id = {id:String}", param_id="my \\'own\\' id"
    )
    assert logged.text == "QueryStart\tSELECT 1\nQueryFinish\tSELECT 1\n"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        victim = pool.submit(
            server.ask,
            "SELECT sleepEachRow(1) FROM numbers(50) SETTINGS max_block_size = 1 FORMAT JSON",
            query_id="victim",
        )
        wait_until(lambda: server.running("numbers(50)"), "the query to run")
        killed = server.ask("KILL QUERY WHERE query_id = 'victim' SYNC FORMAT JSONEachRow")
        assert json.loads(killed.text) == {
            "kill_status": "finished",
            "query_id": "victim",
            "user": "default",
            "query": "SELECT sleepEachRow(1) FROM numbers(50) SETTINGS max_block_size = 1 FORMAT JSON",
        }
        assert "QUERY_WAS_CANCELLED" in victim.result().text


def test_a_kill_of_nothing_has_a_result_in_any_format_and_session(server):
    assert server.ask("KILL QUERY WHERE query_id = 'nobody'").text == ""
    server.ask("SET output_format = 'CSVWithNames'", session_id="kills")
    killed = server.ask("KILL QUERY WHERE query_id = {id:String} -- nobody", session_id="kills", param_id="nobody")
    assert killed.text == '"kill_status","query_id","user","query"\n'
    assert server.ask("KILL QUERY WHERE nope = 1 TEST").code == 47
    by_setting = "KILL QUERY WHERE Settings['log_comment'] = 'nobody' SYNC"
    assert [server.ask(by_setting + end).status for end in ("", " SETTINGS max_threads = 1 FORMAT TSV")] == [200, 200]
    assert server.ask("KILL MUTATION WHERE 0").status == 200


def test_a_client_that_goes_away_ends_its_query(server, table):
    reading = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(rand(), 'a read') SETTINGS max_threads = 1"
    writing = f"INSERT INTO {table} SELECT number, 'a write' FROM numbers(1000000000000) WHERE rand64() = 7"
    streaming = "SELECT number, 'a stream' FROM numbers(1000000000000) FORMAT JSONEachRow"
    piping = "SELECT number, 'a pipe' FROM numbers(1000000000000) FORMAT CSVWithNames"
    for sql, mark in ((reading, "a read"), (writing, "a write"), (streaming, "a stream"), (piping, "a pipe")):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sql)}\r\n\r\n{sql}".encode())
        wait_until(lambda mark=mark: server.running(mark), f"{mark} to start")
        connection.close()
        wait_until(lambda mark=mark: not server.running(mark), f"{mark} to end", 20)


def test_large_results_stream_and_do_not_fill_the_memory(server):
    def resident() -> int:
        return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096

    for output_format in ("RowBinary", "CSVWithNames"):
        server.ask(f"SELECT number FROM numbers(1000000) FORMAT {output_format}")
        before = resident()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
        connection.request("POST", "/", f"SELECT number, repeat('x', 100) FROM numbers(8000000) FORMAT {output_format}")
        response = connection.getresponse()
        first = response.read(1000)
        wait_until(lambda: server.running("repeat"), "rows to arrive while the query runs")
        received = len(first)
        while data := response.read(1 << 20):
            received += len(data)
        connection.close()
        assert received > 800_000_000 and resident() - before < 400 << 20


def test_a_block_of_wide_rows_is_sent_in_pieces(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    connection.request("POST", "/?max_block_size=10000", "SELECT repeat('x', 1000) FROM numbers(20000)")
    response = connection.getresponse()
    sizes = []
    while size := int(response.fp.readline(), 16):
        sizes.append(len(response.fp.read(size)))
        response.fp.readline()
    assert sum(sizes) == 20_020_000 and max(sizes) <= 1 << 20
    connection.close()


def test_rows_arrive_while_the_query_runs(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    connection.request(
        "POST", "/", "SELECT number, sleepEachRow(0.2) FROM numbers(15) SETTINGS max_block_size = 1 FORMAT JSONEachRow"
    )
    response = connection.getresponse()
    assert response.read(5) == b'{"num'
    assert server.running("sleepEachRow(0.2)")
    response.read()
    connection.close()


def test_many_clients_are_served_at_once(server):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: server.ask(f"SELECT {number}, sleep(0.1)").text, range(200)))
    assert answers == [f"{number}\t0\n" for number in range(200)]


def test_a_wrong_password_is_refused_whichever_way_it_comes(server):
    for headers, parameters in (
        ({"X-ClickHouse-User": READER, "X-ClickHouse-Key": "wrong"}, {}),
        ({"Authorization": "Basic Ymk6d3Jvbmc="}, {}),
        ({"Authorization": "Basic ???"}, {}),
        ({"Authorization": "Bearer x"}, {}),
        ({}, {"user": READER, "password": "wrong"}),
        ({}, {"user": "nobody"}),
        ({}, {"user": READER}),
    ):
        answer = server.ask("SELECT 1", headers=headers, **parameters)
        assert (answer.code, answer.status) == (516, 403) and "wrong" not in answer.text.replace("incorrect", "")
    for headers in (
        {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD},
        {"Authorization": "Basic Ymk6cmVhZGVycy1vbmx5"},
    ):
        assert server.ask("SELECT 1", headers=headers).text == "1\n"


def test_a_request_may_name_a_database_that_its_user_cannot_read(server, table):
    assert server.ask("CREATE DATABASE IF NOT EXISTS tierhouse_marts").status == 200
    reader = {"headers": {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD}}
    sql = "SELECT currentDatabase()"
    for session in ({}, {"session_id": "names-databases"}):
        for database in ("default", "tierhouse_marts", "system"):
            assert server.ask(sql, **reader, **session, database=database).text == f"{database}\n"
        assert server.ask(sql, **reader, **session).text == "default\n"
        assert server.ask(f"SELECT * FROM {table}", **reader, **session, database="default").code == 497
        assert server.ask("SHOW TABLES", **reader, **session, database="default").text == ""
        assert server.ask(sql, **reader, **session, database="no_such_database").code == 81
        assert server.ask(sql, **reader, **session).text == "default\n"
        assert server.ask("USE default", **reader, **session).code == 497


def test_a_reader_reads_the_marts_and_nothing_else(server, table):
    for statement in (
        "CREATE DATABASE IF NOT EXISTS tierhouse_marts",
        "CREATE OR REPLACE TABLE tierhouse_marts.m ENGINE = MergeTree ORDER BY a AS SELECT 1 AS a",
    ):
        assert server.ask(statement).status == 200
    reader = {"headers": {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD}}
    assert server.ask("SELECT * FROM tierhouse_marts.m", **reader).text == "1\n"
    refused = server.ask(f"SELECT * FROM {table}", **reader)
    assert refused.code == 497 and f"Exception: {READER}: Not enough privileges" in refused.text
    for log in ("query_log", "engine_query_log", "processes"):
        assert server.ask(f"SELECT count() FROM system.{log}", **reader).text == "0\n"
        assert int(server.ask(f"SELECT count() FROM system.{log}").text) > 0
    assert server.ask("SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a Int8')", **reader).code == 497
    for statement in (
        "INSERT INTO tierhouse_marts.m VALUES (2)",
        "DROP TABLE tierhouse_marts.m",
        "SET ROLE warehouse_owner",
        "SET ROLE ALL",
        "SET DEFAULT ROLE ALL TO default",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "KILL QUERY WHERE query_id = currentUser()",
        "KILL QUERY WHERE query_id IN (SELECT '1')",
        "KILL QUERY WHERE Settings['log_comment'] = ''",
        "KILL QUERY WHERE 1 SETTINGS readonly = 0",
        "KILL QUERY WHERE query_id = 'x') OR (1",
        "KILL QUERY WHERE query_id = 'x' AND ('reader' AS user) != ''",
        "KILL QUERY WHERE query_id = 'x' AND ('reader' user) != ''",
        "KILL QUERY WHERE query_id = 'x' AND ('reader' {a:Identifier}) != ''",
        "KILL QUERY WHERE query_id IN ['x']",
        "KILL QUERY WHERE query_id IN (tierhouse_seeds.s)",
        "KILL QUERY WHERE query_id IN {a:Identifier}",
        "KILL QUERY WHERE 1 SYNC) OR (1",
        "KILL MUTATION WHERE 1",
        "SYSTEM FLUSH LOGS",
        "EXECUTE AS default SELECT 1",
        "SET readonly = 0; DROP TABLE tierhouse_marts.m",
    ):
        for session in ({}, {"session_id": "reader"}):
            assert server.ask(statement, **reader, **session).code in (164, 62), statement
    assert server.ask(f"SELECT * FROM {table}", **reader, session_id="reader").code == 497
    assert server.ask(f"SELECT * FROM {table}", **reader, role="warehouse_owner").code == 512
    assert server.ask("SELECT * FROM tierhouse_marts.m", **reader, role="warehouse_reader").text == "1\n"
