"""HTTP on the wire, where uvicorn's own protocol is too narrow or too wide: long URLs, limits of header lines, header lines
before the others, and clients that send no more but wait for their answer."""

import asyncio
import select
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

# What the setting http_max_uri_size is in ClickHouse.
URL_LIMIT_BYTES = 1 << 20
# The name under which a request's scope offers `EarlyHeaders.send_line`.
EARLY_HEADERS = "tierhouse.early_headers"
# What a server allows the header lines of a request by default: how many, how long a name, a value, and all of them.
FIELDS_LIMIT = 1000
FIELD_NAME_LIMIT_BYTES = 4096
FIELD_VALUE_LIMIT_BYTES = 128 << 10
HEAD_LIMIT_BYTES = 10 << 20
# More than any line may have, and than arrives at once: so much without an end of a line has none.
_LINE_LIMIT_BYTES = 1 << 20
# How long a client that sends no more may be waiting before it must be shown to be there.
GONE_SECONDS = 0.5


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, whose parser refuses URLs beyond 64 KiB, with the query string kept out of that parser. Raising
    in one of the parser's callbacks makes it answer 400 and close."""

    _head_bytes = 0
    _line_bytes = 0
    _sends_no_more = False
    sends = 0

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._line_bytes += len(data)
        super().data_received(data)
        if self._line_bytes > _LINE_LIMIT_BYTES and not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_bytes = self._line_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Collect the URL."""
        super().on_url(url)
        self._line_bytes = 0
        if len(self.url) > URL_LIMIT_BYTES:
            raise ValueError("the URL is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header line."""
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        self._line_bytes = 0
        if len(name) > FIELD_NAME_LIMIT_BYTES or len(value) > FIELD_VALUE_LIMIT_BYTES:
            raise ValueError("a header line is too long")
        if len(self.headers) > FIELDS_LIMIT or self._head_bytes > HEAD_LIMIT_BYTES:
            raise ValueError("there are too many header lines")

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body."""
        super().on_body(body)
        self._line_bytes = 0

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to keep the connection: a client that sends no more may wait for an answer, or it is gone."""
        if self.cycle is None or self.cycle.more_body or self.cycle.response_complete:
            return False
        self._sends_no_more = True
        self.loop.call_later(GONE_SECONDS, self._end_if_gone, self.sends)
        return True

    def _end_if_gone(self, sends: int | None) -> None:
        """Whoever is gone looks like one who waits until something is sent, which the system of the first refuses. Who got
        nothing in this time is taken for gone: a query must not run on for nobody."""
        if self.transport.is_closing():
            return
        if _is_refused(self.transport) or (sends == self.sends and not self.transport.get_write_buffer_size()):
            self.transport.abort()
        else:
            self.loop.call_later(GONE_SECONDS, self._end_if_gone, None)

    def on_response_complete(self) -> None:
        """Go on with the next request, where there is or may be one."""
        super().on_response_complete()
        if self._sends_no_more and self.cycle.response_complete:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Start the request, the whole query string in its scope."""
        whole = self.url
        self.url, _, query = whole.partition(b"?")
        before = self.cycle
        super().on_headers_complete()
        self.scope["query_string"] = query.partition(b"#")[0]
        if self.cycle is not before:
            self.scope["extensions"] = {EARLY_HEADERS: _EarlyHeaders(self, self.cycle).send_line}  # type: ignore[typeddict-item, dict-item]


def _is_refused(transport: asyncio.Transport) -> bool:
    """Whether the other side has answered what was sent by closing the connection in both directions."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return bool(poll.poll(0))


class _EarlyHeaders:
    """Sends the status line and single header lines of an answer while the rest of its headers is not known yet."""

    def __init__(self, protocol: Protocol, cycle: RequestResponseCycle):
        self._protocol, self._cycle = protocol, cycle
        self._began = False
        cycle.send = self._wrap(cycle.send)  # type: ignore[method-assign]

    def send_line(self, name: str, value: str) -> None:
        """Send one header line; the first one brings the status line, from then on a 200 whatever comes."""
        cycle = self._cycle
        if cycle.disconnected or cycle.response_started:
            return
        line = f"{name.lower()}: {value}\r\n".encode()
        if not self._began:
            self._began = True
            line = STATUS_LINE[200] + line
        self._protocol.sends += 1
        cycle.transport.write(line)

    def _wrap(self, send: Callable) -> Callable:
        async def send_rest(message) -> None:
            if self._began and message["type"] == "http.response.start":
                # uvicorn writes the status line with the headers in one piece; what is sent already is cut off.
                cycle = self._cycle
                cycle.transport = _WithoutStatusLine(cycle, STATUS_LINE[message["status"]])  # type: ignore[assignment]
            self._protocol.sends += 1
            await send(message)

        return send_rest


class _WithoutStatusLine:
    """A transport for one write: the head of an answer, its status line left out."""

    def __init__(self, cycle: RequestResponseCycle, status_line: bytes):
        self._cycle, self._transport, self._status_line = cycle, cycle.transport, status_line

    def write(self, data: bytes) -> None:
        """Write the head and give the transport back."""
        self._cycle.transport = self._transport
        self._transport.write(data.removeprefix(self._status_line))

    def __getattr__(self, name: str):
        return getattr(self._transport, name)
