"""The Native format for clients that name their protocol version: block info, and the zones of DateTime columns.

The engine in process writes Native as for the oldest client. Newer ones expect eight bytes of block info before each
block, and the type DateTime('zone') in full where the old form says DateTime; the newest, as that of Go, one more byte
behind the type of each column, which says that its data have no uncommon form."""

from collections.abc import Iterable, Iterator

from orchestration.warehouse.server.errors import ServerError

ZONE_REVISION = 54337
MARK_REVISION = 54454
_NO_MARK = b"\0"
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_PLAIN = b"DateTime"
_FIXED_BYTES = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Date", "Enum16", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Time"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Time64", "Interval"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6"), 16),
    **dict.fromkeys(("Int256", "UInt256"), 32),
}
_NESTING = frozenset(["Array", "LowCardinality", "Map", "Nested", "Nullable", "SimpleAggregateFunction", "Tuple"])
_POINTS = "Array(Tuple(Float64, Float64))"
_ALIASES = {
    "Point": "Tuple(Float64, Float64)",
    **dict.fromkeys(("Ring", "LineString"), _POINTS),
    **dict.fromkeys(("Polygon", "MultiLineString"), f"Array({_POINTS})"),
    "MultiPolygon": f"Array(Array({_POINTS}))",
}

Columns = list[tuple[str, str]]


def answer_revision(parameter: str) -> int:
    """The revision to answer in, of the value of client_protocol_version; 0 for the oldest form."""
    return int(parameter) if parameter.isascii() and parameter.isdigit() else 0


def has_plain_times(block: bytes) -> bool:
    """Whether a block may hold DateTime columns, whose zones the old form leaves out."""
    return _string(_PLAIN) in block


def rewrite_blocks(blocks: Iterable[bytes], columns: Columns, marked: bool = False) -> Iterator[bytes]:
    """Blocks in the form of newer clients, `marked` in that of the newest. `columns` are names and full types; empty to leave
    the types alone."""
    for block in blocks:
        if marked:
            answer = _BLOCK_INFO + _with_marks(block, columns)
        else:
            answer = _BLOCK_INFO + (_with_zones(block, columns) if columns else block)
        # A block may be large and its reader slow.
        del block
        yield answer
        del answer


def _with_marks(block: bytes, columns: Columns) -> bytes:
    """The block with a byte more behind each column's type, and DateTime spelled out where the columns are known. Raises
    ServerError 48 where the end of a column's data cannot be told."""
    count, position = _read_number(block, 0)
    rows, position = _read_number(block, position)
    heads = [_string(name.encode("utf-8", "surrogateescape")) + _string(_old_type(kind)) for name, kind in columns]
    pieces, copied = [], 0
    for place in range(count):
        name, start = _read_text(block, position)
        kind, position = _read_text(block, start)
        is_known = len(heads) == count and heads[place] == _string(name) + _string(kind)
        full = columns[place][1].encode("utf-8", "surrogateescape") if is_known else kind
        pieces += [block[copied:start], _string(full), _NO_MARK]
        copied = position
        if rows and place + 1 < count:
            following = heads[place + 1] if len(heads) == count else b""
            position = _column_end(block, position, kind.decode("utf-8", "surrogateescape"), rows, following)
    return b"".join([*pieces, block[copied:]])


def _column_end(block: bytes, position: int, kind: str, rows: int, following: bytes) -> int:
    """Where a column's data end. The head that follows tells at once, where data do not happen to look like it."""
    found = block.find(following, position) if following else -1
    if found >= 0 and block.find(following, found + 1) < 0:
        return found
    try:
        return _skip(block, position + _prefix_bytes(kind), kind, rows)
    except KeyError:
        if found >= 0:
            return found
        message = f"Native of client_protocol_version {MARK_REVISION} or newer cannot be given for type {kind}."
        raise ServerError(48, "NOT_IMPLEMENTED", message) from None


def _prefix_bytes(kind: str) -> int:
    """Bytes before the data of a type: one number for each LowCardinality in it."""
    name, arguments = _take_apart(kind)
    inner = sum(map(_prefix_bytes, arguments)) if name in _NESTING else 0
    return inner + 8 if name == "LowCardinality" else inner


def _skip(block: bytes, position: int, kind: str, rows: int) -> int:
    """Where the data of so many rows of a type end. Raises KeyError for a type that is not known here."""
    name, arguments = _take_apart(kind)
    if name == "String":
        for _ in range(rows):
            length, position = _read_number(block, position)
            position += length
        return position
    if name == "Nullable":
        return _skip(block, position + rows, arguments[0], rows)
    if name == "Tuple" and arguments:
        for one in arguments:
            position = _skip(block, position, one, rows)
        return position
    if name in ("Array", "Map", "Nested"):
        position += 8 * rows
        total = int.from_bytes(block[position - 8 : position], "little") if rows else 0
        for one in arguments:
            position = _skip(block, position, one, total)
        return position
    if name == "SimpleAggregateFunction":
        return _skip(block, position, arguments[1], rows)
    if name == "LowCardinality":
        return _skip_low_cardinality(block, position, arguments[0], rows)
    return position + rows * _bytes_of(name, arguments)


def _skip_low_cardinality(block: bytes, position: int, kind: str, rows: int) -> int:
    """A dictionary of values and, for each row, a number in it."""
    if not rows:
        return position
    index_bytes = 1 << block[position]
    keys = int.from_bytes(block[position + 8 : position + 16], "little")
    name, arguments = _take_apart(kind)
    return _skip(block, position + 16, arguments[0] if name == "Nullable" else kind, keys) + 8 + rows * index_bytes


def _bytes_of(name: str, arguments: list[str]) -> int:
    """Bytes per row of a type of fixed width. Raises KeyError for any other."""
    if name == "FixedString":
        return int(arguments[0])
    if name == "Decimal":
        precision = int(arguments[0])
        return 4 if precision <= 9 else 8 if precision <= 18 else 16 if precision <= 38 else 32
    return _FIXED_BYTES["Interval" if name.startswith("Interval") else name]


def _take_apart(kind: str) -> tuple[str, list[str]]:
    """A type's name and its arguments, those of a Tuple without their names."""
    kind = _ALIASES.get(kind, kind)
    name, _, rest = kind.partition("(")
    arguments, start, blank, depth, quote = [], 0, 0, 0, ""
    inside = rest[:-1]
    skips = False
    for place, character in enumerate(inside + ","):
        if skips:
            skips = False
        elif quote:
            skips, quote = character == "\\", "" if character == quote else quote
        elif character in "'`":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == " " and not depth and place > start:
            blank = place + 1
        elif character == "," and not depth and inside:
            arguments.append(inside[blank if name in ("Tuple", "Nested") else start : place].strip())
            start = blank = place + 2
    return name, arguments


def _with_zones(block: bytes, columns: Columns) -> bytes:
    """The block with DateTime spelled out; unchanged where its layout is not what the columns say."""
    count, position = _read_number(block, 0)
    rows, position = _read_number(block, position)
    if count != len(columns):
        return block
    heads = [_string(name.encode("utf-8", "surrogateescape")) + _string(_old_type(kind)) for name, kind in columns]
    pieces, copied = [], 0
    last = max((place for place, (_, kind) in enumerate(columns) if kind.startswith("DateTime(")), default=-1)
    for place, (_, kind) in enumerate(columns[: last + 1]):
        zoned = kind.startswith("DateTime(")
        start = position if place == 0 else block.find(heads[place], position)
        # Data of the columns before may look like this head: behind the true one follow its rows and the next head.
        while zoned and start > position and not _ends_right(block, heads, place, start + len(heads[place]) + 4 * rows):
            start = block.find(heads[place], start + 1)
        if start < 0 or not block.startswith(heads[place], start):
            return block
        position = start + len(heads[place])
        if zoned:
            pieces += [block[copied : position - len(_string(_PLAIN))], _string(kind.encode())]
            copied = position
        position += rows * _fixed_bytes(kind)
    return b"".join([*pieces, block[copied:]])


def _ends_right(block: bytes, heads: list[bytes], place: int, end: int) -> bool:
    """Whether at `end` the column behind the one at `place` begins, or the block is over."""
    return block.startswith(heads[place + 1], end) if place + 1 < len(heads) else end == len(block)


def _old_type(kind: str) -> bytes:
    return _PLAIN if kind.startswith("DateTime(") else kind.encode("utf-8", "surrogateescape")


def _fixed_bytes(kind: str) -> int:
    """Bytes per row to skip for sure, so that column data are not mistaken for the next column's head."""
    if kind.startswith("Nullable("):
        return 1 + _fixed_bytes(kind[len("Nullable(") : -1])
    name, _, argument = kind.partition("(")
    if name == "FixedString":
        return int(argument.removesuffix(")"))
    if name == "Decimal":
        precision = int(argument.split(",")[0])
        return 4 if precision <= 9 else 8 if precision <= 18 else 16 if precision <= 38 else 32
    # A row of a String takes one byte at least; other types of varying width may take none.
    return 1 if kind == "String" else _FIXED_BYTES.get(name, 0)


def _string(text: bytes) -> bytes:
    """A text with its length in front."""
    length, head = len(text), b""
    while length >= 0x80:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return head + bytes([length]) + text


def _read_text(data: bytes, position: int) -> tuple[bytes, int]:
    """A text with its length in front, and where it ends."""
    length, position = _read_number(data, position)
    return data[position : position + length], position + length


def _read_number(data: bytes, position: int) -> tuple[int, int]:
    """A variable-length number and where it ends."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return number, position
