"""One request of the HTTP interface: parameters, decoded body (its data on disk), external tables."""

import asyncio
import base64
import binascii
import os
import re
import tempfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from orchestration.warehouse.server.blocks import BlockDecoder
from orchestration.warehouse.server.compression import Decoder, decoder
from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.guard import NEVER_ZERO
from orchestration.warehouse.server.statement import DEFAULT_LIMIT_BYTES, Statement, read_statement

# Parameters of the interface itself; every other one is a setting of the engine. (Some are settings as well, which a session may
# SET for all of its requests.)
RESERVED = frozenset(
    [
        "query",
        "user",
        "password",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "quota_key",
        "stacktrace",
        "role",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "enable_http_compression",
        "http_zlib_compression_level",
        "client_protocol_version",
        "close_session",
        "add_http_cors_header",
        "http_native_compression_disable_checksumming_on_decompress",
        "http_write_exception_in_output_format",
        "http_response_buffer_size",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
        "http_wait_end_of_query",
        "replace_running_query",
        "replace_running_query_max_wait_ms",
    ]
)
# A query id goes into headers.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
_EXTERNAL_SUFFIX = re.compile(r"(.+)_(format|types|structure)")
_MEMORY_BYTES = 1 << 20
_LONG_STATEMENT_BYTES = 64 << 10
_STATEMENT_LIMIT_BYTES = 16 << 20
_FIELDS_LIMIT = 10_000
_FIELD_LIMIT_BYTES = 256 << 20
_PIECE_BYTES = 1 << 20
_HELD_LIMIT_BYTES = 1 << 30

Receive = Callable[[], Awaitable[dict[str, Any]]]


class ClientGone(Exception):
    """The client closed its connection before its request was complete."""


@dataclass
class ExternalTable:
    """Data that a request brings along, to be a temporary table of that request."""

    name: str
    path: Path
    format: str
    structure: str


@dataclass
class Request:
    """A request, read to its end. `parameters` are the URL's and the form's; texts hold raw bytes as surrogates. `session_values`
    are those parameters of the interface that its session has SET, once it is in there; `unparsed` is a statement that turned out to
    be none."""

    method: str
    headers: Headers
    parameters: dict[str, str]
    statement: Statement | None = None
    data: Path | None = None
    externals: list[ExternalTable] = field(default_factory=list)
    query_id: str = ""
    roles: tuple[str, ...] = ()
    session_values: dict[str, str] = field(default_factory=dict)
    unparsed: bytes = b""

    def value(self, name: str) -> str:
        """A parameter of the interface, of the request or else of its session; empty where neither names it."""
        return self.parameters.get(name) or self.session_values.get(name, "")

    def flag(self, name: str, default: bool = False) -> bool:
        """A parameter of the interface that is on or off."""
        return is_on(self.value(name) or str(default))

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the engine for this request."""
        return {
            name: "1" if value == "0" and name.encode("utf-8", "surrogateescape") in NEVER_ZERO else value
            for name, value in self.parameters.items()
            if name not in RESERVED and not name.startswith("param_") and not self._describes_external(name)
        }

    @property
    def query_parameters(self) -> dict[str, str]:
        """Values for {name:Type} in the statement, escaped as the client escaped them."""
        start = len("param_")
        return {name[start:]: value for name, value in self.parameters.items() if name.startswith("param_")}

    @property
    def waits_for_end(self) -> bool:
        """Whether the answer begins only when the query is over."""
        return self.flag("wait_end_of_query") or self.flag("http_wait_end_of_query")

    @property
    def writes_exception_in_format(self) -> bool:
        """Whether an error comes in the format of the rows: the one parameter that counts in the statement's SETTINGS too."""
        name = "http_write_exception_in_output_format"
        own = self.statement.setting(name) if self.statement is not None else ""
        return is_on(own) if own else self.flag(name)

    @property
    def held_bytes(self) -> float:
        """How much of the result is held back, so that an error among the first rows still gets a status of its own."""
        if self.waits_for_end:
            return float("inf")
        text = self.parameters.get("buffer_size") or self.value("http_response_buffer_size")
        return min(int(text), _HELD_LIMIT_BYTES) if text.isascii() and text.isdigit() else 0

    @property
    def database(self) -> str:
        """The database asked for, or empty."""
        return self.headers.get("x-clickhouse-database") or self.parameters.get("database", "")

    @property
    def format(self) -> str:
        """The format of the answer, as far as the request tells."""
        return (self.statement.format_name if self.statement else None) or self.default_format

    @property
    def default_format(self) -> str:
        """The format of a statement that names none."""
        own = self.statement.setting("default_format") if self.statement is not None else ""
        return own or self.headers.get("x-clickhouse-format") or self.value("default_format") or "TabSeparated"

    def _describes_external(self, name: str) -> bool:
        found = _EXTERNAL_SUFFIX.fullmatch(name)
        return found is not None and any(table.name == found[1] for table in self.externals)


def is_on(text: str) -> bool:
    """What a flag's value means."""
    return text.lower() not in ("", "0", "false")


def read_head(scope: dict[str, Any]) -> Request:
    """The request as far as its headers tell."""
    headers = Headers(scope=scope)
    return Request(scope["method"], headers, {}, query_id=_query_id(headers.get("x-clickhouse-query-id")))


def read_parameters(request: Request, query_string: bytes) -> None:
    """Take over what the URL tells. Raises ServerError."""
    has_length = "content-length" in request.headers or "transfer-encoding" in request.headers
    if request.method == "POST" and not has_length:
        raise ServerError(
            381,
            "HTTP_LENGTH_REQUIRED",
            "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request.",
        )
    request.parameters = _decode_form(query_string)
    if "role" in request.parameters:
        # The one parameter that may be given several times.
        request.roles = tuple(value for name, value in _form_pairs(query_string) if name == "role")
    if not request.headers.get("x-clickhouse-query-id"):
        request.query_id = _query_id(request.parameters.get("query_id"))


def _query_id(given: str | None) -> str:
    return _CONTROL_CHARACTERS.sub("", given or "") or str(uuid.uuid4())


def credentials(request: Request) -> tuple[str, str] | None:
    """User and password as given by headers, Basic authentication or the URL; None when none are given."""
    headers, parameters = request.headers, request.parameters
    by_headers = bool(headers.get("x-clickhouse-user") or headers.get("x-clickhouse-key"))
    by_parameters = "user" in parameters or "password" in parameters
    if by_headers + ("authorization" in headers) + by_parameters > 1:
        raise ServerError(
            516,
            "AUTHENTICATION_FAILED",
            "Invalid authentication: it is not allowed to use more than one of X-ClickHouse-User and -Key, the"
            " Authorization header and authentication via parameters simultaneously.",
        )
    if by_headers:
        return headers.get("x-clickhouse-user") or "default", headers.get("x-clickhouse-key", "")
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            padded = value + "=" * (-len(value) % 4)
            user, _, password = (
                base64.b64decode(padded, validate=True).decode("utf-8", "surrogateescape").partition(":")
            )
        except (binascii.Error, ValueError):
            raise ServerError(
                516, "AUTHENTICATION_FAILED", "Invalid authentication: malformed Basic credentials."
            ) from None
        return user or "default", password
    if scheme:
        raise ServerError(516, "AUTHENTICATION_FAILED", f"Invalid authentication: '{scheme[:20]}' is not supported.")
    if by_parameters:
        return parameters.get("user") or "default", parameters.get("password", "")
    return None


async def read_body(request: Request, receive: Receive, folder: Path) -> None:
    """Read and decode the body to its end, find the statement in it, and leave inline data and external tables in files
    of `folder`. A body that cannot be decoded is still read to its end, so that the connection stays usable."""
    pieces = _decoded(request, receive)
    content_type = request.headers.get("content-type", "")
    if _is_multipart(request):
        await _read_multipart(request, content_type, pieces, folder)
        text = await _collect(request, _no_pieces(), folder)
    else:
        text = await _collect(request, pieces, folder)
    if request.statement is None:
        # A long statement keeps the loop from nobody.
        limit = _statement_limit(request)
        long = len(text) > _LONG_STATEMENT_BYTES
        try:
            request.statement = (
                await asyncio.to_thread(read_statement, text, limit) if long else read_statement(text, limit)
            )
        except ServerError:
            request.unparsed = text
            raise
        if request.statement.data_start is not None:
            _keep_data(request, text[request.statement.data_start :], folder)


def remove_files(request: Request) -> None:
    """Delete what `read_body` left on disk."""
    for path in [request.data, *(table.path for table in request.externals)]:
        if path is not None:
            path.unlink(missing_ok=True)


async def _no_pieces() -> AsyncIterator[bytes]:
    return
    yield b""


async def _raw(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if body := message.get("body", b""):
            yield body
        if not message.get("more_body", False):
            return


async def _decoded(request: Request, receive: Receive) -> AsyncGenerator[bytes, None]:
    """The body, decompressed, in pieces of some size; decoding runs beside the loop, for it may take a while."""
    failure: ServerError | None = None
    decoders: list[Decoder] = []
    try:
        decoders = _decoders(request)
    except ServerError as error:
        failure = error
    waiting = bytearray()
    async for piece in _raw(receive):
        if failure is not None:
            continue
        waiting += piece
        if len(waiting) >= _PIECE_BYTES:
            data, waiting = bytes(waiting), bytearray()
            decoded = _through(decoders, data)
            try:
                while (found := await asyncio.to_thread(next, decoded, None)) is not None:
                    yield found
            except ServerError as error:
                failure = error
    if failure is None:
        try:
            decoded = _through(decoders, bytes(waiting))
            # What has no encoding, or is small, is not worth a thread; a little that decodes to much is.
            found = next(decoded, None)
            while found is not None:
                yield found
                is_much = len(found) >= _PIECE_BYTES
                found = await asyncio.to_thread(next, decoded, None) if is_much else next(decoded, None)
            for one in decoders:
                one.finish()
        except ServerError as error:
            failure = error
    if failure is not None:
        raise failure


def _through(decoders: Sequence[Decoder], data: bytes) -> Iterator[bytes]:
    """What the decoders make of a piece, one behind the other."""
    if not decoders:
        yield data
        return
    for piece in decoders[0].decode(data):
        yield from _through(decoders[1:], piece)


def _decoders(request: Request) -> list[Decoder]:
    """What undoes the body's encodings, the outermost first: HTTP's, then ClickHouse's own blocks."""
    decoders: list[Decoder] = []
    encoding = request.headers.get("content-encoding", "").strip()
    if encoding and encoding.lower() != "identity":
        decoders.append(decoder(encoding))
    if request.flag("decompress") and not _is_multipart(request):
        decoders.append(
            BlockDecoder(verifies=not request.flag("http_native_compression_disable_checksumming_on_decompress"))
        )
    return decoders


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def _collect(request: Request, pieces: AsyncIterator[bytes], folder: Path) -> bytes:
    """The statement with its inline data as far as they are small; large data go to a file as they arrive."""
    query = request.parameters.get("query", "").encode("utf-8", "surrogateescape").rstrip()
    is_form = request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded")
    body = bytearray()
    output = None
    looked = False
    try:
        async for piece in pieces:
            if output is not None:
                await asyncio.to_thread(output.write, piece)
                continue
            body += piece
            if len(body) <= _MEMORY_BYTES:
                continue
            if not looked and not (is_form and body.startswith(b"query=")):
                looked = True
                text = _join(query, bytes(body))
                statement = _try_statement(text, _statement_limit(request))
                if statement is not None and statement.data_start is not None:
                    request.statement = statement
                    output = _new_file(request, folder)
                    output.write(text[statement.data_start :])
                    body.clear()
            if len(body) > _STATEMENT_LIMIT_BYTES:
                async for _rest in pieces:
                    pass
                raise ServerError(229, "QUERY_IS_TOO_LARGE", "The statement is too large.")
    finally:
        if output is not None:
            output.close()
    if is_form and body.startswith(b"query="):
        request.parameters.update(_decode_form(bytes(body)))
        query, body = request.parameters["query"].encode("utf-8", "surrogateescape"), bytearray()
    return _join(query, bytes(body))


def _join(query: bytes, body: bytes) -> bytes:
    return query + b"\n" + body if query else body


def _statement_limit(request: Request) -> int:
    """How long a statement may be: in a session an earlier SET may allow more than the default."""
    given = request.parameters.get("max_query_size", "")
    if given.isascii() and given.isdigit():
        return min(int(given) or _STATEMENT_LIMIT_BYTES, _STATEMENT_LIMIT_BYTES)
    return _STATEMENT_LIMIT_BYTES if request.parameters.get("session_id") else DEFAULT_LIMIT_BYTES


def _try_statement(text: bytes, limit: int) -> Statement | None:
    """The statement at the head of a body that has not arrived to its end; None when it cannot be told yet."""
    try:
        statement = read_statement(text, limit)
    except ServerError:
        return None
    return statement


def _keep_data(request: Request, data: bytes, folder: Path) -> None:
    with _new_file(request, folder) as output:
        output.write(data)


def _new_file(request: Request, folder: Path):
    descriptor, name = tempfile.mkstemp(dir=folder, prefix="body-")
    request.data = Path(name)
    return os.fdopen(descriptor, "wb", buffering=0)


async def _read_multipart(
    request: Request, content_type: str, pieces: AsyncGenerator[bytes, None], folder: Path
) -> None:
    """Form fields become parameters, file parts external tables."""
    # Fields are decoded as latin-1 to get their bytes back: they need not be valid UTF-8.
    headers = Headers({"content-type": f"{content_type}; charset=latin-1"})
    parser = MultiPartParser(
        headers, pieces, max_files=1000, max_fields=_FIELDS_LIMIT, max_part_size=_FIELD_LIMIT_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        async for _rest in pieces:
            pass
        raise ServerError(36, "BAD_ARGUMENTS", f"Cannot read the multipart form: {error}.") from None
    files: list[tuple[str, UploadFile]] = []
    structures: dict[str, str] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append((name, value))
                structure = _structure(request.parameters, name)
                if structure and structure != structures.setdefault(name, structure):
                    raise ServerError(
                        117, "INCORRECT_DATA", f"The parts of external table {name} differ in their structure."
                    )
            else:
                text = value.encode("latin-1").decode("utf-8", "surrogateescape")
                request.parameters[name] = request.parameters.get(name, "") + text if name == "query" else text
        for name, upload in files:
            earlier = next((table.path for table in request.externals if table.name == name), None)
            path = earlier or _new_path(folder)
            # Parts of one name are one table.
            with path.open("ab") as output:
                while data := await upload.read(_PIECE_BYTES):
                    output.write(data)
            if earlier is None:
                request.externals.append(_external(request, name, path))
    finally:
        await form.close()


def _new_path(folder: Path) -> Path:
    descriptor, path = tempfile.mkstemp(dir=folder, prefix="external-")
    os.close(descriptor)
    return Path(path)


def _external(request: Request, name: str, path: Path) -> ExternalTable:
    data_format = request.parameters.get(f"{name}_format") or "TabSeparated"
    return ExternalTable(name, path, data_format, _structure(request.parameters, name))


def _structure(parameters: dict[str, str], name: str) -> str:
    structure = parameters.get(f"{name}_structure", "")
    if not structure and (types := parameters.get(f"{name}_types", "")):
        structure = ", ".join(f"_{place} {kind}" for place, kind in enumerate(_split_types(types), 1))
    return structure


def _split_types(types: str) -> list[str]:
    """Split at the commas outside of brackets: `UInt8, Array(Tuple(Int8, String))` are two types."""
    found, depth, start = [], 0, 0
    for place, character in enumerate(types):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            found.append(types[start:place].strip())
            start = place + 1
    return [*found, types[start:].strip()]


def _decode_form(data: bytes) -> dict[str, str]:
    pairs = _form_pairs(data)
    found = dict(pairs)
    if "query" in found:
        # The one parameter whose values are joined.
        found["query"] = "".join(value for name, value in pairs if name == "query")
    return found


def _form_pairs(data: bytes) -> list[tuple[str, str]]:
    text = data.decode("latin-1")
    if text.count("&") >= _FIELDS_LIMIT:
        raise ServerError(1000, "POCO_EXCEPTION", "HTML Form Exception: Too many form fields.")
    pairs = parse_qsl(text, keep_blank_values=True, encoding="latin-1")
    return [
        (
            name.encode("latin-1").decode("utf-8", "surrogateescape"),
            value.encode("latin-1").decode("utf-8", "surrogateescape"),
        )
        for name, value in pairs
    ]
