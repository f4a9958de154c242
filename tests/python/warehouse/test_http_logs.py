"""What the server tells of queries: whose they are, in its logs and its process list, and what clients find there."""

import concurrent.futures
import http.client
import json
import urllib.parse

from embedded_server import READER, READER_PASSWORD, wait_until

AS_READER = {"headers": {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD}}


def logged(server, query_id: str, columns: str = "type, user, initial_user, query") -> list[list]:
    """What the query log says of a query, in order."""
    server.ask("SYSTEM FLUSH LOGS")
    sql = f"SELECT {columns} FROM system.query_log WHERE query_id = {{id:String}} ORDER BY event_time_microseconds"
    return [
        json.loads(line) for line in server.ask(f"{sql} FORMAT JSONCompactEachRow", param_id=query_id).text.splitlines()
    ]


def test_functions_that_ask_for_user_and_query_id_know_those_of_the_client(server, table):
    sql = "SELECT currentUser(), user() AS u, concat(currentUser(), 'x'), queryID(), initial_query_id() = 'it\\'s' FORMAT TSVWithNames"
    for session in ({}, {"session_id": "who"}):
        names, values = server.ask(sql, **AS_READER, **session, query_id="it's").text.splitlines()
        assert (
            names
            == "currentUser()\tu\tconcat(currentUser(), \\'x\\')\tqueryID()\tequals(initial_query_id(), \\'it\\\\\\'s\\')"
        )
        assert values == f"{READER}\t{READER}\t{READER}x\tit\\'s\t1"
    assert server.ask("SELECT currentUser(), queryID()", query_id="own").text == "default\town\n"
    assert server.ask("SELECT user FROM (SELECT 'column' AS user)", **AS_READER).text == "column\n"
    assert server.ask(f"INSERT INTO {table} SELECT 1, queryID()", query_id="inserting").status == 200
    assert server.ask(f"SELECT b FROM {table}").text == "inserting\n"


def test_the_query_log_says_who_asked_and_what(server):
    sql = "SELECT currentUser() AS c, queryID(), 'it''s' AS `user()`"
    assert server.ask(sql, **AS_READER, query_id="whose").status == 200
    rows = [[kind, READER, READER, sql] for kind in ("QueryStart", "QueryFinish")]
    assert logged(server, "whose") == rows
    assert server.ask("SELECT 1", query_id="whose else", default_format="JSON").status == 200
    assert logged(server, "whose else", "DISTINCT user, query, event_time_microseconds > 0") == [
        ["default", "SELECT 1", 1]
    ]


def test_a_statement_that_does_not_parse_is_logged(server):
    for number, (statement, method, account) in enumerate(
        (
            ("SELEC 1", "POST", {}),
            ("SELECT 1 FORMAT CSV FORMAT TSV", "POST", AS_READER),
            ("SELECT 'open", "POST", {}),
            ("SELEC", "GET", {}),
        )
    ):
        query_id = f"unparsed-{number}"
        given = {"query": statement} if method == "GET" else {"body": statement}
        refused = server.ask(method=method, query_id=query_id, **given, **account)
        assert refused.code == 62 and "OUTFILE" not in refused.text
        user = READER if account else "default"
        found = logged(server, query_id, "type, user, query, exception_code, exception")
        assert found == [["ExceptionBeforeStart", user, statement, 62, refused.text.rstrip()]]
    assert server.ask("SELECT nope", query_id="parsed").code == 47
    assert [row[0] for row in logged(server, "parsed")] == ["ExceptionBeforeStart"]


def test_queries_run_and_are_killed_in_the_name_of_their_user(server):
    account = urllib.parse.urlencode({"user": READER, "password": READER_PASSWORD, "query_id": "of a reader"})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", f"/?{account}", "SELECT sleepEachRow(1) FROM numbers(40) SETTINGS max_block_size = 1")
    running = "SELECT query_id, user FROM system.processes WHERE initial_user = {name:String}"
    wait_until(lambda: server.ask(running, param_name=READER).text == f"of a reader\t{READER}\n", "the query to run")
    assert server.ask("KILL QUERY WHERE user = 'nobody' SYNC").text == ""
    killed = server.ask(f"KILL QUERY WHERE user = '{READER}' SYNC").text.split("\t")
    assert killed[:3] == ["finished", "of a reader", READER]
    assert b"QUERY_WAS_CANCELLED" in connection.getresponse().read()
    connection.close()


def test_the_process_list_shows_queries_as_they_were_asked_and_with_ids_to_kill_them_by(server):
    sql = (
        "SELECT sleepEachRow(1), queryID() FROM numbers(40)"
        " WHERE number >= (SELECT 0 FROM system.processes LIMIT 1) SETTINGS max_block_size = 1"
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(server.ask, sql, query_id="listed")
        shown = "SHOW PROCESSLIST FORMAT JSONEachRow"
        wait_until(lambda: "listed" in server.ask(shown, query_id="shows").text, "the query to run")
        rows = {row["query_id"]: row for row in map(json.loads, server.ask(shown, query_id="shows").text.splitlines())}
        assert rows["listed"]["query"] == sql
        assert rows["shows"]["query"] == "SELECT * FROM system.processes ORDER BY elapsed DESC FORMAT JSONEachRow"
        assert server.ask("KILL QUERY WHERE query_id = 'listed' SYNC").text.startswith("finished\tlisted")
        assert "QUERY_WAS_CANCELLED" in asked.result().text
    assert server.ask("SHOW PROCESSLIST", **AS_READER).status == 200
    assert server.ask("SHOW PROCESSLIST nonsense nonsense").code == 62


def test_who_may_only_read_ends_own_queries_and_no_others(server):
    sql = "SELECT sleepEachRow(1), '{}' FROM numbers(40) SETTINGS max_block_size = 1"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        of_the_owner = pool.submit(server.ask, sql.format("stays"), query_id="stays")
        wait_until(lambda: server.running("'stays'"), "the owner's query to run")
        for number, (statement, parameters) in enumerate(
            (
                ("KILL QUERY WHERE query_id = 'of a reader' SYNC", {}),
                ("KILL QUERY WHERE (user = 'default') OR NOT query_id IN ('x', 'y') -- all\nASYNC FORMAT TSV", {}),
                ("KILL QUERY WHERE query_id = {id:String} SYNC", {"param_id": "of a reader", "session_id": "ends"}),
                ("KILL QUERY WHERE 1", {"readonly": 1, "session_id": "ends"}),
            )
        ):
            own = pool.submit(server.ask, sql.format(f"own {number}"), query_id="of a reader", **AS_READER)
            wait_until(lambda number=number: server.running(f"'own {number}'"), "the reader's query to run")
            killed = server.ask(statement, **AS_READER, **parameters)
            assert killed.status == 200 and killed.text.split("\t")[1:3] == ["of a reader", READER], killed.text
            assert len(killed.text.splitlines()) == 1 and "QUERY_WAS_CANCELLED" in own.result().text
        assert server.ask("KILL QUERY WHERE query_id = 'stays' SYNC", **AS_READER).text == ""
        assert server.running("'stays'") == 1
        assert server.ask("KILL QUERY WHERE query_id = 'stays' SYNC").status == 200
        assert of_the_owner.result().code == 394 or of_the_owner.result().is_cut


def test_a_client_that_goes_away_ends_its_query_whatever_its_id(server):
    parameters = urllib.parse.urlencode({"query_id": "it's \\ a\tquote"})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", f"/?{parameters}", "SELECT sleepEachRow(1) FROM numbers(41) SETTINGS max_block_size = 1")
    wait_until(lambda: server.running("numbers(41)"), "the query to run")
    connection.close()
    wait_until(lambda: not server.running("numbers(41)"), "the query to end", 15)


def test_a_query_that_is_part_of_a_trace_is_found_there(server):
    trace, parent = "0123456789abcdef0123456789abcdef", "00000000000000ff"
    for header in (f"00-{trace}-{parent}-01", f"00-{trace}-{parent}-00", "nonsense"):
        assert server.ask("SELECT 'it''s'", query_id="traced", headers={"traceparent": header}).text == "it\\'s\n"
    assert server.ask("SELECT nope", query_id="failed", headers={"traceparent": f"00-{trace}-{parent}-01"}).code == 47
    columns = (
        "parent_span_id, finish_time_us >= start_time_us, attribute['clickhouse.query_id'], attribute['db.statement']"
    )
    sql = f"SELECT {columns} FROM system.opentelemetry_span_log WHERE lower(hex(trace_id)) = '{trace}' ORDER BY finish_time_us"
    assert server.ask(sql).text == "255\t1\ttraced\tSELECT \\'it\\'\\'s\\'\n255\t1\tfailed\tSELECT nope\n"
    assert server.ask("SELECT count() FROM system.opentelemetry_span_log", **AS_READER).text == "0\n"
