"""HTTP on the wire, where uvicorn's own protocol is too narrow: long URLs, and header lines before the others."""

from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

# What the setting http_max_uri_size is in ClickHouse.
URL_LIMIT_BYTES = 1 << 20
# The name under which a request's scope offers `EarlyHeaders.send_line`.
EARLY_HEADERS = "tierhouse.early_headers"


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, whose parser refuses URLs beyond 64 KiB, with the query string kept out of that parser."""

    def on_url(self, url: bytes) -> None:
        """Collect the URL. Raising makes the parser answer 400 and close."""
        super().on_url(url)
        if len(self.url) > URL_LIMIT_BYTES:
            raise ValueError("the URL is too long")

    def on_headers_complete(self) -> None:
        """Start the request, the whole query string in its scope."""
        whole = self.url
        self.url, _, query = whole.partition(b"?")
        before = self.cycle
        super().on_headers_complete()
        self.scope["query_string"] = query.partition(b"#")[0]
        if self.cycle is not before:
            self.scope["extensions"] = {EARLY_HEADERS: _EarlyHeaders(self.cycle).send_line}  # type: ignore[typeddict-item, dict-item]


class _EarlyHeaders:
    """Sends the status line and single header lines of an answer while the rest of its headers is not known yet."""

    def __init__(self, cycle: RequestResponseCycle):
        self._cycle = cycle
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
        cycle.transport.write(line)

    def _wrap(self, send: Callable) -> Callable:
        async def send_rest(message) -> None:
            if self._began and message["type"] == "http.response.start":
                # uvicorn writes the status line with the headers in one piece; what is sent already is cut off.
                cycle = self._cycle
                cycle.transport = _WithoutStatusLine(cycle, STATUS_LINE[message["status"]])  # type: ignore[assignment]
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
