"""The HTTP side of the embedded warehouse: an ASGI application that answers as ClickHouse's HTTP interface does."""

import asyncio
import contextlib
import hmac
import json
import logging
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchestration.warehouse.server.compression import Encoder, choose_encoding, encoder
from orchestration.warehouse.server.engine import Engine
from orchestration.warehouse.server.errors import ServerError, from_engine, tagged_block
from orchestration.warehouse.server.execution import Execution
from orchestration.warehouse.server.request import (
    ClientGone,
    Request,
    credentials,
    read_body,
    read_head,
    remove_files,
)
from orchestration.warehouse.server.sessions import Sessions

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Result = TypeVar("Result")

logger = logging.getLogger("tierhouse.warehouse")

WORKERS = 256
# A result that is complete within this time is sent as one piece, with final numbers in its headers.
GRACE_SECONDS = 0.05
_MEMORY_BYTES = 1 << 20
_CONTENT_TYPES = {
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "csvwithnamesandtypes": "text/csv; charset=UTF-8; header=present",
    "json": "application/json; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
    "markdown": "text/markdown; charset=UTF-8",
    "parquet": "application/octet-stream",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "rawblob": "application/octet-stream",
}


@dataclass(frozen=True)
class Account:
    """Someone who may ask: a password (empty for none) and whether only reading is allowed."""

    password: str
    reads_only: bool


class Application:
    """One server: the engine, its sessions, its accounts. `last_used` is the clock's time of the last request's end."""

    def __init__(self, engine: Engine, accounts: dict[str, Account], folder: Path, identity: str):
        self.engine = engine
        self.sessions = Sessions(engine)
        self.folder = folder
        self.accounts = accounts
        self.identity = identity.encode()
        self.running = 0
        self.last_used = time.monotonic()
        self._pool = ThreadPoolExecutor(WORKERS, "request")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one HTTP request (or the lifespan protocol)."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        self.running += 1
        try:
            await self._route(scope, receive, send)
        finally:
            self.running -= 1
            self.last_used = time.monotonic()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        sweeper: asyncio.Task | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                sweeper = asyncio.create_task(self._sweep())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if sweeper is not None:
                    sweeper.cancel()
                self._pool.shutdown(wait=True, cancel_futures=True)
                self.sessions.expire(everything=True)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _sweep(self) -> None:
        """Close sessions soon after their time is over, also when nobody asks for anything."""
        while True:
            await asyncio.sleep(1.0)
            await self._in_thread(self.sessions.expire)

    async def _in_thread(self, function: Callable[..., Result], *arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _route(self, scope: Message, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            await self._plain(
                send,
                204,
                b"",
                {
                    "Allow": "OPTIONS, GET, HEAD, POST",
                    "Access-Control-Allow-Origin": "*",
                    "Access-Control-Allow-Headers": "origin, x-requested-with, x-clickhouse-format, x-clickhouse-user,"
                    " x-clickhouse-key, Authorization",
                    "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
                    "Access-Control-Max-Age": "86400",
                },
            )
        elif method not in ("GET", "HEAD", "POST"):
            await self._plain(
                send, 405, b"This method is not supported; use GET or POST.\n", {"Allow": "OPTIONS, GET, HEAD, POST"}
            )
        elif path in ("/ping", "/replicas_status") or (
            path == "/" and method != "POST" and b"query=" not in scope["query_string"]
        ):
            await self._plain(send, 200, b"Ok.\n", head_only=method == "HEAD")
        elif path in ("/", "/query"):
            await self._query(scope, receive, send)
        else:
            await self._plain(
                send,
                404,
                b"There is no handle " + path.encode("utf-8", "replace") + b"\n\nUse / or /ping for health checks.\n"
                b"Or /replicas_status for more sophisticated health checks.\n\nSend queries from your program with POST"
                b" method or GET /?query=...\n",
            )

    async def _plain(
        self, send: Send, status: int, body: bytes, headers: dict[str, str] | None = None, head_only: bool = False
    ) -> None:
        found = {
            "Content-Type": "text/html; charset=UTF-8" if status == 200 else "text/plain; charset=UTF-8",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        await send({"type": "http.response.start", "status": status, "headers": self._raw_headers(found)})
        await send({"type": "http.response.body", "body": b"" if head_only else body})

    def _raw_headers(self, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        common = [
            (b"Connection", b"Keep-Alive"),
            (b"X-ClickHouse-Server-Display-Name", b"tierhouse"),
            (b"X-Tierhouse-Home", self.identity),
        ]
        return common + [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]

    async def _query(self, scope: Message, receive: Receive, send: Send) -> None:
        request = read_head(scope)
        answer = _Answer(self, request, send)
        try:
            user, account = self._authenticate(request)
            if request.flag("compress") or request.flag("decompress"):
                message = (
                    "The parameters compress and decompress are not supported; use Content-Encoding, Accept-Encoding"
                )
                raise ServerError(48, "NOT_IMPLEMENTED", message)
            await read_body(request, receive, self.folder)
            execution = Execution(self.engine, self.sessions, request, user, account.reads_only)
            await self._execute(execution, receive, answer)
        except ServerError as error:
            await answer.fail(error)
        except ClientGone:
            pass
        except OSError as error:
            logger.error("a request failed: %s", error.strerror)
            message = f"The server cannot keep the request's data: {error.strerror}"
            await answer.fail(ServerError(1001, "STD_EXCEPTION", message))
        except Exception as error:
            # The connection stays usable and the client learns that it was the server; the log has the rest.
            logger.exception("a request failed")
            await answer.fail(ServerError(1002, "UNKNOWN_EXCEPTION", f"The server failed: {type(error).__name__}"))
        finally:
            await self._in_thread(remove_files, request)

    def _authenticate(self, request: Request) -> tuple[str, Account]:
        """The account of a request. Raises ServerError 516 for a wrong or missing password, in equal time for each."""
        given = credentials(request) or ("default", "")
        account = self.accounts.get(given[0])
        expected = account.password if account else secrets.token_hex(8)
        matches = hmac.compare_digest(expected.encode(), given[1].encode("utf-8", "surrogateescape"))
        if account is None or not matches:
            raise ServerError(
                516,
                "AUTHENTICATION_FAILED",
                f"{given[0]}: Authentication failed: password is incorrect, or there is no user with such name.",
            )
        return given[0], account

    async def _execute(self, execution: Execution, receive: Receive, answer: "_Answer") -> None:
        pieces = execution.chunks()
        watcher = asyncio.create_task(self._watch(receive, execution))
        step: asyncio.Task | None = None
        try:
            step = asyncio.create_task(self._in_thread(_next, pieces))
            waits = execution.request.flag("wait_end_of_query")
            with tempfile.SpooledTemporaryFile(_MEMORY_BYTES, dir=str(self.folder)) as kept:
                while (piece := await step) is not None:
                    step = asyncio.create_task(self._in_thread(_next, pieces))
                    if waits:
                        kept.write(piece)
                        continue
                    if not answer.started and not await _soon(step):
                        await answer.start(execution, complete=None)
                    if not answer.started and await step is None:
                        await answer.start(execution, complete=piece)
                        return
                    if not answer.started:
                        await answer.start(execution, complete=None)
                    await answer.send_piece(piece)
                if not answer.started and not waits:
                    await answer.start(execution, complete=b"")
                    return
                if waits:
                    kept.seek(0)
                    await answer.start(execution, complete=None)
                    while data := kept.read(_MEMORY_BYTES):
                        await answer.send_piece(data)
            await answer.finish()
        except asyncio.CancelledError:
            execution.cancel()
            raise
        finally:
            watcher.cancel()
            if step is not None:
                await asyncio.wait({step})
                if not step.cancelled():
                    step.exception()
            await self._in_thread(_close, pieces)

    async def _watch(self, receive: Receive, execution: Execution) -> None:
        """End the query when its client goes away."""
        while (await receive())["type"] != "http.disconnect":
            pass
        await self._in_thread(execution.cancel)


class _Answer:
    """The answer to one request: headers once, then pieces, compressed if asked for, then the end or an error."""

    def __init__(self, application: Application, request: Request, send: Send):
        self._application = application
        self._request = request
        self._send = send
        self._tag = secrets.token_hex(8)
        self._encoder: Encoder | None = None
        self.started = False

    async def start(self, execution: Execution, complete: bytes | None) -> None:
        """Send the headers, and the whole body where it is `complete` (empty for no result set)."""
        headers = {
            "Content-Type": _content_type(execution.format),
            "X-ClickHouse-Query-Id": self._request.query_id,
            "X-ClickHouse-Timezone": execution.timezone,
            "X-ClickHouse-Exception-Tag": self._tag,
            "X-ClickHouse-Summary": json.dumps(execution.summary(), separators=(",", ":")),
        }
        if execution.format is not None:
            headers["X-ClickHouse-Format"] = execution.format
        await self._start(200, headers, complete)

    async def _start(self, status: int, headers: dict[str, str], complete: bytes | None) -> None:
        self.started = True
        request = self._request
        if request.flag("enable_http_compression") and complete != b"":
            name = choose_encoding(request.headers.get("accept-encoding", ""))
            if name is not None:
                level = request.parameters.get("http_zlib_compression_level", "")
                self._encoder = encoder(name, int(level) if level.isdigit() else 3)
                headers["Content-Encoding"] = name
        if complete is not None:
            complete = self._encode(complete) + self._encode_end()
            headers["Content-Length"] = str(len(complete))
        await self._send(
            {"type": "http.response.start", "status": status, "headers": self._application._raw_headers(headers)}
        )
        if complete is not None:
            body = b"" if request.method == "HEAD" else complete
            await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _encode(self, data: bytes) -> bytes:
        return self._encoder.encode(data) if self._encoder is not None else data

    def _encode_end(self) -> bytes:
        return self._encoder.finish() if self._encoder is not None else b""

    async def send_piece(self, data: bytes) -> None:
        """Send a piece of the body."""
        encoded = await self._application._in_thread(self._encode, data) if self._encoder is not None else data
        await self._send({"type": "http.response.body", "body": encoded, "more_body": True})

    async def finish(self) -> None:
        """End the body."""
        await self._send({"type": "http.response.body", "body": self._encode_end(), "more_body": False})

    async def fail(self, error: ServerError) -> None:
        """Tell the client: with a status while nothing is sent, with the tagged block behind rows already sent."""
        text = error.text(self._application.engine.version).encode("utf-8", "surrogateescape")
        if self.started:
            await self.send_piece(tagged_block(text, self._tag.encode()))
            await self.finish()
            return
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Exception-Code": str(error.code),
            "X-ClickHouse-Query-Id": self._request.query_id,
            "X-ClickHouse-Timezone": self._application.engine.timezone,
            "X-ClickHouse-Exception-Tag": self._tag,
        }
        if error.code == 516 and "x-clickhouse-user" not in self._request.headers:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        await self._start(error.status, headers, text)


def _next(pieces: Iterator[bytes]) -> bytes | None:
    """The next piece, None at the end: StopIteration does not pass through a future."""
    try:
        return next(pieces, None)
    except ServerError:
        raise
    except (RuntimeError, UnicodeDecodeError) as error:
        raise from_engine(error) from None


def _close(pieces: Iterator[bytes]) -> None:
    with contextlib.suppress(ServerError):
        pieces.close()  # type: ignore[attr-defined]


async def _soon(step: asyncio.Task) -> bool:
    done, _ = await asyncio.wait({step}, timeout=GRACE_SECONDS)
    return bool(done)


def _content_type(name: str | None) -> str:
    lower = (name or "tabseparated").lower()
    if lower in _CONTENT_TYPES:
        return _CONTENT_TYPES[lower]
    if lower.startswith("json"):
        lines = "eachrow" in lower
        return "application/x-ndjson; charset=UTF-8" if lines else "application/json; charset=UTF-8"
    if lower.startswith(("tabseparated", "tsv")):
        return "text/tab-separated-values; charset=UTF-8"
    if lower.startswith(("arrow", "orc", "avro", "msgpack", "protobuf", "rowbinary", "npy", "bsoneachrow")):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"
