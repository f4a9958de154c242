"""The less usual parts of the HTTP interface: native compression, progress headers, roles, query ids, buffering, limits."""

import asyncio
import bz2
import concurrent.futures
import gzip
import hashlib
import http.client
import json
import lzma
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator

import brotli
import lz4.block
import lz4.frame
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128
from embedded_server import PATIENCE_SECONDS, READER, READER_PASSWORD, ask_on, wait_until

from orchestration.warehouse.server import request
from orchestration.warehouse.server.blocks import BlockDecoder
from orchestration.warehouse.server.compression import choose_encoding, decoder
from orchestration.warehouse.server.errors import ServerError

NONE, LZ4, ZSTD = 0x02, 0x82, 0x90


def block(data: bytes, method: int = LZ4, size: int | None = None) -> bytes:
    """One block of the native compression, as a client would write it."""
    compressed = {
        NONE: bytes,
        LZ4: lambda plain: lz4.block.compress(plain, store_size=False),
        ZSTD: zstandard.ZstdCompressor().compress,
    }[method](data)
    body = bytes([method]) + (9 + len(compressed)).to_bytes(4, "little")
    body += (len(data) if size is None else size).to_bytes(4, "little") + compressed
    high, low = divmod(CityHash128(body), 1 << 64)
    return high.to_bytes(8, "little") + low.to_bytes(8, "little") + body


def unblock(data: bytes) -> bytes:
    decoder = BlockDecoder()
    found = b"".join(decoder.decode(data))
    decoder.finish()
    return found


def on_the_wire(server, request: bytes) -> bytes:
    """All that the server answers to raw bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(1 << 16):
            answer += data
    return answer


@pytest.mark.parametrize("codec", ["LZ4", "ZSTD", "NONE"])
def test_blocks_that_the_engine_itself_wrote_are_read_with_their_checksums(server, codec):
    server.ask("DROP TABLE IF EXISTS engine_blocks SYNC")
    server.ask(f"CREATE TABLE engine_blocks (x UInt8 CODEC({codec})) ENGINE = Log")
    server.ask("INSERT INTO engine_blocks SELECT number % 7 FROM numbers(300000)")
    path = server.ask("SELECT data_paths[1] FROM system.tables WHERE name = 'engine_blocks'").text.strip()
    written = (server.home / "warehouse" / "data" / path / "x.bin").read_bytes()
    assert unblock(written) == bytes(number % 7 for number in range(300_000))
    pieces = [written[start : start + 1000] for start in range(0, len(written), 1000)]
    decoder = BlockDecoder()
    assert b"".join(found for piece in pieces for found in decoder.decode(piece)) == unblock(written)
    server.ask("DROP TABLE engine_blocks SYNC")


def test_compress_sends_blocks_also_for_errors_and_inside_http_compression(server):
    sql = "SELECT number FROM numbers(300000)"
    plain = server.ask(sql).body
    for parameters in ({}, {"wait_end_of_query": 1}):
        answer = server.ask(sql, compress=1, **parameters)
        assert unblock(answer.body) == plain and len(answer.body) < len(plain)
    both = server.ask(sql, headers={"Accept-Encoding": "zstd"}, compress=1, enable_http_compression=1)
    assert unblock(zstandard.ZstdDecompressor().decompressobj().decompress(both.body)) == plain
    assert unblock(server.ask("SELECT nope", compress=1).body).startswith(b"Code: 47.")
    late = server.ask("SELECT throwIf(number = 60), sleepEachRow(0.01) FROM numbers(99)", compress=1, max_block_size=1)
    assert late.status == 200 and b"__exception__" in unblock(late.body)
    assert server.ask("CREATE TABLE IF NOT EXISTS nothing (a Int8) ENGINE = Memory", compress=1).body == b""
    assert server.ask("SELECT 1", compress=1, user="nobody").text.startswith("Code: 516.")


@pytest.mark.parametrize("method", [NONE, LZ4, ZSTD])
def test_decompress_takes_statements_and_data_in_blocks(server, table, method):
    assert server.ask(block(b"SELECT 1 + 1", method), decompress=1).text == "2\n"
    data = b"".join(block(b"".join(b"%d,x\n" % n for n in range(s, s + 9000)), method) for s in range(0, 90_000, 9000))
    insert = f"INSERT INTO {table} FORMAT CSV"
    assert server.ask(data, query=insert, decompress=1).summary["written_rows"] == 90_000
    zipped = zstandard.ZstdCompressor().compress(data)
    answer = server.ask(zipped, headers={"Content-Encoding": "zstd"}, query=insert, decompress=1)
    assert answer.summary["written_rows"] == 90_000
    assert server.ask(f"SELECT uniqExact(a), sum(a) FROM {table}").text == f"90000\t{2 * sum(range(90_000))}\n"


def test_broken_blocks_are_refused_and_the_connection_stays(server):
    good = block(b"SELECT 1")
    broken = good[:-1] + bytes([good[-1] ^ 1])
    unknown = bytearray(block(b"SELECT 1", NONE))
    unknown[16] = 0x77
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    unchecked = {"decompress": 1, "http_native_compression_disable_checksumming_on_decompress": 1}
    for body, code, parameters in (
        (broken, 40, {"decompress": 1}),
        (good[:-2], 33, {"decompress": 1}),
        (good[:20], 33, {"decompress": 1}),
        (b"SELECT 1 -- this is no block at all, and long enough", 113, {"decompress": 1}),
        (bytes(unknown), 89, unchecked),
        (block(b"SELECT 1", size=1 << 29), 271, {"decompress": 1}),
        (block(b"SELECT 1", ZSTD, size=4), 271, {"decompress": 1}),
    ):
        assert ask_on(connection, body, **parameters).code == code
        assert ask_on(connection, "SELECT 1").text == "1\n"
    assert ask_on(connection, b"\0" * 16 + good[16:], **unchecked).text == "1\n"
    connection.close()


def test_a_zstd_block_that_lies_about_its_size_does_not_fill_the_memory():
    bomb = block(b"\0" * (64 << 20), ZSTD, size=10)
    with pytest.raises(ServerError, match="Cannot decompress ZSTD"):
        unblock(bomb)


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("br", lambda data: brotli.compress(data, quality=5)),
        ("gzip", gzip.compress),
        ("zstd", zstandard.compress),
        ("lz4", lz4.frame.compress),
        ("xz", lambda data: lzma.compress(data, preset=0)),
        ("bz2", bz2.compress),
    ],
)
def test_a_little_that_stands_for_much_is_decoded_in_pieces(name, compress):
    size = 1 << 27
    little, decoding = compress(bytes(size)), decoder(name)
    sizes = [len(piece) for piece in decoding.decode(little)]
    decoding.finish()
    assert len(little) < 1_000_000 and sum(sizes) == size
    assert max(sizes) <= (4 << 20 if name in ("br", "xz", "bz2") else 48 << 20)
    if name != "br":
        assert sum(len(piece) for _ in range(2) for piece in decoding.decode(little)) == 2 * size


def test_a_little_that_stands_for_much_keeps_the_loop_from_nobody(monkeypatch):
    threads = []

    class Decoding:
        def decode(self, data: bytes) -> Iterator[bytes]:
            for _ in range(4):
                threads.append(threading.current_thread())
                yield bytes(1 << 20)

        def finish(self) -> None:
            pass

    async def receive() -> dict:
        return {"type": "http.request", "body": b"a little"}

    async def read() -> int:
        return sum([len(piece) async for piece in request._decoded(None, receive)])

    monkeypatch.setattr(request, "_decoders", lambda _: [Decoding()])
    assert asyncio.run(read()) == 4 << 20
    assert len(threads) == 4 and threading.main_thread() not in threads[1:]


def test_progress_comes_as_headers_while_the_query_runs(server):
    sql = "SELECT count() FROM numbers(20) WHERE NOT sleepEachRow(0.05)"
    address = "/?send_progress_in_http_headers=1&http_headers_progress_interval_ms=50&max_block_size=1"
    request = f"POST {address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(sql)}\r\n\r\n{sql}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(request.encode())
        first = connection.recv(1 << 16)
        assert first.startswith(b"HTTP/1.1 200 OK\r\nx-clickhouse-progress: {") and server.running("sleepEachRow(0.05)")
        answer = first
        while data := connection.recv(1 << 16):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"x-clickhouse-progress")]
    read = [int(json.loads(line)["read_rows"]) for line in lines]
    assert len(read) > 2 and read == sorted(read) and read[-1] <= 20
    assert body == b"20\n" and head.count(b"HTTP/1.1") == 1 and head.count(b"x-clickhouse-summary") == 1
    failing = server.ask(
        "SELECT throwIf(number = 9) FROM numbers(10) WHERE NOT sleepEachRow(0.05)",
        send_progress_in_http_headers=1,
        wait_end_of_query=1,
    )
    assert (failing.status, failing.code) == (200, 395) and failing.text.startswith("Code: 395.")
    assert "X-ClickHouse-Progress" not in server.ask("SELECT 1").headers


def test_roles_of_a_request_are_set_for_it_alone(server):
    sql = "SELECT arrayStringConcat(currentRoles(), ',')"
    assert server.ask(sql, role="warehouse_reader").text == "warehouse_reader\n"
    both = urllib.parse.urlencode([("role", "warehouse_reader"), ("role", "warehouse_owner"), ("query", sql)])
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", f"/?{both}")
    assert connection.getresponse().read() == b"warehouse_owner,warehouse_reader\n"
    connection.close()
    assert server.ask("CREATE TABLE x (a Int8) ENGINE = Memory", role="warehouse_reader").code == 497
    unknown = server.ask(sql, role="nobody's")
    assert (unknown.code, unknown.status) == (511, 404)
    assert server.ask(sql, session_id="roles", role="warehouse_reader").text == "warehouse_reader\n"
    assert server.ask(sql, session_id="roles").text == "warehouse_loader,warehouse_owner,warehouse_reader\n"
    reader = {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD}
    assert server.ask("SELECT 1", headers=reader, role="warehouse_owner").code == 512


def test_a_query_id_is_in_use_once_at_a_time_and_can_be_taken_over(server):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(server.ask, "SELECT sleep(3), 'runs once'", query_id="once")
        wait_until(lambda: server.running("runs once"), "the query to run")
        assert server.ask("SELECT 1", query_id="once").code == 216
        assert server.ask("SELECT 1", query_id="another").text == "1\n"
        reader = {"X-ClickHouse-User": READER, "X-ClickHouse-Key": READER_PASSWORD}
        for replaces in (0, 1):
            other = server.ask("SELECT 1", query_id="once", headers=reader, replace_running_query=replaces)
            assert other.code == 216 and "already running by user default" in other.text
        assert server.ask("SELECT 1", query_id="once", replace_running_query=1).text == "1\n"
        assert first.result().code == 394
    for _ in range(20):
        assert server.ask("SELECT 1", query_id="once").text == "1\n"


def test_query_ids_may_be_any_bytes(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/?query=SELECT+1&query_id=%ff%fe%E4%B8%AD")
    response = connection.getresponse()
    assert response.headers["X-ClickHouse-Query-Id"].encode("latin-1") == b"\xff\xfe\xe4\xb8\xad"
    assert response.read() == b"1\n"
    connection.close()


def test_close_session_ends_the_session_behind_its_query(server):
    server.ask("CREATE TEMPORARY TABLE brief (a Int8)", session_id="closed")
    assert server.ask("SELECT count() FROM brief", session_id="closed", close_session=1).text == "0\n"
    assert server.ask("SELECT 1", session_id="closed", session_check=1).code == 372


def test_a_buffer_gives_early_errors_a_status_and_late_ones_the_tagged_block(server):
    sql = "SELECT throwIf(number = 20), sleepEachRow(0.02) FROM numbers(25)"
    for name in ("buffer_size", "http_response_buffer_size"):
        held = server.ask(sql, max_block_size=1, **{name: 10_000})
        assert (held.status, held.code) == (500, 395) and held.text.startswith("Code: 395.")
        passed = server.ask(sql, max_block_size=1, **{name: 8})
        assert passed.status == 200 and passed.text.startswith("0\t0\n0\t0\n0\t0\n") and "__exception__" in passed.text
    for size in (1, 100, 1 << 20, 10 << 20):
        assert server.ask("SELECT number FROM numbers(300000)", buffer_size=size).body.count(b"\n") == 300_000


def test_exceptions_may_be_written_in_the_output_format(server):
    on = {"http_write_exception_in_output_format": 1}
    for sql, status in (("SELECT throwIf(1)", 500), ("SELECT nope", 404)):
        for name in ("JSON", "JSONCompact", "JSONEachRow", "JSONCompactEachRow"):
            answer = server.ask(f"{sql} FORMAT {name}", **on)
            found = json.loads(answer.text)
            message = found[0] if isinstance(found, list) else found["exception"]
            assert message.startswith("Code: ") and answer.status == status
            assert answer.headers["X-ClickHouse-Format"] == name
        assert "<exception>Code: " in server.ask(f"{sql} FORMAT XML", **on).text
        assert server.ask(f"{sql} FORMAT CSV", **on).text.startswith("Code: ")
        assert server.ask(f"{sql} FORMAT JSON").text.startswith("Code: ")
    late = server.ask(
        "SELECT throwIf(number = 9), sleepEachRow(0.02) FROM numbers(25) FORMAT JSONEachRow", max_block_size=1, **on
    )
    assert late.status == 200 and "exception" in json.loads(late.text.splitlines()[-1])


def test_limits_of_a_query_are_kept(server):
    assert server.ask("SELECT number FROM numbers(100)", max_result_rows=10).code == 396
    cut = server.ask(
        "SELECT number FROM numbers(10000)", max_result_rows=10, result_overflow_mode="break", max_block_size=5
    )
    assert 10 <= cut.text.count("\n") < 10_000
    slow = server.ask("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(rand())", max_execution_time=0.3)
    assert (slow.code, slow.status) == (159, 408)
    assert server.ask("SELECT 1", profile="no_such_profile").code == 180


def test_an_interval_of_zero_does_not_hang_a_query(server, table):
    session = {"session_id": "interval"}
    assert server.ask("SELECT 1", interactive_delay=0).text == "1\n"
    assert server.ask("SELECT 1 SETTINGS max_threads = 1, interactive_delay = '0' FORMAT CSV").text == "1\n"
    assert (
        server.ask(f"INSERT INTO {table} SETTINGS interactive_delay = 0 FORMAT CSV\n0,interactive_delay = 0").code == 0
    )
    assert server.ask(f"SELECT b FROM {table} SETTINGS interactive_delay=0").text == "interactive_delay = 0\n"
    assert server.ask("SELECT interactive_delay = 0 FROM (SELECT 0 AS interactive_delay)").text == "1\n"
    assert server.ask("SET max_threads = 0, interactive_delay = 0", **session).status == 200
    shown = "SELECT getSetting('interactive_delay')"
    assert server.ask(shown, **session).text == server.ask(shown, **session, interactive_delay=0).text == "1\n"
    for other in ("interactive_delay = 00", "interactive_delay = 0.5", "interactive_delay = '0 '"):
        assert server.ask(f"SET {other}", **session).code != 0
        assert server.ask(f"SELECT 1 SETTINGS {other}").code != 0
    assert server.ask("SELECT 1", interactive_delay="00").code == 452


def test_a_query_cannot_be_throttled_until_nobody_can_end_it(server, table):
    for name in ("max_local_read_bandwidth", "max_local_write_bandwidth"):
        assert server.ask("SELECT 1", **{name: 1}).code == 452
        assert server.ask(f"INSERT INTO {table} SETTINGS {name} = 1 VALUES (1, 'x')").code == 452
        assert server.ask(f"SET {name} = 1", session_id="throttled").code == 452
        assert server.ask("SELECT 1", **{name: 0}).text == "1\n"


def test_a_client_may_ask_for_headers(server):
    image = "{'content-type':'image/png','X-Mine':'it\\'s \\xE4\\xB8\\xAD'}"
    quoted = "$$" + image + "$$"
    server.ask(f"SET http_response_headers = {quoted}", session_id="headers")
    for answer in (
        server.ask("SELECT 1", http_response_headers=image),
        server.ask(f"SELECT 1 SETTINGS http_response_headers = {quoted}"),
        server.ask("SELECT 1", session_id="headers"),
    ):
        assert answer.text == "1\n" and answer.headers.get_all("Content-Type") == ["image/png"]
        assert answer.headers["X-Mine"].encode("latin-1") == "it's 中".encode()
    assert server.ask("SELECT nope", http_response_headers=image).headers["Content-Type"].startswith("text/plain")
    for bad in ("{'X':'a\\r\\nSet-Cookie: b'}", "{'X Y':'a'}", "{'Content-Length':'7'}"):
        assert server.ask("SELECT 1", http_response_headers=bad).code == 36
    assert server.ask("SELECT 1", http_response_headers="nonsense").code == 27
    assert server.ask("SELECT 1", http_response_headers="{'X':'").code


def test_urls_may_be_long_up_to_a_limit(server):
    text = "x" * 900_000
    long = server.ask(method="GET", query=f"SELECT length('{text}')", max_query_size=2_000_000)
    assert long.text == "900000\n"
    assert server.ask(method="GET", query=f"SELECT '{text}{text}'").status == 400
    assert server.ask("SELECT 1").text == "1\n"


def is_refused(server, *lines: bytes) -> bool:
    """Whether the server answers 400, or closes while the lines still come, and goes on serving others."""
    try:
        answer = on_the_wire(server, b"GET /ping HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n")
    except ConnectionError:
        answer = b""
    assert server.ask("SELECT 1").text == "1\n"
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 200")) or not answer
    return not answer.startswith(b"HTTP/1.1 200")


def test_header_lines_have_limits_before_anybody_is_known(server):
    assert not is_refused(server, *(b"X-%d: 1" % number for number in range(990)))
    assert is_refused(server, *(b"X-%d: 1" % number for number in range(1000)))
    assert not is_refused(server, b"N" * 4096 + b": 1", b"X: " + b"v" * (128 << 10))
    assert is_refused(server, b"N" * 4097 + b": 1")
    assert is_refused(server, b"X: " + b"v" * ((128 << 10) + 1))
    assert not is_refused(server, *[b"X: " + b"v" * (100 << 10)] * 100)
    assert is_refused(server, *[b"X: " + b"v" * (100 << 10)] * 110)
    assert is_refused(server, b"X: " + b"v" * (8 << 20))


def test_a_header_line_without_an_end_is_not_collected(server):
    endless = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\nX-Trailer: "
    for head in (b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n", endless):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(head)
            with pytest.raises(ConnectionError):
                for _ in range(64):
                    connection.sendall(b"x" * (1 << 20))


def test_too_many_parameters_are_an_error_of_clickhouse(server):
    many = b"&".join([b"a=1"] * 10_001)
    answer = on_the_wire(server, b"GET /?query=SELECT+1&" + many + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"Code: 1000. DB::Exception: HTML Form Exception: Too many form fields." in answer
    assert b"x-clickhouse-exception-code: 1000" in answer
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.ask(b"query=SELECT+1&" + many, headers=form).code == 1000
    assert "Traceback" not in (server.home / "server.log").read_text()


def test_a_post_without_a_length_is_refused(server):
    answer = on_the_wire(server, b"POST /?query=SELECT+1 HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411") and b"Code: 381." in answer
    empty = b"POST /?query=SELECT+1 HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert on_the_wire(server, empty).endswith(b"\r\n\r\n1\n")


def half_closed(server, request: bytes) -> socket.socket:
    """A connection that has sent its request and will send no more."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)
    connection.sendall(request)
    connection.shutdown(socket.SHUT_WR)
    return connection


def rest(connection: socket.socket) -> bytes:
    answer = bytearray()
    with connection:
        while data := connection.recv(1 << 16):
            answer += data
    return bytes(answer)


def test_a_client_that_sends_no_more_gets_its_answer(server):
    for version in (b"1.0", b"1.1"):
        request = b"GET /?query=select+3,sleep(0.2) HTTP/" + version + b"\r\n\r\n"
        assert rest(half_closed(server, request)).endswith(b"\r\n\r\n3\t0\n")
    pipelined = b"GET /?query=select+4 HTTP/1.1\r\n\r\nGET /?query=select+5 HTTP/1.1\r\n\r\n"
    assert rest(half_closed(server, pipelined)).endswith(b"\r\n\r\n5\n")
    slow = b"GET /?max_block_size=1&query=select+sleepEachRow(0.2)+from+numbers(20) HTTP/1.1\r\n\r\n"
    assert rest(half_closed(server, slow)).count(b"2\r\n0\n\r\n") == 20
    large = b"GET /?query=select+number+from+numbers(5000000)+format+RowBinary HTTP/1.1\r\n\r\n"
    connection = half_closed(server, large)
    time.sleep(2)
    assert len(rest(connection)) > 40_000_000


def test_a_client_that_goes_away_ends_its_query_within_a_second_or_so(server):
    endless = "FROM numbers(1000000000000) WHERE number < 3 OR rand64() = 7 SETTINGS max_threads = 1"
    for mark, sql in (("'gone before'", "SELECT count(), 'gone before'"), ("'gone behind'", "SELECT 'gone behind'")):
        request = f"GET /?query={urllib.parse.quote(f'{sql} {endless}')} HTTP/1.1\r\n\r\n"
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)
        connection.sendall(request.encode())
        wait_until(lambda mark=mark: server.running(mark), f"{mark} to start")
        if "behind" in mark:
            # Head and rows may come in pieces.
            answer = b""
            while not answer.endswith(b"gone behind\n\r\n"):
                piece = connection.recv(1 << 16)
                assert piece, answer
                answer += piece
        connection.close()
        wait_until(lambda mark=mark: not server.running(mark), f"{mark} to end", 4)


def test_older_and_unusual_http_is_understood(server):
    def ask(request: bytes) -> tuple[bytes, bytes]:
        head, _, body = on_the_wire(server, request).partition(b"\r\n\r\n")
        return head.lower(), body

    head, body = ask(b"GET /?query=SELECT+number+FROM+numbers(400000) HTTP/1.0\r\n\r\n")
    assert b"chunked" not in head and b"content-length: 2688890" in head and body.count(b"\n") == 400_000
    head, body = ask(b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.count(b"connection:") == 1 and b"connection: close" in head and body == b"1\n"
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert ask(chunked + b"4\r\nSELE\r\n4\r\nCT 1\r\n0\r\n\r\n")[1] == b"1\n"
    head, body = ask(b"HEAD /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"x-clickhouse-format: tabseparated" in head and body == b""
    two = b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /?query=SELECT+2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert on_the_wire(server, two + last).count(b"HTTP/1.1 200 OK") == 2


def test_expect_100_continue_is_answered_before_the_body_comes(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"SELECT 1")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_connection_stays_usable_after_every_kind_of_error(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    for body, parameters in (
        ("SELECT nope", {}),
        ("SELECT 1", {"user": "nobody"}),
        ("SELECT 1", {"session_timeout": "x", "session_id": "errors"}),
        ("INSERT INTO no_such_table FORMAT CSV\n" + "1\n" * 1_000_000, {}),
        ("SELECT 1; SELECT 2", {}),
    ):
        assert ask_on(connection, body, **parameters).code
        kept = connection.sock
        assert ask_on(connection, "SELECT 1").text == "1\n" and connection.sock is kept
    connection.close()


def test_ways_of_authentication_do_not_mix(server):
    header, basic = {"X-ClickHouse-User": "default"}, {"Authorization": "Basic ZGVmYXVsdDo="}
    assert server.ask("SELECT 1", headers=header, user="default").code == 516
    assert server.ask("SELECT 1", headers=basic, user="default").code == 516
    assert server.ask("SELECT 1", headers=header | basic).code == 516
    assert server.ask("SELECT 1", headers=basic, quota_key="any").text == "1\n"


def test_other_origins_are_allowed_only_where_asked_for(server):
    origin = {"Origin": "http://elsewhere"}
    allowed = server.ask("SELECT 1", headers=origin, add_http_cors_header=1).headers
    assert allowed["Access-Control-Allow-Origin"] == "*"
    assert {"X-ClickHouse-Query-Id", "X-ClickHouse-Summary", "X-ClickHouse-Format"} <= set(
        allowed["Access-Control-Expose-Headers"].split(",")
    )
    assert server.ask("SELECT 1", add_http_cors_header=1).headers["Access-Control-Allow-Origin"] is None
    assert server.ask("SELECT 1", headers=origin).headers["Access-Control-Allow-Origin"] is None


def test_q_values_of_accept_encoding_are_obeyed():
    assert choose_encoding("gzip, deflate, br") == "br"
    assert choose_encoding("br;q=0, gzip;q=0.1") == "gzip"
    assert choose_encoding("br;q=0.0, zstd ; q=1") == "zstd"
    assert choose_encoding("gzip;q=nonsense") is None
    assert choose_encoding("x-gzip") == "gzip"
    assert choose_encoding("identity, *") is None and choose_encoding("") is None


def test_a_user_may_be_made_and_dropped_and_has_no_rights(server, table):
    digest = hashlib.sha256(b"it's").hexdigest()
    server.ask("DROP USER IF EXISTS ann, 'bob', `cid`")
    for statement in (
        f"CREATE USER IF NOT EXISTS 'ann' IDENTIFIED WITH sha256_hash BY '{digest}'",
        "CREATE USER bob IDENTIFIED BY 'it''s'",
        "CREATE USER IF NOT EXISTS bob IDENTIFIED BY 'other'",
        "CREATE USER OR REPLACE `cid` IDENTIFIED WITH plaintext_password BY 'it\\'s'",
        "CREATE USER IF NOT EXISTS default",
    ):
        assert server.ask(statement).status == 200, statement
    for user in ("ann", "bob", "cid"):
        assert server.ask("SELECT 1", user=user, password="it's").text == "1\n"
        assert server.ask("SELECT 1", user=user, password="its").code == 516
        assert server.ask(f"SELECT * FROM {table}", user=user, password="it's").code == 497
        assert server.ask("SELECT count() FROM system.query_log", user=user, password="it's").text == "0\n"
        for statement in ("SET ROLE ALL", "DROP USER ann", "CREATE USER dee", f"INSERT INTO {table} VALUES (1, '')"):
            assert server.ask(statement, user=user, password="it's").code == 164
        assert server.ask("SELECT 1", user=user, password="it's", role="warehouse_owner").code == 512
    for statement, code in (
        ("CREATE USER bob", 493),
        ("DROP USER nobody", 192),
        ("DROP USER default", 495),
        (f"CREATE USER OR REPLACE {READER}", 495),
        ("CREATE USER dee HOST LOCAL", 514),
    ):
        assert server.ask(statement).code == code, statement
    assert server.ask(method="GET", query="CREATE USER dee").code == 164
    for statement in ("GRANT SELECT ON default.* TO bob", "REVOKE SELECT ON default.* FROM bob", "SHOW GRANTS FOR bob"):
        refused = server.ask(statement)
        assert (refused.code, "can log in, but has no rights" in refused.text) == (514, True), statement
    assert server.ask("GRANT SELECT ON default.* TO nobody_at_all").code == 511
    assert server.ask("CREATE USER eve, fay NOT IDENTIFIED").status == 200
    assert server.ask("SELECT 1", user="fay").text == "1\n"
    assert server.ask("DROP USER eve, fay").status == 200
    assert "it's" not in (server.home / "warehouse" / "accounts.json").read_text()
    assert server.ask("DROP USER ann, bob, cid").status == 200
    assert server.ask("SELECT 1", user="ann", password="it's").code == 516
