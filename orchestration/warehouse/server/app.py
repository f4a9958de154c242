"""The HTTP side of the embedded warehouse: an ASGI application that answers as ClickHouse's HTTP interface does."""

import asyncio
import contextlib
import json
import logging
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from orchestration.warehouse.server.accounts import Account, Accounts
from orchestration.warehouse.server.blocks import BlockEncoder
from orchestration.warehouse.server.compression import Encoder, choose_encoding, encoder
from orchestration.warehouse.server.engine import Engine, Progress
from orchestration.warehouse.server.errors import (
    ServerError,
    exception_in_format,
    from_engine,
    from_system,
    is_json_per_line,
    tagged_block,
)
from orchestration.warehouse.server.execution import Execution, summary_of
from orchestration.warehouse.server.protocol import BREAK_OFF, EARLY_HEADERS
from orchestration.warehouse.server.queries import RunningQueries
from orchestration.warehouse.server.request import (
    ClientGone,
    Request,
    credentials,
    read_body,
    read_head,
    read_parameters,
    remove_files,
)
from orchestration.warehouse.server.response_headers import override
from orchestration.warehouse.server.sessions import Sessions

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Result = TypeVar("Result")

logger = logging.getLogger("tierhouse.warehouse")

WORKERS = 512
WORKERS_ASIDE = 16
# A result that is complete within this time is sent as one piece, with final numbers in its headers.
GRACE_SECONDS = 0.05
# How long a client has to read why rows are missing, before its connection is cut: many throw away what is not read by then.
CUT_SECONDS = 0.1
# When a query whose client has gone is ended for a second time; later ones follow at twice the distance each.
CANCEL_AGAIN_SECONDS = 0.5
_MEMORY_BYTES = 1 << 20
_PROGRESS_SECONDS = 0.1
_ROWS_ARE_SENT_BYTES = 64 << 10
# What scripts of other origins may see of an answer.
_EXPOSED_HEADERS = (
    "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,X-ClickHouse-Format,X-ClickHouse-Timezone,"
    "X-ClickHouse-Exception-Code,X-ClickHouse-Exception-Tag"
)
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


class Application:
    """One server: the engine, its sessions, its accounts. `last_used` is the clock's time of the last request's end."""

    def __init__(self, engine: Engine, accounts: Accounts, folder: Path, identity: str):
        self.engine = engine
        self.sessions = Sessions(engine)
        self.queries = RunningQueries()
        self.folder = folder
        self.accounts = accounts
        self.identity = identity.encode()
        self.running = 0
        self.last_used = time.monotonic()
        self._pool = ThreadPoolExecutor(WORKERS, "request")
        # For what takes little time and ends queries: it must not wait for those.
        self._aside = ThreadPoolExecutor(WORKERS_ASIDE, "aside")
        # KILL QUERY is wanted most when everything is busy, and may itself wait for what it ends (SYNC).
        self._kills = ThreadPoolExecutor(WORKERS, "kill")

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
                self._aside.shutdown(wait=True, cancel_futures=True)
                self._kills.shutdown(wait=True, cancel_futures=True)
                self.sessions.expire(everything=True)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _sweep(self) -> None:
        """Close sessions soon after their time is over, also when nobody asks for anything."""
        while True:
            await asyncio.sleep(1.0)
            await self._soon_in_thread(self.sessions.expire)

    async def _in_thread(self, function: Callable[..., Result], *arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _soon_in_thread(self, function: Callable[..., Result], *arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._aside, function, *arguments)

    async def _kill_in_thread(self, function: Callable[..., Result], *arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._kills, function, *arguments)

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
            (b"X-ClickHouse-Server-Display-Name", b"tierhouse"),
            (b"X-Tierhouse-Home", self.identity),
        ]
        return common + [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]

    async def _query(self, scope: Message, receive: Receive, send: Send) -> None:
        request = read_head(scope)
        answer = _Answer(self, request, send, scope)
        try:
            read_parameters(request, scope["query_string"])
            user, account = self._authenticate(request)
            await read_body(request, receive, self.folder)
            execution = Execution(self.engine, self.sessions, self.queries, self.accounts, request, user, account)
            answer.execution = execution
            await self._execute(execution, receive, answer)
        except ServerError as error:
            if request.unparsed.strip():
                text = request.unparsed.decode("utf-8", "surrogateescape")
                await self._soon_in_thread(self.engine.log_unparsed, user, request.query_id, text, error)
            await answer.fail(error)
        except ClientGone:
            pass
        except OSError as error:
            logger.error("a request failed: %s", error.strerror)
            await answer.fail(from_system(error))
        except Exception as error:
            # The connection stays usable and the client learns that it was the server; the log has the rest.
            logger.exception("a request failed")
            await answer.fail(ServerError(1002, "UNKNOWN_EXCEPTION", f"The server failed: {type(error).__name__}"))
        finally:
            await self._soon_in_thread(remove_files, request)

    def _authenticate(self, request: Request) -> tuple[str, Account]:
        """The account of a request. Raises ServerError 516 for a wrong or missing password, in equal time for each."""
        given = credentials(request) or ("default", "")
        account = self.accounts.authenticate(*given)
        if account is None:
            raise ServerError(
                516,
                "AUTHENTICATION_FAILED",
                f"{given[0]}: Authentication failed: password is incorrect, or there is no user with such name.",
            )
        return given[0], account

    async def _execute(self, execution: Execution, receive: Receive, answer: "_Answer") -> None:
        pieces = execution.chunks()
        run = self._kill_in_thread if execution.statement.kind == b"KILL" else self._in_thread
        beside = [asyncio.create_task(self._watch(receive, execution))]
        if execution.request.flag("send_progress_in_http_headers") or "session_id" in execution.request.parameters:
            beside.append(asyncio.create_task(answer.report_progress(execution)))
        step: asyncio.Task | None = None
        try:
            step = asyncio.create_task(run(_next, pieces))
            with tempfile.SpooledTemporaryFile(_MEMORY_BYTES, dir=str(self.folder)) as kept:
                held = 0
                while (piece := await step) is not None:
                    step = asyncio.create_task(run(_next, pieces))
                    if not answer.started and held + len(piece) <= answer.held_bytes:
                        held += kept.write(piece)
                        continue
                    if not answer.started and not held and await _soon(step) and _is_end(step, len(piece)):
                        await answer.start(execution, complete=piece)
                        return
                    if not answer.started:
                        await answer.start(execution, complete=None)
                        await answer.send_kept(kept)
                    await answer.send_piece(piece)
                if not answer.started and held <= _MEMORY_BYTES:
                    kept.seek(0)
                    await answer.start(execution, complete=kept.read())
                    return
                if not answer.started:
                    await answer.start(execution, complete=None, length=held)
                    await answer.send_kept(kept)
            await answer.finish()
        except asyncio.CancelledError:
            execution.cancel()
            raise
        finally:
            for task in beside:
                task.cancel()
            if step is not None:
                await asyncio.wait({step})
                if not step.cancelled():
                    step.exception()
            await run(_close, pieces)

    async def _watch(self, receive: Receive, execution: Execution) -> None:
        """End the query when its client goes away."""
        while (await receive())["type"] != "http.disconnect":
            pass
        pause = CANCEL_AGAIN_SECONDS
        while True:
            # A query on its way into the engine is not found there yet. Whoever runs it ends this task.
            await self._soon_in_thread(execution.cancel)
            await asyncio.sleep(pause)
            pause *= 2


class _Answer:
    """The answer to one request: headers once, then pieces, compressed if asked for, then the end or an error."""

    def __init__(self, application: Application, request: Request, send: Send, scope: Message):
        self._application = application
        self._request = request
        self._send = send
        self._tag = secrets.token_hex(8)
        self._encoders: list[Encoder] = []
        self._format: str | None = None
        extensions = scope.get("extensions", {})
        self._early_header: Callable[[str, str], None] | None = extensions.get(EARLY_HEADERS)
        self._break_off: Callable[[], None] | None = extensions.get(BREAK_OFF)
        # A client of HTTP/1.0 knows no pieces: it needs the length, or the end of the connection.
        self._needs_length = scope["http_version"] == "1.0"
        self.execution: Execution | None = None
        self.started = False

    @property
    def held_bytes(self) -> float:
        """How much of the body to hold back before the answer starts."""
        return float("inf") if self._needs_length else self._request.held_bytes

    async def start(self, execution: Execution, complete: bytes | None, length: int | None = None) -> None:
        """Send the headers, and the whole body where it is `complete` (empty for no result set). `length` is that of a
        body that follows in pieces, where it is known."""
        headers = {
            "Content-Type": _content_type(execution.format),
            "X-ClickHouse-Query-Id": self._request.query_id,
            "X-ClickHouse-Timezone": execution.timezone,
            "X-ClickHouse-Exception-Tag": self._tag,
            "X-ClickHouse-Summary": _summary(execution),
        }
        self._format = execution.format
        if execution.format is not None:
            headers["X-ClickHouse-Format"] = execution.format
        await self._start(200, override(headers, execution.headers), complete, length)

    async def _start(
        self, status: int, headers: dict[str, str], complete: bytes | None, length: int | None = None
    ) -> None:
        self.started = True
        request = self._request
        if request.flag("add_http_cors_header") and "origin" in request.headers:
            headers |= {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _EXPOSED_HEADERS}
        if complete != b"" and not (self._needs_length and complete is None):
            self._choose_encoders(headers)
        if complete is not None:
            complete = self._encode(complete) + self._encode_end()
            headers["Content-Length"] = str(len(complete))
        elif length is not None and not self._encoders:
            headers["Content-Length"] = str(length)
        await self._send(
            {"type": "http.response.start", "status": status, "headers": self._application._raw_headers(headers)}
        )
        if complete is not None:
            body = b"" if request.method == "HEAD" else complete
            await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _choose_encoders(self, headers: dict[str, str]) -> None:
        request = self._request
        if request.flag("compress"):
            self._encoders.append(BlockEncoder())
        if request.flag("enable_http_compression", default=True):
            name = choose_encoding(request.headers.get("accept-encoding", ""))
            if name is not None:
                level = request.value("http_zlib_compression_level")
                self._encoders.append(encoder(name, int(level) if level.isdigit() else 3))
                headers["Content-Encoding"] = name

    def _encode(self, data: bytes) -> bytes:
        for one in self._encoders:
            data = one.encode(data)
        return data

    def _encode_end(self) -> bytes:
        rest = b""
        for one in self._encoders:
            rest = (one.encode(rest) if rest else b"") + one.finish()
        return rest

    async def report_progress(self, execution: Execution) -> None:
        """Send X-ClickHouse-Progress header lines until the answer starts, where the request asks for them or its session, of
        which nothing is known at first."""
        while not self.started and self._early_header is not None:
            text = self._request.value("http_headers_progress_interval_ms")
            seconds = int(text) / 1000 if text.isascii() and text.isdigit() else _PROGRESS_SECONDS
            await asyncio.sleep(max(seconds, _PROGRESS_SECONDS / 10))
            if not self._request.flag("send_progress_in_http_headers"):
                return
            numbers = await self._application._soon_in_thread(execution.progress_so_far)
            # From here to the line nothing awaits: the answer cannot start in between.
            if numbers is not None and not self.started:
                self._early_header("X-ClickHouse-Progress", json.dumps(numbers, separators=(",", ":")))

    async def send_piece(self, data: bytes) -> None:
        """Send a piece of the body."""
        encoded = await self._application._soon_in_thread(self._encode, data) if self._encoders else data
        await self._send({"type": "http.response.body", "body": encoded, "more_body": True})

    async def send_kept(self, kept: IO[bytes]) -> None:
        """Send the pieces that were held back."""
        kept.seek(0)
        while data := kept.read(_MEMORY_BYTES):
            await self.send_piece(data)

    async def finish(self) -> None:
        """End the body."""
        await self._send({"type": "http.response.body", "body": self._encode_end(), "more_body": False})

    async def _cut(self, block: bytes) -> None:
        """End a body that misses rows: with the block that says why, and without the mark of its end, as a server does. Who does
        not know the block must not take the rows before it for all."""
        await self.send_piece(block)
        await self._send({"type": "http.response.body", "body": self._encode_end(), "more_body": True})
        if self._break_off is not None:
            await asyncio.sleep(CUT_SECONDS)
            self._break_off()

    async def fail(self, error: ServerError) -> None:
        """Tell the client: with a status while nothing is sent, with the tagged block behind rows already sent."""
        if error.code in (164, 497) and self.execution and error.message.startswith("default: "):
            # The engine knows one user only.
            error.message = self.execution.user + error.message.removeprefix("default")
        line = error.text(self._application.engine.version)
        text = line.encode("utf-8", "surrogateescape")
        execution = self.execution
        name = self._format or (execution.output_format if execution else self._request.format)
        formatted = None
        # A name that is none of a format would not do in a header.
        if self._request.writes_exception_in_format and name.isascii() and name.isidentifier():
            formatted = exception_in_format(line, name, behind_rows=self.started)
        if self.started and formatted:
            await self.send_piece(formatted)
            await self.finish()
            return
        if self.started:
            await self._cut(tagged_block(text, self._tag.encode()))
            return
        headers = {
            "Content-Type": _content_type(name) if formatted else "text/plain; charset=UTF-8",
            "X-ClickHouse-Exception-Code": str(error.code),
            "X-ClickHouse-Query-Id": self._request.query_id,
            "X-ClickHouse-Timezone": execution.timezone if execution else self._application.engine.timezone,
            "X-ClickHouse-Exception-Tag": self._tag,
            "X-ClickHouse-Summary": _summary(execution),
        }
        if formatted:
            headers["X-ClickHouse-Format"] = name
        if error.code == 516:
            # Whoever is not known yet is answered without encodings, as by a server.
            self._request.parameters |= {"compress": "0", "enable_http_compression": "0"}
            if "x-clickhouse-user" not in self._request.headers:
                headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        await self._start(error.status, headers, formatted or text)


def _summary(execution: Execution | None) -> str:
    """X-ClickHouse-Summary; of zeros where nothing ran."""
    numbers = execution.summary() if execution else summary_of(Progress(), 0.0)
    return json.dumps(numbers, separators=(",", ":"))


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


def _is_end(step: asyncio.Task, held: int) -> bool:
    """Whether the answer is complete. Raises the error that came instead of more rows, where few bytes were made: it then has
    a status of its own; behind many it goes into the stream, as a server does that has sent them."""
    if step.exception() is not None and held >= _ROWS_ARE_SENT_BYTES:
        return False
    return step.result() is None


async def _soon(step: asyncio.Task) -> bool:
    done, _ = await asyncio.wait({step}, timeout=GRACE_SECONDS)
    return bool(done)


def _content_type(name: str | None) -> str:
    lower = (name or "tabseparated").lower()
    if lower in _CONTENT_TYPES:
        return _CONTENT_TYPES[lower]
    if is_json_per_line(lower) or ("eachrow" in lower and lower.startswith("json")):
        return "application/x-ndjson; charset=UTF-8"
    if lower.startswith("json"):
        return "application/json; charset=UTF-8"
    if lower.startswith(("tabseparated", "tsv")):
        return "text/tab-separated-values; charset=UTF-8"
    if lower.startswith(("arrow", "orc", "avro", "msgpack", "protobuf", "rowbinary", "npy", "bsoneachrow")):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"
