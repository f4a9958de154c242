"""Native for the newest clients, such as Go's: a byte behind the type of each column of each block. And blocks as they pass."""

import types

import pytest

from orchestration.warehouse.server.engine import Handle, Progress
from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.native import rewrite_blocks

GO = {"client_protocol_version": "54460", "default_format": "Native"}
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
# Looks like the head of a column `b` of strings.
HEAD = "'\\x01b\\x06String'"
COLUMNS = [
    "number AS n",
    f"concat({HEAD}, toString(number)) AS a",
    f"{HEAD} AS b",
    "if(number % 2, NULL, 'x') AS c",
    f"[{HEAD}, repeat('y', number * 100)] AS d",
    "map('k', toLowCardinality('v'), 'l', toLowCardinality(toString(number))) AS e",
    "CAST((1, 'z', []), 'Tuple(x Int8, `y (z` String, z Array(Nullable(UInt16)))') AS f",
    "toLowCardinality(toNullable(toString(number % 2))) AS g",
    "toDateTime(number, 'Asia/Tokyo') AS h",
    "toDateTime64(number, 3, 'Asia/Tokyo') AS i",
    "toDecimal128(number, 10) AS j",
    "toFixedString('abc', 7) AS k",
    "CAST(1, 'Enum8(\\'it\\\\\\'s, a (\\' = 1)') AS l",
    "tuple(toLowCardinality('p'), [toLowCardinality('q')]) AS m",
    "CAST([(1, 2)], 'Ring') AS o",
    "INTERVAL number DAY AS p",
    "CAST('{\"a\": 1, \"b\": [2]}', 'JSON') AS q",
    "sumState(number) OVER (PARTITION BY number) AS r",
    "NULL AS s",
    "[] AS t",
    "toIPv6('::1') AS u",
    "CAST(number, 'Variant(UInt64, String)') AS v",
    "true AS w",
]
ROWS = "FROM numbers({}) SETTINGS max_threads = 1, allow_suspicious_low_cardinality_types = 1"


def text(value: str) -> bytes:
    assert len(value) < 128
    return bytes([len(value)]) + value.encode()


@pytest.mark.parametrize("rows", [1, 100])
def test_a_mark_follows_the_type_of_every_column(server, rows):
    described = server.ask(
        f"DESCRIBE (SELECT {', '.join(COLUMNS)} FROM numbers(1)) FORMAT TSVRaw", print_pretty_type_names=0
    ).text
    types = [line.split("\t")[1] for line in described.splitlines()]
    expected = BLOCK_INFO + bytes([len(COLUMNS), rows])
    for column, full in zip(COLUMNS, types, strict=True):
        alone = server.ask(f"SELECT {column} {ROWS.format(rows)} FORMAT Native").body
        name, old = column.rpartition(" AS ")[2], "DateTime" if full.startswith("DateTime(") else full
        head = b"\x01" + bytes([rows]) + text(name) + text(old)
        assert alone.startswith(head)
        expected += text(name) + text(full) + b"\0" + alone[len(head) :]
    assert server.ask(f"SELECT {', '.join(COLUMNS)} {ROWS.format(rows)}", **GO).body == expected


def test_the_first_question_of_a_go_client_is_answered(server):
    answer = server.ask("SELECT displayName(), version(), revision(), timezone()", **GO).body
    assert answer.startswith(BLOCK_INFO + b"\x04\x01" + text("displayName()") + text("String") + b"\0")
    assert answer.endswith(text("timezone()") + text("String") + b"\0" + text("UTC"))
    assert text("revision()") + text("UInt32") + b"\0" in answer
    for statement in ("DESCRIBE TABLE system.one", "SHOW DATABASES LIKE 'default'"):
        assert text("name") + text("String") + b"\0" in server.ask(statement, **GO).body


def test_data_that_look_like_the_head_of_the_next_column_are_told_from_it(server):
    sql = f"SELECT concat({HEAD}, toString(number)) AS a, 'x' AS b FROM numbers(2)"
    assert server.ask(sql, **GO).body == (
        BLOCK_INFO
        + b"\x02\x02"
        + text("a") + text("String") + b"\0" + text("\x01b\x06String0") + text("\x01b\x06String1")
        + text("b") + text("String") + b"\0" + text("x") * 2
    )  # fmt: skip


def test_a_column_whose_end_cannot_be_told_is_refused():
    block = b"\x02\x01" + text("q") + text("JSON") + b"???" + text("a") + text("UInt8") + b"\x01"
    with pytest.raises(ServerError, match="cannot be given for type JSON"):
        list(rewrite_blocks([block], [], marked=True))
    known = [("q", "JSON"), ("a", "UInt8")]
    marked = b"\x02\x01" + text("q") + text("JSON") + b"\0???" + text("a") + text("UInt8") + b"\0\x01"
    assert list(rewrite_blocks([block], known, marked=True)) == [BLOCK_INFO + marked]


def test_blocks_are_let_go_of_before_the_next_one_comes():
    """Where a client goes away, the error's traceback would keep them until the garbage of cycles is collected."""
    counts = dict.fromkeys(
        ("storage_rows_read", "storage_bytes_read", "rows_written", "bytes_written", "rows_read"), lambda: 1
    )
    blocks = [bytes([2, 1]) + b"x" * 1000, bytes([2, 1]) + b"y" * 1000]

    def fetch(stream):
        if not blocks:
            raise RuntimeError("Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)")
        block = blocks.pop()
        return types.SimpleNamespace(bytes=lambda: block, **counts)

    connection = types.SimpleNamespace(send_query=lambda *_, **__: "stream", streaming_fetch_result=fetch)
    passing = rewrite_blocks(Handle(connection).blocks(b"SELECT 1", "Native", {}, Progress()), [])
    with pytest.raises(ServerError, match="cancelled") as failed:
        while next(passing):
            pass
    kept, step = [], failed.value.__traceback__
    while step is not None:
        kept += [value for value in step.tb_frame.f_locals.values() if isinstance(value, bytes) and len(value) > 1000]
        step = step.tb_next
    assert not kept
