"""The Native format for clients that name their protocol version: block info, and the zones of DateTime columns.

The engine in process writes Native as for the oldest client. Newer ones expect eight bytes of block info before each
block, and the type DateTime('zone') in full where the old form says DateTime."""

from collections.abc import Iterable, Iterator

ZONE_REVISION = 54337
# From here on every column carries one more byte, which this module does not add: such clients get this revision.
CUSTOM_SERIALIZATION_REVISION = 54454
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_PLAIN = b"DateTime"
_FIXED_BYTES = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Date", "Enum16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Time"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Time64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6"), 16),
    **dict.fromkeys(("Int256", "UInt256"), 32),
}

Columns = list[tuple[str, str]]


def answer_revision(parameter: str) -> int:
    """The revision to answer in, of the value of client_protocol_version; 0 for the oldest form."""
    revision = int(parameter) if parameter.isascii() and parameter.isdigit() else 0
    return min(revision, CUSTOM_SERIALIZATION_REVISION - 1)


def has_plain_times(block: bytes) -> bool:
    """Whether a block may hold DateTime columns, whose zones the old form leaves out."""
    return _string(_PLAIN) in block


def rewrite_blocks(blocks: Iterable[bytes], columns: Columns) -> Iterator[bytes]:
    """Blocks in the form of newer clients. `columns` are names and full types; empty to leave the types alone."""
    for block in blocks:
        yield _BLOCK_INFO + (_with_zones(block, columns) if columns else block)


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


def _read_number(data: bytes, position: int) -> tuple[int, int]:
    """A variable-length number and where it ends."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return number, position
