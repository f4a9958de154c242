"""Connections as bytes on the wire: offers of other protocols, clients that are slow, pipelined requests."""

import asyncio
import contextlib
import http.client
import socket
import threading
import types
import urllib.parse
from collections.abc import Iterator

import pytest
import uvicorn
from embedded_server import PATIENCE_SECONDS, ask_on, wait_until
from uvicorn.server import ServerState

from orchestration.warehouse.server import app, protocol

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
TLS = b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"
WEBSOCKET = (
    b"Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
)


def on_the_wire(server, request: bytes) -> bytes:
    """All that the server answers to raw bytes until it closes the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(request)
        while data := connection.recv(1 << 16):
            answer += data
    return answer


def read_until(connection: socket.socket, end: bytes) -> bytes:
    answer = b""
    while not answer.endswith(end):
        piece = connection.recv(1 << 16)
        assert piece, answer
        answer += piece
    return answer


@pytest.mark.parametrize("offer", [H2C, TLS, WEBSOCKET])
def test_a_client_that_offers_another_protocol_is_answered_in_this_one(server, offer):
    body = b"SELECT 'with a body', {x:Int8}"
    request = b"POST /?param_x=7 HTTP/1.1\r\nHost: x\r\n" + offer + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = b"POST /?param_x=8 HTTP/1.1\r\n" + offer + b"Transfer-Encoding: chunked\r\n\r\n"
    chunked += b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    for size in (1 << 16, 7):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
            for whole, end in ((request, b"\r\n\r\nwith a body\t7\n"), (chunked, b"\r\n\r\nwith a body\t8\n")):
                for start in range(0, len(whole), size):
                    connection.sendall(whole[start : start + size])
                assert read_until(connection, end).startswith(b"HTTP/1.1 200 OK\r\n")
            connection.sendall(b"GET /ping HTTP/1.1\r\n" + offer + b"\r\n" + request)
            assert read_until(connection, b"with a body\t7\n").count(b"HTTP/1.1 200 OK") == 2
    many = (b"GET /ping HTTP/1.1\r\n" + TLS + b"\r\n") * 1500 + b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert on_the_wire(server, many).count(b"Ok.\n") == 1501


def test_a_tunnel_is_refused_and_what_comes_through_it_not_read(server):
    answer = on_the_wire(server, b"CONNECT / HTTP/1.1\r\n\r\nGET /ping HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405") and answer.count(b"HTTP/1.1") == 1
    assert on_the_wire(server, b"CONNECT example.org:80 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")


async def _echo(scope, receive, send):
    """An application that answers with the length of a body, later where the path asks for it."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    if scope["path"] == "/late":
        await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": b"%d" % length})


def answers_to(*pieces: bytes, pause: float = 0.0) -> bytes:
    """All that comes back on a connection that stays open, from a server whose patience is a tenth of a second."""

    async def run() -> bytes:
        configuration = uvicorn.Config(_echo, lifespan="off", log_config=None)
        configuration.load()
        listener = await asyncio.get_running_loop().create_server(
            lambda: protocol.Protocol(config=configuration, server_state=ServerState(), app_state={}), "127.0.0.1", 0
        )
        async with listener:
            reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause)
            with contextlib.suppress(ConnectionError):
                return await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
            return b""

    return asyncio.run(run())


def test_a_client_that_does_not_finish_its_request_loses_its_connection(monkeypatch):
    monkeypatch.setattr(protocol, "RECEIVE_SECONDS", 0.1)
    assert answers_to(b"") == b""
    assert answers_to(b"GET /ping HTTP/1.1\r\n", *[b"X: y\r\n"] * 20, pause=0.02) == b""
    post = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
    assert answers_to(post + b"a").startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answers_to(post + b"abc" + post).count(b"HTTP/1.1 408") == 1
    # Empty lines before a request are no request, and no reason to wait for one.
    assert answers_to(b"GET /ping HTTP/1.1\r\n\r\n", b"\r\n", pause=0.02).count(b"200 OK") == 1


def test_a_client_may_be_slow_as_long_as_it_goes_on(monkeypatch):
    last = b"GET /late HTTP/1.1\r\nConnection: close\r\n\r\n"
    post = b"POST /late HTTP/1.1\r\nContent-Length: 8\r\n\r\n"
    # Longer than the patience in all, each pause much shorter.
    monkeypatch.setattr(protocol, "RECEIVE_SECONDS", 1.0)
    assert answers_to(post, *[b"x"] * 8, last, pause=0.15).count(b"HTTP/1.1 200 OK") == 2
    monkeypatch.setattr(protocol, "RECEIVE_SECONDS", 0.2)
    # The head of the second request waits with its client for the first answer.
    assert (
        answers_to(
            b"GET /late HTTP/1.1\r\n\r\nGET /la", b"", b"te HTTP/1.1\r\nConnection: close\r\n\r\n", pause=0.2
        ).count(b"200 OK")
        == 2
    )


def test_a_body_that_stays_out_is_answered_behind_the_request_before_it(monkeypatch):
    monkeypatch.setattr(protocol, "RECEIVE_SECONDS", 0.1)
    late, post = b"GET /late HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na"
    first, second = answers_to(late + post).split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200 OK") and second.startswith(b"408")


def test_a_client_of_pipelined_requests_that_goes_away_ends_its_query(server):
    sql = "SELECT count(), 'gone pipelined' FROM numbers(1000000000000) WHERE rand64() = 7 SETTINGS max_threads = 1"
    request = f"GET /?query={urllib.parse.quote(sql)} HTTP/1.1\r\n\r\n".encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)
    connection.sendall(request + b"GET /ping HTTP/1.1\r\n\r\nGET /ping HTTP/1.1\r\n\r\n")
    wait_until(lambda: server.running("'gone pipelined'"), "the query to start")
    connection.close()
    wait_until(lambda: not server.running("'gone pipelined'"), "the query to end")


def test_an_error_has_a_summary_like_any_answer(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    for sql, parameters in (("SELECT nope", {}), ("SELECT throwIf(1)", {}), ("SELECT 1", {"user": "nobody"})):
        answer = ask_on(connection, sql, **parameters)
        assert answer.code and answer.summary["written_rows"] == 0
    connection.close()


def test_a_query_is_ended_until_it_ends_also_while_all_workers_are_busy(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "WORKERS", 1)
    monkeypatch.setattr(app, "CANCEL_AGAIN_SECONDS", 0.01)
    application = app.Application(None, None, tmp_path, "")
    ended, over = threading.Semaphore(0), threading.Event()

    class Query:
        def cancel(self) -> None:
            ended.release()

    async def receive() -> dict:
        return {"type": "http.disconnect"}

    async def run() -> None:
        busy = asyncio.create_task(application._in_thread(over.wait))
        watching = asyncio.create_task(application._watch(receive, Query()))
        for _ in range(3):
            assert await asyncio.to_thread(ended.acquire, timeout=PATIENCE_SECONDS)
        watching.cancel()
        over.set()
        await busy

    asyncio.run(run())


def test_a_kill_that_waits_for_its_query_keeps_nobody_from_ending_others(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "WORKERS_ASIDE", 1)
    application = app.Application(None, None, tmp_path, "")
    entered, ended = threading.Event(), threading.Event()

    class Kill:
        statement = types.SimpleNamespace(kind=b"KILL")
        request = types.SimpleNamespace(flag=lambda name: False, parameters={})
        cancel = ended.set

        def chunks(self) -> Iterator[bytes]:
            entered.set()
            assert ended.wait(PATIENCE_SECONDS), "nothing ended the query"
            yield from ()

    async def receive() -> dict:
        await asyncio.to_thread(entered.wait)
        return {"type": "http.disconnect"}

    async def say(*_, **__) -> None:
        pass

    answer = types.SimpleNamespace(started=False, start=say, finish=say)
    asyncio.run(application._execute(Kill(), receive, answer))
    assert ended.is_set()
