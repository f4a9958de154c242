"""What a session's own settings, a statement's own clauses and its data must not be mistaken for."""

import base64
import http.client
import json
import time

import pytest
from embedded_server import Server

from orchestration.warehouse.server.native import rewrite_blocks
from orchestration.warehouse.server.statement import read_statement

NEWER_NATIVE = {"client_protocol_version": "54405", "default_format": "Native"}


def column_types(server: Server, sql: str, **parameters: str) -> list[str]:
    """Types of the answer's columns as a client of Native reads them."""
    return [kind.name for kind in server.client(**parameters).query(sql).column_types]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO subject FORMAT Values (1, 'a'), (2, 'b')",
        "INSERT INTO subject (a, b) SETTINGS async_insert = 0 FORMAT Values (1, 'a'), (2, 'b')",
        "INSERT INTO subject (a, b) FORMAT VALUES\n(1, 'a'), (2, 'b')",
    ],
)
def test_values_is_a_format_like_any_other(server, table, statement):
    assert server.ask(statement).status == 200
    assert server.ask("SELECT * FROM subject ORDER BY a").text == "1\ta\n2\tb\n"


def test_a_table_may_have_the_name_of_a_keyword(server):
    server.ask("CREATE OR REPLACE TABLE format (a UInt8) ENGINE = Memory")
    assert server.ask("INSERT INTO format VALUES (7)").status == 200
    assert server.ask("INSERT INTO default.format FORMAT CSV\n8\n").status == 200
    assert server.ask("SELECT sum(a) FROM format").text == "15\n"
    server.ask("DROP TABLE format")


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("WITH {SELECT:Int32} AS v INSERT INTO subject (b) FORMAT TabSeparated\nvalue;\n", "SELECT"),
        ("WITH {SETTINGS:Int32} AS v INSERT INTO subject (b) FORMAT TSV\nvalue;\n", "SETTINGS"),
        ("INSERT INTO {VALUES:Identifier} (b) VALUES ('value;')", "VALUES"),
        ("INSERT INTO {SELECT:Identifier} (b) FORMAT TSV\nvalue;\n", "SELECT"),
    ],
)
def test_a_parameter_may_have_the_name_of_a_keyword(server, table, statement, name):
    value = table if "Identifier" in statement else "13"
    assert server.ask(statement, **{f"param_{name}": value}).status == 200
    assert server.ask("SELECT b FROM subject").text == "value;\n"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("output_format", "'CSV'", '"CSV"'),
        ("format", "'TSV'", "TSV"),
        ("extremes", "0", "false"),
        ("output_format_tsv_crlf_end_of_line", "1", "true"),
        ("max_query_size", "300", "300"),
        ("max_execution_time", "5", "5"),
        ("max_columns_to_read", "1", "1"),
        ("max_ast_depth", "20", "20"),
        ("session_timezone", "'Asia/Tokyo'", "Asia/Tokyo"),
    ],
)
def test_a_session_with_any_setting_keeps_its_database_and_takes_that_of_a_request(server, name, value, shown):
    session = {"session_id": f"any-{name}"}
    assert server.ask(f"SET {name} = {value}", **session).status == 200
    assert server.ask("SELECT currentDatabase()", **session, database="system").text.strip().strip('"') == "system"
    assert server.ask("SELECT 2 AS two", **session, max_threads="1").text.strip() == "2"
    assert server.ask("SELECT currentDatabase()", **session).text.strip().strip('"') == "default"
    assert server.ask(f"SELECT getSetting('{name}')", **session).text.strip() == shown


def test_a_session_has_its_own_roles_back_whatever_its_settings(server):
    session = {"session_id": "roles"}
    asks = "SELECT arrayStringConcat(arraySort(currentRoles()), ' ') FORMAT TSV"
    both = server.ask(asks, **session).text
    server.ask("SET offset = 0, output_format = 'JSONCompactEachRow'", **session)
    assert "warehouse_owner" not in server.ask(asks, **session, role="warehouse_reader").text
    server.ask("SET output_format = DEFAULT", **session)
    assert server.ask(asks, **session).text == both
    server.ask("SET ROLE warehouse_owner", **session)
    server.ask("SELECT 1", **session, role="warehouse_reader")
    assert server.ask(asks, **session).text == "warehouse_owner\n"


def test_rows_of_a_session_that_skips_or_adds_some_are_those_of_the_client(server):
    server.ask("SET offset = 1", session_id="skips")
    assert server.ask("SELECT number FROM numbers(3)", session_id="skips", database="system").text == "1\n2\n"
    server.ask("SET extremes = 1", session_id="adds")
    assert server.ask("SELECT 1", session_id="adds", max_threads="1").status == 200
    server.ask("SET use_query_cache = 1", session_id="caches")
    assert server.ask("SELECT 1", session_id="caches", database="system").text == "1\n"


def test_a_session_that_is_only_read_stays_usable_and_so(server, table):
    assert server.ask("SET readonly = 1", session_id="reads").status == 200
    assert server.ask("SELECT currentDatabase()", session_id="reads").text == "default\n"
    assert server.ask("INSERT INTO subject VALUES (1, 'a')", session_id="reads").code == 164
    assert server.ask("SET max_threads = 1", session_id="reads").code == 164


def test_a_session_remembers_set_and_use_in_every_spelling(server):
    session = {"session_id": "spellings"}
    server.ask("CREATE DATABASE IF NOT EXISTS `o``d;d`")
    for statement, database in (
        ("USE system", "system"),
        ("USE DATABASE default", "default"),
        ("USE `o``d;d`", "o`d;d"),
        ("USE {name:Identifier}", "system"),
    ):
        assert server.ask(statement, **session, param_name="system").status == 200
        assert server.ask("SELECT currentDatabase()", **session, database="default").text == "default\n"
        assert server.ask("SELECT currentDatabase() FORMAT TSVRaw", **session).text == f"{database}\n"
    server.ask("USE default", **session)
    server.ask("DROP DATABASE `o``d;d`")
    asks = "SELECT getSetting('max_threads'), getSetting('max_block_size'), getSetting('extremes')"
    before = server.ask(asks, **session).text.split()
    server.ask("SET max_threads = 3, max_block_size = 77, extremes", **session)
    borrowed = {"max_threads": "5", "max_block_size": "99", "extremes": "0"}
    assert server.ask(asks, **session, **borrowed).text.split() == ["5", "99", "false"]
    assert server.ask("SELECT 1 SETTINGS extremes = 0", **session).text == "1\n"
    assert server.ask(f"{asks} SETTINGS extremes = 0", **session).text.split()[:2] == ["3", "77"]
    server.ask("SET max_threads = DEFAULT, max_block_size = DEFAULT, extremes = DEFAULT", **session)
    assert server.ask(asks, **session).text.split() == before


def test_a_statement_names_its_own_settings_wherever_they_stand():
    statement = read_statement(
        b"SELECT 1 IN (SELECT 2 SETTINGS a = 1) SETTINGS session_timezone='A/B', c = -1.5 FORMAT CSV"
    )
    assert statement.settings == {"session_timezone": "'A/B'", "c": "-1.5"}
    assert statement.setting("session_timezone") == "A/B"
    assert read_statement(b"SET a = [1, 2], `b` = DEFAULT, c").settings == {"a": "[1, 2]", "b": None, "c": "1"}
    assert read_statement(b"INSERT INTO t SETTINGS a = 'x' FORMAT CSV\n1").settings == {"a": "'x'"}
    assert read_statement(b"SELECT {SETTINGS:String}").settings == {}


def test_the_format_that_a_setting_asks_for_is_the_one_that_the_headers_name(server):
    for answer in (
        server.ask("SELECT 1 AS x FORMAT TSV", output_format="JSONEachRow"),
        server.ask("SELECT 1 AS x", format="JSONEachRow"),
        server.ask("SELECT 1 AS x SETTINGS output_format = 'JSONEachRow' FORMAT CSV"),
    ):
        assert (answer.text, answer.headers["X-ClickHouse-Format"]) == ('{"x":1}\n', "JSONEachRow")
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    assert server.ask("SELECT 1 FORMAT JSONLines").headers["Content-Type"].startswith("application/x-ndjson")


def test_a_format_that_is_none_is_refused_and_not_put_into_headers(server):
    for setting in ("output_format", "format", "default_format"):
        refused = server.ask("SELECT 1", http_write_exception_in_output_format="1", **{setting: "JSON\r\nX-Other: 1"})
        assert refused.code != 0
        assert "X-Other" not in refused.headers


def test_a_session_that_wants_its_rows_in_an_array_gets_one_array(server):
    server.ask("SET output_format_json_array_of_rows = 1", session_id="array")
    answer = server.ask("SELECT number FROM numbers(200000) FORMAT JSONEachRow", session_id="array")
    assert len(json.loads(answer.text)) == 200_000


def test_what_a_session_sets_for_the_interface_counts_for_its_requests(server):
    session = {"session_id": "interface"}
    gzip = {"Accept-Encoding": "gzip", "Origin": "http://elsewhere"}
    assert server.ask("SELECT 1", headers=gzip, **session).headers["Content-Encoding"] == "gzip"
    server.ask("SET enable_http_compression = 0, http_write_exception_in_output_format = 1", **session)
    server.ask("SET add_http_cors_header = 1, http_wait_end_of_query = true, default_format = 'JSONEachRow'", **session)
    answer = server.ask("SELECT 1 AS x", headers=gzip, **session)
    assert (answer.text, answer.headers["X-ClickHouse-Format"]) == ('{"x":1}\n', "JSONEachRow")
    assert "Content-Encoding" not in answer.headers and answer.headers["Access-Control-Allow-Origin"] == "*"
    again = server.ask("SELECT 1", headers=gzip, **session, enable_http_compression=1, default_format="CSV")
    assert (again.headers["Content-Encoding"], again.headers["X-ClickHouse-Format"]) == ("gzip", "CSV")
    late = "SELECT throwIf(number = 9), sleepEachRow(0.02) FROM numbers(15) SETTINGS max_block_size = 1"
    waited = server.ask(late, **session)
    assert waited.status == 500 and json.loads(waited.text)["exception"].startswith("Code: 395.")
    plain = server.ask(f"{late}, http_write_exception_in_output_format = 0", **session)
    assert plain.text.startswith("Code: 395.")
    server.ask("SET http_write_exception_in_output_format = DEFAULT", **session)
    assert server.ask("SELECT nope", **session).text.startswith("Code: 47.")


def test_a_session_may_ask_for_progress_in_headers(server):
    server.ask("SET send_progress_in_http_headers = 1", session_id="progress")
    answer = server.ask("SELECT sleep(1)", session_id="progress")
    assert "X-ClickHouse-Progress" in answer.headers and answer.text == "0\n"


def test_a_statement_may_ask_for_its_error_in_its_format(server):
    sql = "SELECT throwIf(1) SETTINGS http_write_exception_in_output_format = 1 FORMAT JSON"
    assert json.loads(server.ask(sql).text)["exception"].startswith("Code: 395.")
    assert server.ask("SELECT 1 AS x SETTINGS default_format = 'JSONEachRow'").text == '{"x":1}\n'


def test_a_session_may_set_its_database_like_a_setting(server):
    session, shown = {"session_id": "set-database"}, "SELECT currentDatabase()"
    for statement, database in (("SET database = 'system', max_threads = 2", "system"), ("USE default", "default")):
        server.ask(statement, **session)
        assert server.ask(shown, **session).text == f"{database}\n"
        assert server.ask(shown, **session, database="information_schema").text == "information_schema\n"
        assert server.ask(shown, **session).text == f"{database}\n"
        assert server.ask(shown, **session, max_threads=1).text == f"{database}\n"
    assert server.ask(f"{shown} SETTINGS database = 'system'", **session).text == "system\n"
    assert server.ask(shown, **session).text == "default\n"


def test_the_database_of_a_use_may_be_a_parameter_of_the_session(server):
    session = {"session_id": "database-parameter"}
    server.ask("SET param_name = 'system'", **session)
    server.ask("USE {name:Identifier}", **session)
    assert server.ask("SELECT currentDatabase()", **session, database="default").text == "default\n"
    assert server.ask("SELECT currentDatabase()", **session).text == "system\n"


def test_the_zone_that_a_statement_asks_for_is_the_one_that_the_headers_name(server):
    answer = server.ask("SELECT timezone() SETTINGS session_timezone = 'Europe/Berlin'")
    assert (answer.text, answer.headers["X-ClickHouse-Timezone"]) == ("Europe/Berlin\n", "Europe/Berlin")
    failed = server.ask("SELECT throwIf(1) SETTINGS session_timezone = 'Europe/Berlin'")
    assert (failed.code, failed.headers["X-ClickHouse-Timezone"]) == (395, "Europe/Berlin")
    wrong = server.ask("SELECT 1 SETTINGS session_timezone = 'a\\nb'")
    assert wrong.code != 0
    assert wrong.headers["X-ClickHouse-Timezone"] == "UTC"


def test_errors_of_every_kind_keep_their_number(server):
    failed = server.ask("SELECT * FROM remote('127.0.0.2:1', numbers(1))")
    assert failed.code == 519
    assert failed.text.startswith("Code: 519. DB::Exception: ")
    unknown = server.ask("SELECT 1 FORMAT Nothing")
    assert unknown.code == 73
    assert unknown.text.count("(version ") == 1


@pytest.mark.parametrize("session", [{}, {"session_id": "gets"}])
def test_a_get_that_does_not_parse_is_told_so_and_one_that_writes_is_refused(server, table, session):
    assert server.ask(method="GET", query="SELEC 1", **session).code == 62
    assert server.ask(method="GET", query="DROP TABLE subject", **session).code == 164
    assert server.ask("SELEC 1", readonly="1", **session).code == 62


def test_temporary_tables_of_a_session_may_be_made_by_get(server):
    session = {"session_id": "temporary"}
    assert server.ask(method="GET", query="CREATE TEMPORARY TABLE mine (a Int8)", **session).status == 200
    assert server.ask(method="GET", query="DROP TEMPORARY TABLE mine", **session).status == 200


def test_a_request_that_only_reads_may_change_its_session_with_readonly_2_alone(server, table):
    session = {"session_id": "reads-once"}
    changes = ("CREATE TEMPORARY TABLE mine (a Int8)", "DROP TEMPORARY TABLE mine", "SET max_threads = 1")
    for statement in (*changes, "SELECT 1 SETTINGS max_threads = 1"):
        assert server.ask(statement, readonly=1, **session).code == 164, statement
        assert server.ask(statement, readonly=2, **session).status == 200, statement
    assert server.ask("USE default", readonly=1, **session).status == 200
    assert server.ask("SELECT 1", readonly=1, **session).text == "1\n"
    assert server.ask("INSERT INTO subject VALUES (1, 'a')", readonly=2, **session).code == 164


def test_a_query_may_come_in_several_parameters(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/?query=SELECT&query=%201")
    assert connection.getresponse().read() == b"1\n"
    connection.close()


def multipart(*parts: tuple[str, str | None, str]) -> tuple[str, dict[str, str]]:
    """Body and headers of a form of (name, file name or None, content)."""
    body = ""
    for name, file, content in parts:
        about = f'; filename="{file}"' if file else ""
        body += f'--edge\r\nContent-Disposition: form-data; name="{name}"{about}\r\n\r\n{content}\r\n'
    return body + "--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


def test_parts_of_one_name_are_one_external_table(server):
    body, headers = multipart(("ext_types", None, "UInt64"), ("ext", "a", "1\n"), ("ext", "b", "2\n"))
    assert server.ask(body, headers=headers, query="SELECT sum(_1), count() FROM ext").text == "3\t2\n"
    other = [("ext_types", None, "UInt64"), ("ext", "a", "1\n"), ("ext_types", None, "String"), ("ext", "b", "2\n")]
    body, headers = multipart(*other)
    assert server.ask(body, headers=headers, query="SELECT count() FROM ext").code == 117
    body, headers = multipart(("query", None, " 5"))
    assert server.ask(body, headers=headers, query="SELECT").text == "5\n"


def test_a_small_limit_of_a_query_counts_what_the_client_wrote(server, table):
    assert server.ask("SELECT 1 AS x", max_query_size="13", database="default").text == "1\n"
    assert server.ask("SELECT 1 AS x, 2222 AS y", max_query_size="13", database="default").code == 62
    assert server.ask("INSERT INTO subject VALUES (1, 'a')", max_query_size="30").status == 200
    assert server.ask("SELECT 'abc'", max_query_size="12").text == "abc\n"
    for statement in ("SELECT 'abcd'", "SELECT abcdef", "INSERT INTO subject VALUES (1, 'a')"):
        assert server.ask(statement, max_query_size="12").code == 62


def test_running_queries_show_their_clients_ids_and_words(server):
    sql = "SELECT query_id, query FROM system.processes"
    assert server.ask(sql, query_id="mine").text.startswith("mine\tSELECT query_id, query")
    answer = server.ask(
        "SELECT processes.initial_query_id FROM system.processes WHERE query_id = 'own' FORMAT JSONCompact",
        query_id="own",
    )
    assert json.loads(answer.text)["data"] == [["own"]]
    joined = server.ask(
        "SELECT count() FROM numbers(1) AS n CROSS JOIN system.processes AS p WHERE p.query_id = 'joined'",
        query_id="joined",
    )
    assert joined.text == "1\n"


def test_the_log_holds_each_statement_once_and_in_its_clients_words(server, table):
    session = {"session_id": "logged", "database": "system"}
    server.ask("INSERT INTO default.subject FORMAT CSV\n1,a\n", query_id="log-insert", **session)
    server.ask(
        "SELECT now(), 1 AS one FORMAT Native", query_id="log-select", client_protocol_version="54405", **session
    )
    server.ask("SET max_threads = 2", query_id="log-set", session_id="logged")
    server.ask("SELECT 2 AS two FORMAT JSON", query_id="log-json")
    server.ask("INSERT INTO subject(a,b)VALUES (1, 'a')", query_id="log-values")
    server.ask("INSERT INTO subject FORMAT Values (1, 'a')", query_id="log-format-values")
    server.ask("INSERT INTO subject SELECT * FROM input('a Int8, b String') FORMAT CSV 1,a", query_id="log-taken-apart")
    with_table = '--b\r\nContent-Disposition: form-data; name="brought"; filename="f"\r\n\r\n1\n\r\n--b--\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    parameters = {"query": "SELECT * FROM brought", "brought_structure": "a Int8", "query_id": "log-table"}
    assert server.ask(with_table, headers=form, **parameters).text == "1\n"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        server.ask("SYSTEM FLUSH LOGS")
        found = server.ask(
            "SELECT query_id, query FROM system.query_log WHERE query_id LIKE 'log-%' AND type = 'QueryFinish' ORDER BY query_id"
        ).text.splitlines()
        if len(found) >= 8:
            break
        time.sleep(0.3)
    logged = dict(line.split("\t") for line in found)
    assert len(found) == len(logged) == 8
    assert logged["log-insert"] == r"INSERT INTO default.subject FORMAT CSV\n"
    assert logged["log-values"] == "INSERT INTO subject(a,b)VALUES"
    assert logged["log-format-values"] == r"INSERT INTO subject FORMAT Values\n"
    assert logged["log-set"] == "SET max_threads = 2" and logged["log-table"] == "SELECT * FROM brought"
    assert "bodies" not in "".join(found)
    assert "/dev/fd" not in "".join(found)
    assert "promql_table" not in "".join(found)


def test_zones_of_columns_are_those_of_the_tables_that_the_session_sees(server):
    server.ask("CREATE OR REPLACE TABLE zt (d DateTime('America/Chicago')) ENGINE = Memory")
    server.ask("CREATE DATABASE IF NOT EXISTS zones")
    server.ask("CREATE OR REPLACE TABLE zones.zt (d DateTime('Europe/Paris')) ENGINE = Memory")
    for table in ("zt", "zones.zt"):
        server.ask(f"INSERT INTO {table} VALUES (0)")
    assert b"DateTime('America/Chicago')" in server.ask("SELECT d FROM zt", session_id="fresh", **NEWER_NATIVE).body
    server.ask("USE zones", session_id="used")
    used = server.ask("SELECT d FROM zt", session_id="used", **NEWER_NATIVE)
    assert b"DateTime('Europe/Paris')" in used.body
    server.ask("CREATE TEMPORARY TABLE zt (d DateTime('Asia/Tokyo'))", session_id="shadowed")
    server.ask("INSERT INTO zt VALUES ('2023-01-02 15:44:22')", session_id="shadowed")
    shadowed = server.ask("SELECT d FROM zt", session_id="shadowed", **NEWER_NATIVE)
    assert b"DateTime('Asia/Tokyo')" in shadowed.body
    server.ask("SET param_x = '2020-01-01 00:00:00', output_format = 'Native'", session_id="parameters")
    asked = server.ask("SELECT {x:DateTime('Asia/Tokyo')} AS d", session_id="parameters", **NEWER_NATIVE)
    assert b"DateTime('Asia/Tokyo')" in asked.body
    server.ask("DROP DATABASE zones")
    server.ask("DROP TABLE zt")


def test_zones_of_columns_survive_named_tuples_and_data_that_look_like_a_head(server):
    tuples = "SELECT CAST((1, 2), 'Tuple(x Int8, y Int8)') AS t, toDateTime(0, 'Asia/Tokyo') AS d"
    assert column_types(server, tuples)[1] == "DateTime('Asia/Tokyo')"
    client = server.client()
    for text in ("'xx\\x01d\\x08DateTime yy'", "['xx\\x01d\\x08DateTime yy', '']"):
        sql = f"SELECT {text} AS s, toDateTime(0, 'Asia/Tokyo') AS d, toDateTime(1, 'Asia/Tokyo') AS e, 'z' AS f"
        row = client.query(sql).result_rows[0]
        assert [value.isoformat() for value in row[1:3]] == ["1970-01-01T09:00:00+09:00", "1970-01-01T09:00:01+09:00"]


def test_a_block_whose_layout_is_unknown_is_left_as_it_is():
    block = b"\x01\x01\x01d\x08DateTime\x00\x00\x00\x00"
    assert list(rewrite_blocks([block], [("other", "DateTime('UTC')")])) == [
        b"\x01\x00\x02\xff\xff\xff\xff\x00" + block
    ]


def test_subqueries_of_a_native_answer_run_once(server):
    calls = "SELECT sum(value) FROM system.events WHERE event = 'SleepFunctionCalls'"
    before = int(server.ask(calls).text)
    answer = server.ask("SELECT now('Asia/Tokyo') AS n, (SELECT sleep(0.001)) AS s FORMAT Native", **NEWER_NATIVE)
    assert b"DateTime('Asia/Tokyo')" in answer.body
    assert int(server.ask(calls).text) - before == 1


def test_credentials_may_lack_their_padding_and_ids_their_manners(server):
    padded = base64.b64encode(b"default:").decode().rstrip("=")
    assert server.ask("SELECT 1", headers={"Authorization": f"Basic {padded}"}).text == "1\n"
    assert server.ask("SELECT 1", query_id="a\r\nb").headers["X-ClickHouse-Query-Id"] == "ab"
