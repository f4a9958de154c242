"""Reading statements as bytes, and refusing those that reach for files of the server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.guard import refuse_files_of_the_server
from orchestration.warehouse.server.statement import read_statement

REFUSED = [
    "SELECT file('/etc/passwd')",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM /* a */ FiLe -- b\n ('/etc/passwd', 'LineAsString')",
    "SELECT * FROM /* a /* nested */ ' */ file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
    "SELECT * FROM \"fi\\x6ce\"('/etc/passwd', 'LineAsString')",
    "SELECT * FROM `fil\\e`('/etc/passwd', 'LineAsString')",
    "SELECT * FROM file\u00a0('/etc/passwd', 'LineAsString')",
    "WITH x AS (SELECT * FROM file('/etc/passwd', 'LineAsString')) SELECT * FROM x",
    "SELECT (SELECT any(line) FROM (SELECT * FROM file('/etc/passwd', 'LineAsString')))",
    "SELECT 'it''s', $x$ ' $x$, file('/etc/passwd')",
    "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
    "SELECT * APPLY file FROM (SELECT '/etc/passwd')",
    "CREATE VIEW v AS SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "CREATE FUNCTION peek AS (path) -> file(path)",
    "INSERT INTO FUNCTION file('/tmp/x', 'CSV', 'a Int8') SELECT 1",
    "INSERT INTO TABLE FUNCTION file('/tmp/x', 'CSV', 'a Int8') VALUES (1)",
    "DESCRIBE TABLE file('/etc/passwd', 'LineAsString')",
    "DESCRIBE file('/etc/passwd', 'LineAsString')",
    "SELECT 1 INTO OUTFILE '/tmp/x' FORMAT CSV",
    "SELECT 1 INTO /* x */ OUTFILE '/tmp/x' TRUNCATE",
    "SHOW TABLES INTO OUTFILE '/tmp/x'",
    "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV",
    "CREATE TABLE t (a String) ENGINE = File(LineAsString, '/etc/passwd')",
    "CREATE TABLE t (a String) ENGINE File(LineAsString)",
    "CREATE TABLE t (a String) ENGINE = `File`(LineAsString)",
    "CREATE TABLE t (a String) ENGINE = Executable('x', 'TSV')",
    "CREATE TABLE t (a String) ENGINE = URL('file:///etc/passwd', 'LineAsString')",
    "CREATE TABLE t (a String) ENGINE URL(concat('fi', 'le:///etc/passwd'), 'LineAsString')",
    "CREATE TABLE t (a String) ENGINE = URL(some_named_collection)",
    "CREATE TABLE t (a String) ENGINE = EmbeddedRocksDB(0, '/tmp/x') PRIMARY KEY a",
    "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/tmp/')",
    "COPY t TO '/tmp/x'",
    "CREATE DATABASE d ENGINE = Filesystem('/etc')",
    "CREATE DATABASE d ENGINE = SQLite('/tmp/x.db')",
    "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(FILE(path '/etc/x' format 'TSV')) LAYOUT(FLAT()) LIFETIME(0)",
    "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format 'TSV')) LAYOUT(FLAT())",
    "ATTACH TABLE t FROM '/tmp/x' (a Int8) ENGINE = MergeTree ORDER BY a",
    "BACKUP TABLE t TO File('/tmp/backup')",
    "RESTORE TABLE t FROM File('/tmp/backup')",
    "SELECT * FROM executable('x', 'TSV', 'a String')",
    "SELECT * FROM sqlite('/tmp/x.db', 't')",
    "SELECT * FROM filesystem('/etc')",
    "SELECT * FROM python('x')",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '/etc/passwd'",
    "SELECT * FROM loop(file('/etc/passwd', 'LineAsString'))",
    "SELECT * FROM remote('127.0.0.1', file('/etc/passwd', 'LineAsString'))",
]
REFUSED_BY_THE_ENGINE = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM `/etc/passwd`",
    "SELECT * FROM default.`/etc/passwd`",
    "SELECT * FROM url('file:///etc/passwd', 'LineAsString')",
    "SELECT * FROM url(concat('fi', 'le:///etc/passwd'), 'LineAsString')",
    "SELECT * FROM merge('default', 'passwd')",
    "SYSTEM SHUTDOWN",
]
ALLOWED = [
    "SELECT 'file(', \"x\" FROM (SELECT 1 AS x) -- file('/etc/passwd')",
    "SELECT /* file('/etc/passwd') */ 1, $$ INTO OUTFILE 'x' $$",
    "SELECT file FROM (SELECT 1 AS file)",
    "SELECT 'a\\' INTO OUTFILE ' AS b, 'INTO', 'OUTFILE'",
    "CREATE TABLE IF NOT EXISTS file (a Int8) ENGINE = Memory",
    "INSERT INTO file (a) VALUES (1)",
    "INSERT INTO default.file (a) VALUES (1)",
    "DROP TABLE file",
    "CREATE OR REPLACE TABLE remote_rows (a Int8) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
    "CREATE OR REPLACE TABLE keys (a Int8) ENGINE = EmbeddedRocksDB PRIMARY KEY a",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_files_of_the_server_are_refused(server, sql):
    with pytest.raises(ServerError) as refusal:
        refuse_files_of_the_server(read_statement(sql.encode()))
    assert refusal.value.code == 497
    assert server.ask(sql).code == 497


@pytest.mark.parametrize("sql", REFUSED_BY_THE_ENGINE)
def test_ways_around_the_words_are_closed_in_the_engine(server, sql):
    answer = server.ask(sql)
    assert answer.code in (36, 60, 497, 636) and "root:" not in answer.text, answer.text


def test_innocent_statements_pass(server):
    for sql in ALLOWED:
        answer = server.ask(sql)
        assert answer.status == 200, answer.text


def test_settings_that_name_files_are_refused_in_the_url_and_in_external_tables(server):
    assert server.ask("SELECT 1 FORMAT Template", format_template_resultset="/etc/passwd").code == 497
    assert server.ask("SELECT 1", **{"max_threads = 1, format_schema": "x"}).code == 115
    body = b'--b\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    structure = "a String DEFAULT file('/etc/passwd')"
    assert server.ask(body, headers=headers, query="SELECT * FROM t", t_structure=structure).code == 497
    injected = "a String) ENGINE = Memory; DROP TABLE x; --"
    assert server.ask(body, headers=headers, query="SELECT * FROM t", t_structure=injected).code in (36, 62)


def test_data_begin_where_clickhouse_lets_them_begin():
    for head, data in (
        (b"INSERT INTO t FORMAT Native\n", b"\x0b\x0a\x0b\x0a"),
        (b"INSERT INTO t FORMAT CSV\r\n", b"\n1"),
        (b"insert into t (a, `format`) format TSV \t\n", b" 1"),
        (b"INSERT INTO t FORMAT CSV ", b"1,2"),
        (b"INSERT INTO t VALUES", b" (1, 'x'); SELECT"),
        (b"INSERT INTO values (values) VALUES", b"(1)"),
        (b"/* FORMAT x */ INSERT INTO FUNCTION remote('h', 'VALUES') SETTINGS a = 1 FORMAT RowBinary\n", b"'"),
        (b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV\n", b"1"),
    ):
        statement = read_statement(head + data)
        assert statement.data_start == len(head), head
    for sql in (b"INSERT INTO t SELECT 1 FORMAT CSV", b"SELECT 1 FORMAT CSV", b"INSERT INTO t SELECT 'x' AS values"):
        assert read_statement(sql).data_start is None


def test_the_format_clause_is_found_only_at_the_end():
    for sql, name in (
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 1 FORMAT JSON ;; -- end", "JSON"),
        (b"SELECT format FROM t", None),
        (b"SELECT 1 FORMAT CSV SETTINGS a = 1", "CSV"),
        (b"SELECT 'FORMAT CSV'", None),
        (b"SELECT 1 -- FORMAT CSV", None),
    ):
        assert read_statement(sql).format_name == name


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_a_syntax_error(data):
    try:
        statement = read_statement(data)
    except ServerError as error:
        assert error.code == 62
    else:
        assert data.startswith(statement.text)
        refused = False
        try:
            refuse_files_of_the_server(statement)
        except ServerError:
            refused = True
        assert refused in (True, False)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 // '\n INTO OUTFILE '/tmp/not-written' //'\n",
        "SELECT * FROM // '\nfile('/etc/passwd', 'LineAsString') //'",
        "SELECT * FROM // `\nfile('/etc/passwd', 'LineAsString') //`",
    ],
)
def test_a_comment_with_two_slashes_hides_nothing(server, sql):
    assert server.ask(sql).code == 497


def test_two_slashes_begin_a_comment_only_outside_of_strings(server):
    assert server.ask("SELECT 1 // one\n + 1").text == "2\n"
    assert server.ask("SELECT 'http://x' // ; DROP TABLE y").text == "http://x\n"


def test_an_insert_behind_with_is_an_insert(server, table):
    for statement in (
        f"WITH 5 AS x INSERT INTO {table} SELECT x, 'select'",
        f"WITH (SELECT 6) AS x INSERT INTO {table} SELECT x, 'scalar'",
        f"WITH t AS (SELECT 7 AS a) INSERT INTO {table} SELECT a, 'table' FROM t",
        f"WITH 5 AS x INSERT INTO {table} VALUES (8, 'values')",
        f"WITH 5 AS x INSERT INTO {table} FORMAT CSV\n9,csv;\n",
    ):
        answer = server.ask(statement)
        assert (answer.status, answer.summary["written_rows"]) == (200, 1), answer.text
        assert "X-ClickHouse-Format" not in answer.headers
        assert server.ask(method="GET", query=statement).code == 164
    rows = "5\tselect\n6\tscalar\n7\ttable\n8\tvalues\n9\tcsv;\n"
    assert server.ask(f"SELECT * FROM {table} ORDER BY a").text == rows


@pytest.mark.parametrize(
    "sql",
    [
        "WITH 13 AS insert SELECT insert",
        "WITH insert AS (SELECT 13 AS n) SELECT n FROM insert",
        "WITH 1 AS x, 12 AS insert SELECT x + insert",
        "WITH 13 AS x SELECT x insert",
    ],
)
def test_a_name_that_reads_insert_is_a_name(server, sql):
    assert server.ask(sql).text == "13\n"
