"""Header lines of an answer that its client asks for, by the setting http_response_headers."""

import re

from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.statement import string_value, tokenize

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
# What says where a body ends and how to read it is not for clients to say.
_FRAMING = frozenset(["connection", "content-encoding", "content-length", "transfer-encoding"])


def asked_headers(text: str) -> dict[str, str]:
    """Names and values of a map as the engine writes it, {'Content-Type':'image/png'}, which it has checked. Raises ServerError
    for what would not do in a header."""
    try:
        strings = [
            string_value(token) for token in tokenize(text.encode("utf-8", "surrogateescape")) if token.kind == "string"
        ]
    except ServerError:
        return {}
    headers = dict(zip(strings[::2], strings[1::2], strict=False))
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _FRAMING or _CONTROL_CHARACTERS.search(value):
            raise ServerError(
                36, "BAD_ARGUMENTS", "Setting http_response_headers has a name or value that cannot be a header."
            )
    return headers


def override(headers: dict[str, str], others: dict[str, str]) -> dict[str, str]:
    """The headers with others in the place of those of the same name, in whatever case."""
    replaced = {name.lower() for name in others}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | others
