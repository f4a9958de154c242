"""Reading one SQL statement, as bytes, without parsing it: its tokens, kind, FORMAT, and where its data begin."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from orchestration.warehouse.server.errors import ServerError

# What the setting max_query_size is unless somebody changes it.
DEFAULT_LIMIT_BYTES = 262144
# The engine's own lexer also skips these blanks of Unicode; a guard that did not could be slipped past with one.
_BLANK = rb"""(?:[\s\0]|\xc2[\x80-\xa0]|\xe1\x9a\x80|\xe1\xa0\x8e|\xe2\x80[\x80-\x8f\xa8-\xaf]|\xe2\x81[\x9f-\xaf]
|\xe3\x80\x80|\xef\xbb\xbf)+"""
_TOKEN = re.compile(
    rb"(?P<blank>" + _BLANK.replace(b"\n", b"") + rb"|--[^\n]*|//[^\n]*|\#[\ !][^\n]*)"
    rb"|(?P<comment>/\*)"
    rb"|(?P<string>'(?:[^'\\]|\\.|'')*'|\xe2\x80\x98(?:(?!\xe2\x80\x99).)*\xe2\x80\x99)"
    rb"|(?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    rb"|(?P<quoted>`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.|\"\")*\"|\xe2\x80\x9c(?:(?!\xe2\x80\x9d).)*\xe2\x80\x9d)"
    rb"|(?P<word>[A-Za-z0-9_][A-Za-z0-9_$]*)"
    rb"|(?P<open>['`\"])"
    rb"|(?P<symbol>.)",
    re.DOTALL,
)
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})|\\(.)|``|\"\"", re.DOTALL)
_CONTROL_CHARACTERS = {
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"0": b"\0",
    b"a": b"\a",
    b"v": b"\v",
}
_NESTING = {b"(": 1, b"[": 1, b"{": 1, b")": -1, b"]": -1, b"}": -1}
_RESULT_KINDS = frozenset(
    {
        b"SELECT",
        b"WITH",
        b"SHOW",
        b"DESCRIBE",
        b"DESC",
        b"EXISTS",
        b"EXPLAIN",
        b"CHECK",
        b"KILL",
        b"FROM",
        b"VALUES",
        b"(",
    }
)


@dataclass(frozen=True)
class Token:
    """One word, quoted identifier, string or symbol, with its place in the statement. `text` is raw."""

    kind: str
    text: bytes
    start: int
    end: int

    @property
    def upper(self) -> bytes:
        """A keyword's spelling for comparison; other tokens give their text."""
        return self.text.upper() if self.kind == "word" else self.text

    @property
    def nesting(self) -> int:
        """1 where a bracket opens, -1 where one closes. A query parameter, {name:Type}, may have the name of a keyword."""
        return _NESTING.get(self.text, 0) if self.kind == "symbol" else 0

    @property
    def name(self) -> bytes | None:
        """The name this token stands for, escapes resolved, in its own spelling; None for strings and symbols."""
        if self.kind == "quoted":
            edge = 3 if self.text.startswith(b"\xe2") else 1
            return _ESCAPE.sub(_unescape, self.text[edge:-edge])
        return self.text if self.kind == "word" else None

    @property
    def identifier(self) -> bytes | None:
        """The same in lower case."""
        return None if self.name is None else self.name.lower()


@dataclass(frozen=True)
class Statement:
    """A statement without its inline data. `data_start` is where those begin in the text it was read from, None without
    any; `input_call` the span of an `input(...)` table function that reads them; `format_token` the token FORMAT."""

    text: bytes
    tokens: tuple[Token, ...] = field(repr=False)
    kind: bytes
    format_name: str | None = None
    format_token: Token | None = None
    data_start: int | None = None
    input_call: tuple[int, int] | None = None

    @property
    def has_result(self) -> bool:
        """Whether clients get a result set, be it without rows."""
        return self.kind in _RESULT_KINDS

    @property
    def is_select(self) -> bool:
        """Whether the engine can hand out the rows block by block."""
        return self.kind in (b"SELECT", b"WITH", b"FROM", b"(")

    @cached_property
    def settings(self) -> dict[str, str | None]:
        """Names and values, as SQL text, of a SET statement or of the SETTINGS clause behind a statement; the value None
        stands for DEFAULT."""
        return _assignments(self.text, self._assigning_tokens)

    @cached_property
    def _assigning_tokens(self) -> tuple[Token, ...]:
        if self.kind == b"SET":
            return self.tokens[1:]
        depth, start = 0, None
        for place, (token, behind) in enumerate(zip(self.tokens, (*self.tokens[1:], None), strict=True)):
            depth += token.nesting
            # What no name follows is a column: Settings['max_threads'] of system.processes.
            if not depth and token.upper == b"SETTINGS" and behind is not None and behind.name is not None:
                start = place + 1
            elif start is not None and not depth and token.upper == b"FORMAT":
                return self.tokens[start:place]
        return self.tokens[start:] if start is not None else ()

    def with_one_for_zero(self, names: Container[bytes | None]) -> "Statement":
        """The statement with 1 for 0 as value of these settings: of the same length, so that no place changes."""
        found = self._assigning_tokens
        places = [
            value.end - len(value.text.lstrip(b"'"))
            for name, equals, value, behind in zip(found, found[1:], found[2:], (*found[3:], None), strict=False)
            if name.identifier in names and equals.text == b"=" and value.text in (b"0", b"'0'")
            if behind is None or behind.text != b"."
        ]
        if not places:
            return self
        text = bytearray(self.text)
        for place in places:
            text[place] = ord("1")
        tokens = tuple(replace(token, text=bytes(text[token.start : token.end])) for token in self.tokens)
        return replace(self, text=bytes(text), tokens=tokens)

    def setting(self, name: str) -> str:
        """The value that a statement's own SETTINGS give a setting, as text; empty where they do not."""
        value = self.settings.get(name)
        return literal_text(value) if value is not None else ""

    def mentions(self, name: bytes) -> bool:
        """Whether a word or quoted identifier (lower case) occurs outside of strings and comments."""
        return any(token.identifier == name for token in self.tokens)


def _unescape(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes.fromhex(match[1].decode())
    if match[2]:
        return _CONTROL_CHARACTERS.get(match[2], match[2])
    return match[0][:1]


def string_value(token: Token) -> str:
    """The text that a string literal in simple quotes, or a heredoc ($$text$$), stands for."""
    if token.text[:1] == b"$":
        edge = token.text.index(b"$", 1) + 1
        return token.text[edge:-edge].decode("utf-8", "surrogateescape")
    inner = token.text[1:-1].replace(b"''", b"\\'")
    return _ESCAPE.sub(_unescape, inner).decode("utf-8", "surrogateescape")


def literal_text(sql: str) -> str:
    """The text that a literal stands for: a string in simple quotes or a heredoc without them, anything else as it is."""
    token = next(tokenize(sql.encode("utf-8", "surrogateescape")), None)
    return string_value(token) if token is not None and token.text[:1] in (b"'", b"$") else sql


def _assignments(text: bytes, tokens: tuple[Token, ...]) -> dict[str, str | None]:
    """`a = 1, b = 'x', c = DEFAULT, d` as names and values in SQL; a name alone is on."""
    found: dict[str, str | None] = {}
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += token.nesting
        if token.text == b"," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    for part in parts:
        place = next((number for number, token in enumerate(part) if token.text == b"="), len(part))
        name = b"".join(token.identifier or token.text for token in part[:place]).decode("utf-8", "surrogateescape")
        raw = text[part[place + 1].start : part[-1].end] if place + 1 < len(part) else b"1"
        value = raw.decode("utf-8", "surrogateescape")
        if name:
            found[name] = None if value.upper() == "DEFAULT" else value
    return found


def tokenize(text: bytes) -> Iterator[Token]:
    """Significant tokens of a statement. Raises ServerError 62 for a string, quote or comment without its end."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None
        kind = match.lastgroup if match.lastgroup != "tag" else "heredoc"
        position = match.end()
        if kind == "comment":
            position = _comment_end(text, position)
        elif kind == "open":
            raise ServerError(
                62, "SYNTAX_ERROR", f"Syntax error: failed at position {match.start() + 1}: quote is not closed."
            )
        elif kind != "blank":
            assert kind is not None
            yield Token("string" if kind == "heredoc" else kind, match[0], match.start(), position)


def _comment_end(text: bytes, position: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            raise ServerError(
                62, "SYNTAX_ERROR", f"Syntax error: failed at position {position}: comment is not closed."
            )
        depth += 1 if edge[0] == b"/*" else -1
        position = edge.end()
    return position


def read_statement(text: bytes, limit: int = DEFAULT_LIMIT_BYTES) -> Statement:
    """Read a statement that stands alone or is followed by inline data, as the body of an INSERT carries them. Raises
    ServerError 62 for one that is longer than `limit` bytes, as the engine does (max_query_size), or has no end."""
    reader = _Reader(text, limit)
    reader.read()
    return reader.statement()


class _Reader:
    """The one pass over the tokens; stops at inline data, which are bytes and no SQL."""

    def __init__(self, text: bytes, limit: int):
        self.text = text
        self.limit = limit
        self.tokens: list[Token] = []
        self.kind = b""
        self.data_start: int | None = None
        self.data_format: str | None = None
        self.data_token: Token | None = None
        self.input_call: tuple[int, int] | None = None
        self._input_depth: int | None = None

    def read(self) -> None:
        depth = 0
        insert_selects = False
        in_with = False
        for token in tokenize(self.text):
            previous = self.tokens[-1] if self.tokens else None
            self.tokens.append(token)
            if token.end > self.limit:
                raise ServerError(
                    62,
                    "SYNTAX_ERROR",
                    f"Syntax error: failed at position {token.start + 1}: Max query size exceeded"
                    " (can be increased with the `max_query_size` setting)",
                )
            if not self.kind:
                self.kind = token.upper
                in_with = self.kind == b"WITH"
                continue
            if token.kind == "symbol":
                depth += token.nesting
                self._follow_input(token, previous, depth)
            if in_with and not depth:
                if token.upper == b"INSERT" and _ends_expression(previous):
                    self.kind, in_with = b"INSERT", False
                    continue
                in_with = token.upper not in (b"SELECT", b"FROM")
            if self.kind != b"INSERT" or depth:
                continue
            assert previous is not None
            if previous.upper in (b"INSERT", b"INTO", b"TABLE", b"FUNCTION", b".") and token.upper not in (
                b"INTO",
                b"TABLE",
                b"FUNCTION",
            ):
                continue
            if token.upper in (b"SELECT", b"WITH", b"FROM"):
                insert_selects = True
            if token.upper == b"VALUES" and not insert_selects and not self._is_format_keyword(previous):
                self._data_begin(token, "Values", token.end)
                return
            brings_data = not insert_selects or self.input_call is not None
            if (
                self._is_format_keyword(previous)
                and token.kind in ("word", "quoted")
                and brings_data
                and not self._infile()
            ):
                name = token.text.strip(b'`"').decode("utf-8", "replace")
                self._data_begin(previous, name, _data_after_format(self.text, token.end))
                return

    def _is_format_keyword(self, token: Token) -> bool:
        """Whether this token, the one before the newest, is the keyword FORMAT and not a table of that name."""
        before = self.tokens[-3].upper if len(self.tokens) > 2 else b""
        return token.upper == b"FORMAT" and before not in (b"INSERT", b"INTO", b"TABLE", b"FUNCTION", b".")

    def _infile(self) -> bool:
        return any(token.upper == b"INFILE" for token in self.tokens)

    def _follow_input(self, token: Token, previous: Token | None, depth: int) -> None:
        if token.text == b"(" and self.kind == b"INSERT" and previous is not None and previous.identifier == b"input":
            self._input_depth = depth
            self.input_call = (previous.start, -1)
        elif token.text == b")" and self._input_depth is not None and depth < self._input_depth and self.input_call:
            self.input_call = (self.input_call[0], token.end)
            self._input_depth = None

    def _data_begin(self, format_token: Token, name: str, data_start: int) -> None:
        self.data_format, self.data_token, self.data_start = name, format_token, data_start

    def statement(self) -> Statement:
        if not self.tokens:
            raise ServerError(62, "SYNTAX_ERROR", "Empty query.")
        if self.data_start is not None:
            end = self.tokens[-1].end
            return Statement(
                self.text[:end],
                tuple(self.tokens),
                self.kind,
                self.data_format,
                self.data_token,
                self.data_start,
                self.input_call,
            )
        tokens = self.tokens
        while len(tokens) > 1 and tokens[-1].text == b";":
            tokens = tokens[:-1]
        format_token, name = _format_clause(tokens)
        return Statement(self.text[: tokens[-1].end], tuple(tokens), self.kind, name, format_token)


def _ends_expression(token: Token | None) -> bool:
    """Whether an expression of a WITH clause may end with this token: INSERT behind it is the statement, not a name."""
    if token is None or token.kind == "symbol":
        return token is not None and token.text in (b")", b"]", b"}")
    return token.upper not in (b"AS", b"WITH", b"RECURSIVE", b"MATERIALIZED")


def _data_after_format(text: bytes, position: int) -> int:
    """Data begin behind blanks on the line of FORMAT and one line end: nothing more is skipped, for data are bytes."""
    while text[position : position + 1] in (b" ", b"\t", b"\f"):
        position += 1
    if text[position : position + 1] == b"\r":
        position += 1
    if text[position : position + 1] == b"\n":
        position += 1
    return position


def _format_clause(tokens: list[Token]) -> tuple[Token | None, str | None]:
    """The FORMAT clause at the end of a statement: its keyword's token and the name as written."""
    for place in range(len(tokens) - 2, 0, -1):
        if tokens[place].upper == b"FORMAT" and tokens[place + 1].kind in ("word", "quoted"):
            rest = tokens[place + 2 :]
            if not rest or rest[0].upper == b"SETTINGS":
                return tokens[place], tokens[place + 1].text.strip(b'`"').decode("utf-8", "replace")
            return None, None
    return None, None
