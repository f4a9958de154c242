"""Errors as ClickHouse gives them: number, name, text, HTTP status, and the block that ends a broken stream."""

import errno
import json
import re
from xml.sax.saxutils import escape

_STATUS_OF_CODES = {
    400: (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    415: (779,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS = {code: status for status, codes in _STATUS_OF_CODES.items() for code in codes}
_ENGINE_MESSAGE = re.compile(r"Code: (\d+)\. [\w:]*Exception: (.*?)\s*(?:\(([A-Z][A-Z0-9_]+)\))?\s*", re.DOTALL)
_REPEATED_HEAD = re.compile(r"^(?:Code: \d+\. [\w:]*Exception: )+")
_REPEATED_TAIL = re.compile(r"(?:(?:\.? \([A-Z_]+\))? \(version [^()]*(?:\([^()]*\))?\))+$")
_FILE_CLAUSE = re.compile(r":? ?\(in file/uri [^)]*\)")
_TAGGED_MESSAGE_LIMIT = 16 * 1024


class ServerError(Exception):
    """One ClickHouse error: number, name and a message that shows no path of this machine."""

    def __init__(self, code: int, name: str, message: str):
        super().__init__(message)
        self.code, self.name, self.message = code, name, message.removesuffix(".")

    @property
    def status(self) -> int:
        """The HTTP status that ClickHouse answers this error with."""
        return _STATUS.get(self.code, 500)

    def text(self, version: str) -> str:
        """The line that clients read, with its line end."""
        return f"Code: {self.code}. DB::Exception: {self.message}. ({self.name}) (version {version} (official build))\n"


def from_engine(error: BaseException, hidden: tuple[str, ...] = ()) -> ServerError:
    """Turn what the engine raised into a ServerError; texts in `hidden` (paths of the server) are cut out."""
    if isinstance(error, ServerError):
        return error
    text = bytes(error.object).decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)
    found = _ENGINE_MESSAGE.fullmatch(text[text.index("Code: ") :]) if "Code: " in text else None
    if found is None:
        return ServerError(1002, "UNKNOWN_EXCEPTION", _clean(text, hidden))
    return ServerError(int(found[1]), found[3] or "UNKNOWN_EXCEPTION", _clean(found[2], hidden))


def from_system(error: OSError) -> ServerError:
    """Turn what the operating system refused into a ServerError."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ServerError(243, "NOT_ENOUGH_SPACE", f"Cannot keep the request's data: {error.strerror}.")
    return ServerError(1001, "STD_EXCEPTION", f"The server cannot keep the request's data: {error.strerror}.")


def _clean(message: str, hidden: tuple[str, ...]) -> str:
    message = _REPEATED_TAIL.sub("", message.rstrip("."))
    message = _FILE_CLAUSE.sub("", _REPEATED_HEAD.sub("", message))
    for text in hidden:
        message = message.replace(text, "data")
    return message


def exception_in_format(text: str, output_format: str, behind_rows: bool) -> bytes | None:
    """An error as a body in the output format itself, which JSON and XML formats can hold; None where it cannot be,
    which behind rows is everywhere but in formats of one row per line."""
    lower, text = output_format.lower(), text.rstrip("\n")
    if is_json_per_line(lower):
        line = [text] if "compact" in lower else {"exception": text}
        return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
    if behind_rows:
        return None
    if lower.startswith("json"):
        return (
            b'{\n\t"exception": ' + json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n}\n"
        )
    if lower == "xml":
        content = escape(text).encode("utf-8", "surrogateescape")
        return (
            b"<?xml version='1.0' encoding='UTF-8' ?>\n<result>\n\t<exception>" + content + b"</exception>\n</result>\n"
        )
    return None


def is_json_per_line(name: str) -> bool:
    """Whether a format, by its name in lower case, writes one JSON value per line."""
    is_rows = name.startswith("json") and name.endswith(("eachrow", "eachrowwithprogress")) and "array" not in name
    return is_rows or name in ("jsonlines", "ndjson")


def tagged_block(message: bytes, tag: bytes) -> bytes:
    """The block that tells a client, behind rows already sent, that the rest is missing and why."""
    message = message[:_TAGGED_MESSAGE_LIMIT]
    message = message if message.endswith(b"\n") else message + b"\n"
    return (
        b"\r\n__exception__\r\n"
        + tag
        + b"\r\n"
        + message
        + str(len(message)).encode()
        + b" "
        + tag
        + b"\r\n__exception__\r\n"
    )
