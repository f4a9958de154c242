"""HTTP on the wire, where uvicorn's own protocol is too narrow or too wide: long URLs, limits of header lines, header lines
before the others, clients that send no more but wait for their answer, and those that never come to an end."""

import asyncio
import select
from collections.abc import Callable
from functools import partial

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

# What the setting http_max_uri_size is in ClickHouse.
URL_LIMIT_BYTES = 1 << 20
# The name under which a request's scope offers `EarlyHeaders.send_line`.
EARLY_HEADERS = "tierhouse.early_headers"
# The name under which it offers `_break_off`.
BREAK_OFF = "tierhouse.break_off"
# What a server allows the header lines of a request by default: how many, how long a name, a value, and all of them.
FIELDS_LIMIT = 1000
FIELD_NAME_LIMIT_BYTES = 4096
FIELD_VALUE_LIMIT_BYTES = 128 << 10
HEAD_LIMIT_BYTES = 10 << 20
# More than any line may have, and than arrives at once: so much without an end of a line has none.
_LINE_LIMIT_BYTES = 1 << 20
# Header lines, and words of Connection, by which a client offers to speak another protocol.
_UPGRADE_WORDS = (b"upgrade", b"http2-settings")
# How long a client that sends no more may be waiting before it must be shown to be there.
GONE_SECONDS = 0.5
# How long the header lines of a request may take, and a silence in its body: http_receive_timeout of a server.
RECEIVE_SECONDS = 30.0


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, whose parser refuses URLs beyond 64 KiB, with the query string kept out of that parser. Raising
    in one of the parser's callbacks makes it answer 400 and close."""

    _head_bytes = 0
    _line_bytes = 0
    _sends_no_more = False
    # Since when the client owes the rest of a request, None while it owes nothing.
    _waits_since: float | None = None
    _in_body = False
    _alarm: asyncio.TimerHandle | None = None
    _looks_behind = False
    _answered: RequestResponseCycle | None = None
    sends = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection; whoever opens one has something to say."""
        super().connection_made(transport)
        self._wait_for_client()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._line_bytes += len(data)
        if self._in_body:
            self._waits_since = self.loop.time()
        elif self._waits_since is None:
            # Also where it is no request yet: empty lines before one begin none, and would keep the connection for ever.
            self._wait_for_client()
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as stop:
                if not self._is_put_off:
                    # CONNECT has its answer; what follows is no HTTP.
                    self.cycle.keep_alive = False
                    break
                data = self._without_upgrade() + data[stop.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                break
        if self._line_bytes > _LINE_LIMIT_BYTES and not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

    def _without_upgrade(self) -> bytes:
        """The head of a request again, for a new parser: one of HTTP/1.1, also where its client would rather speak another protocol
        (as Java's clients say by themselves). The old parser takes what follows, the body, for that protocol."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [method + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            if name == b"connection":
                words = [word.strip() for word in value.split(b",")]
                value = b", ".join(word for word in words if word.lower() not in _UPGRADE_WORDS)
            if name not in _UPGRADE_WORDS:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"", b""])

    @property
    def _is_put_off(self) -> bool:
        """Whether the head that is complete is to be read once more."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_bytes = self._line_bytes = 0
        if self._waits_since is None:
            self._wait_for_client()

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

    def on_message_complete(self) -> None:
        """End a request."""
        if self._is_put_off:
            return
        super().on_message_complete()
        self._waits_since, self._in_body = None, False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and tell so whoever answers a request: with pipelined ones it is not the latest."""
        super().connection_lost(exc)
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        if self._alarm is not None:
            self._alarm.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _wait_for_client(self) -> None:
        self._waits_since = self.loop.time()
        if self._alarm is None:
            self._alarm = self.loop.call_later(RECEIVE_SECONDS, self._end_if_late)

    def _end_if_late(self) -> None:
        """Close the connection of a client that is too long about a request. While reading is put off, or an earlier
        request is answered, the client waits and not the server."""
        self._alarm = None
        if self._waits_since is None or self.transport.is_closing():
            return
        is_answered = self.cycle is not None and not self.cycle.response_complete
        if self.flow.read_paused or self.pipeline or (is_answered and not self._in_body):
            self._waits_since = self.loop.time()
        left = self._waits_since + RECEIVE_SECONDS - self.loop.time()
        if left > 0:
            self._alarm = self.loop.call_later(left, self._end_if_late)
            return
        if is_answered and not self.cycle.response_started:
            self.transport.write(STATUS_LINE[408] + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()

    def _look_behind(self, sends: int) -> None:
        """While requests wait for one that runs nothing is read, so that no end is noticed: ask the system for it."""
        self._looks_behind = not self.transport.is_closing() and bool(self.pipeline)
        if not self._looks_behind:
            return
        if _is_refused(self.transport) or (sends == self.sends and _is_ended(self.transport)):
            self.transport.abort()
        else:
            self.loop.call_later(GONE_SECONDS, self._look_behind, self.sends)

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
        if self._is_put_off:
            return
        whole = self.url
        self.url, _, query = whole.partition(b"?")
        before = self.cycle
        super().on_headers_complete()
        self.scope["query_string"] = query.partition(b"#")[0]
        self._waits_since, self._in_body = self.loop.time(), True
        if self.pipeline and not self._looks_behind:
            self._looks_behind = True
            self.loop.call_later(GONE_SECONDS, self._look_behind, self.sends)
        if self.cycle is not before:
            self.scope["extensions"] = {  # type: ignore[typeddict-item]
                EARLY_HEADERS: _EarlyHeaders(self, self.cycle).send_line,  # type: ignore[dict-item]
                BREAK_OFF: partial(_break_off, self.cycle),  # type: ignore[dict-item]
            }


def _break_off(cycle: RequestResponseCycle) -> None:
    """Close the connection behind what is sent of an answer, without the mark of its end: whoever reads it sees it cut."""
    cycle.disconnected = True
    cycle.transport.close()


def _is_refused(transport: asyncio.Transport) -> bool:
    """Whether the other side has answered what was sent by closing the connection in both directions."""
    return _has_event(transport, 0)


def _is_ended(transport: asyncio.Transport) -> bool:
    """Whether the other side sends no more, or is gone."""
    return _has_event(transport, getattr(select, "POLLRDHUP", 0))


def _has_event(transport: asyncio.Transport, events: int) -> bool:
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), events)
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
