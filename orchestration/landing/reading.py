"""Reading one delivery: its rows go once through views that type and judge them, into side tables of good and refused rows.

The refused rows of a CSV file wait in a side table of their own for a second judging of their tidied values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from orchestration.errors import TierhouseError
from orchestration.failures import engine_message, told_in_one_line
from orchestration.landing.contract import Table
from orchestration.landing.judge import END_OF_FILE, Delivered, Fields, Judgement, Rules, instant, judge
from orchestration.landing.tables import quoted, scalar
from orchestration.landing.tidy import is_empty, judge_tidied, tidied_rows
from orchestration.warehouse.client import connection_failure

INSERT_SETTINGS: dict[str, int | str] = {
    "parallel_view_processing": 1,
    "max_insert_threads": 2,
    "input_format_null_as_default": 0,
    "input_format_skip_unknown_fields": 1,
    "insert_deduplicate": 0,
    "async_insert": 0,
}


@dataclass(frozen=True)
class Delivery:
    """One file, or another source, of rows for one table. columns: what it holds of the contract, in its own types.
    send: inserts its rows into the named table, which has those columns. rows: how many it holds, where known.
    is_large: whether it is worth two writers. fields: those of a CSV file, which `send` inserts, the line END_OF_FILE
    last."""

    label: str
    columns: tuple[Delivered, ...]
    send: Callable[[Client, str], None]
    rows: int | None = None
    is_large: bool = False
    warnings: tuple[str, ...] = field(default=())
    fields: Fields | None = None


def read(client: Client, side: str, table: Table, delivery: Delivery, rules: Rules, batch_id: str) -> list[str]:
    """Send one delivery into the side tables `side` of good and `side`__refused of refused rows.

    Returns warnings about values that were taken as unknown, and rows that were taken for none.
    """
    judgement = judge(table, delivery.columns, rules, delivery.fields)
    raw, faulty, ended, unknown = (f"{side}__{name}" for name in ("raw", "faulty", "ended", "unknown_days"))
    columns = ", ".join(f"`{column.name}` {column.type}" for column in delivery.columns)
    structure = delivery.fields.structure if delivery.fields else columns
    client.command(f"CREATE TABLE {raw} ({structure}) ENGINE = Null")
    selects = _Selects(
        table, delivery.label, f"{instant(rules.loaded_at)} AS _loaded_at, {quoted(batch_id)} AS _batch_id"
    )
    source = f"{raw} AS source"
    views = [(side, good) for good in selects.good(judgement, source, delivery.is_large)]
    if delivery.fields:
        client.command(f"CREATE TABLE {faulty} ({structure}) ENGINE = MergeTree ORDER BY tuple()")
        views.append((faulty, f"SELECT * FROM {source} WHERE {judgement.is_bad}"))
        client.command(f"CREATE TABLE {ended} (is_end UInt8) ENGINE = MergeTree ORDER BY tuple()")
        is_end = delivery.fields.is_end
        views.append((ended, f"SELECT {is_end} AS is_end FROM {source} WHERE {is_end}"))
    else:
        views.append((f"{side}__refused", selects.refused(judgement, source)))
    if judgement.unknown:
        columns = ", ".join(f"{name} UInt64" for name in judgement.unknown)
        client.command(f"CREATE TABLE {unknown} ({columns}) ENGINE = MergeTree ORDER BY tuple()")
        views.append((unknown, selects.unknown(judgement, source)))
    for number, (target, select) in enumerate(views):
        client.command(f"CREATE MATERIALIZED VIEW {side}__view_{number} TO {target} AS {select}")
    _send(client, raw, delivery)
    for number in range(len(views)):
        client.command(f"DROP TABLE {side}__view_{number} SYNC")
    client.command(f"DROP TABLE {raw} SYNC")
    warnings = []
    if delivery.fields:
        warnings += _judge_again(client, side, selects, delivery, rules)
        if not scalar(client, f"SELECT count() FROM {ended}"):
            raise TierhouseError(_open_quote(client, side, table, delivery))
        client.command(f"DROP TABLE {faulty} SYNC")
        client.command(f"DROP TABLE {ended} SYNC")
    if judgement.unknown:
        for name in judgement.unknown:
            count = scalar(client, f"SELECT sum({name}) FROM {unknown}")
            if count:
                warnings.append(f"{delivery.label}: {count:,} {name} before 1970 or far ahead, taken as unknown")
        client.command(f"DROP TABLE {unknown} SYNC")
    return warnings


def short(value: str) -> str:
    """A delivered text on one line, cut where it is long."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:60]}…"


@dataclass(frozen=True)
class _Selects:
    """SELECTs that take the rows of a source apart, each in the order of the columns of its side table."""

    table: Table
    label: str
    stamp: str

    def good(self, judgement: Judgement, source: str, is_large: bool = False) -> list[str]:
        """The rows that may land. Two SELECTs of a large delivery: as views, each takes half of the keys and writes on its
        own core; one view would sort and compress on one."""
        values = ", ".join(f"{judgement.values[column.name]} AS {column.name}" for column in self.table.columns)
        good = f"SELECT {values}, {self.stamp} FROM {source} WHERE {judgement.is_good}"
        half = f"bitAnd(bitShiftRight({judgement.values[self.table.key[0]]}, 14), 1)"
        return [f"{good} AND {half} = {number}" for number in (0, 1)] if is_large else [good]

    def refused(self, judgement: Judgement, source: str) -> str:
        """The rows that may not, as delivered."""
        texts = ", ".join(f"{judgement.texts[column.name]} AS {column.name}" for column in self.table.columns)
        return (
            f"SELECT {texts}, {judgement.reason} AS _reason, {quoted(self.label)} AS _file, "
            f"toUInt64(0) AS _row_hash, toUInt32(0) AS _copy, {self.stamp} FROM {source} WHERE {judgement.is_bad}"
        )

    def unknown(self, judgement: Judgement, source: str) -> str:
        """How many days of the good rows stand for none, by column."""
        counts = ", ".join(f"countIf({condition}) AS {name}" for name, condition in judgement.unknown.items())
        is_any = " OR ".join(judgement.unknown.values())
        return f"SELECT {counts} FROM {source} WHERE ({is_any}) AND {judgement.is_good}"


def _judge_again(client: Client, side: str, selects: _Selects, delivery: Delivery, rules: Rules) -> list[str]:
    """Take the refused rows of a CSV file apart once more, with tidied values. Returns a warning about rows of no value."""
    faulty = f"{side}__faulty"
    if delivery.fields is None or not scalar(client, f"SELECT count() FROM {faulty}"):
        return []
    judgement = judge_tidied(selects.table, delivery.columns, rules, delivery.fields)
    source = f"{tidied_rows(selects.table, delivery.columns, delivery.fields, faulty)} AS source"
    client.command(f"INSERT INTO {side} {selects.good(judgement, source)[0]}")
    client.command(f"INSERT INTO {side}__refused {selects.refused(judgement, source)}")
    if judgement.unknown:
        client.command(f"INSERT INTO {side}__unknown_days {selects.unknown(judgement, source)}")
    empty = scalar(client, f"SELECT count() FROM {faulty} AS row WHERE {is_empty(delivery.fields)}")
    return [f"{delivery.label}: rows without any value, taken for none: {empty:,}"] if empty else []


def _send(client: Client, raw: str, delivery: Delivery) -> None:
    try:
        delivery.send(client, raw)
    except ClickHouseError as error:
        if "NOT_ENOUGH_SPACE" in str(error) or connection_failure(str(error)):
            raise TierhouseError(told_in_one_line(error)) from None
        if delivery.fields and (found := re.search(r"expected '[^']+' before: '(.*)", str(error))):
            rest = found[1].partition("\\n")[0]
            raise TierhouseError(
                f"cannot read {delivery.label}: text follows a closing quote, before {short(rest)!r}; a quote is open or "
                "out of place there or in a row above; write a quote that belongs to the text twice, inside quotes"
            ) from None
        raise TierhouseError(f"cannot read {delivery.label}: {engine_message(error)}") from None


def _open_quote(client: Client, side: str, table: Table, delivery: Delivery) -> str:
    """What to tell of a CSV file whose end did not arrive as a line of its own: some text runs on until there."""
    told = f"{delivery.label}: a quote opens and is never closed"
    names = [column.name for column in delivery.columns]
    holds_end = f"arrayExists(text -> position(ifNull(text, ''), {quoted(END_OF_FILE)}) > 0, [{{}}])"
    for target in (side, f"{side}__refused"):
        texts = ", ".join(f"CAST(toString({name}), 'Nullable(String)')" for name in names)
        rows = client.query(f"SELECT [{texts}] FROM {target} WHERE {holds_end.format(texts)} LIMIT 1").result_rows
        if rows:
            row = dict(zip(names, rows[0][0], strict=True))
            key = ", ".join(f"{name}={short(row[name])}" for name in table.key)
            opened = next(name for name, text in row.items() if text and END_OF_FILE in text)
            told += f", in the row with {key}: {opened}={short(row[opened])}"
    return f"{told}; close it, or write a quote that belongs to the text twice, and land the folder again"
