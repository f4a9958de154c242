"""From deliveries to a committed batch: read each file once, judge its rows, settle them against each other and against
what has landed, refuse the batch or commit it. Everything but the control of it happens inside the engine."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from orchestration.errors import TierhouseError
from orchestration.failures import engine_message, told_in_one_line
from orchestration.landing import journal
from orchestration.landing.contract import TABLES, Table
from orchestration.landing.judge import (
    END_OF_FILE,
    VERSION_OF_ORDER,
    Delivered,
    Fields,
    Judgement,
    Rules,
    instant,
    judge,
)
from orchestration.landing.report import LandingReport, TableReport
from orchestration.landing.settle import settle
from orchestration.landing.tables import landing_table, quarantine_table, quoted, scalar
from orchestration.lock import writer_lock
from orchestration.warehouse.client import connection_failure
from orchestration.warehouse.settings import Settings

Progress = Callable[[str], None]

AMOUNT_LIMIT_VARIABLE = "TIERHOUSE_AMOUNT_LIMIT"
DEFAULT_AMOUNT_LIMIT = 100_000_000
# quantity x price has seven digits after the point, of the 18 that a decimal of the facts has.
LARGEST_AMOUNT_LIMIT = 90_000_000_000

# Merging the side table would be wasted work: its parts go to landing as they are.
_SIDE_TABLE_SETTINGS = "SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1"
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


def land_deliveries(
    client: Client,
    settings: Settings,
    deliveries: Mapping[str, Sequence[Delivery]],
    what: str,
    progress: Progress | None = None,
) -> LandingReport:
    """Land deliveries (landing table -> its sources) as one batch, under the writer lock; `what` names it to others.

    Raises TierhouseError when a source cannot be read or more than `settings.refusal_limit` of the rows of a table are
    refused; then nothing has landed, and the refused rows are in quarantine.
    """
    say = progress or (lambda message: None)
    with writer_lock(settings, what):
        repaired = journal.repair(client, settings)
        if repaired:
            say(f"repaired: {repaired}")
        started = time.monotonic()
        report = LandingReport(*_new_batch(client, settings))
        rules = Rules(settings.zone, report.loaded_at, amount_limit())
        journal.record(client, settings, report.batch_id, report.loaded_at, "judging")
        try:
            for table in TABLES.values():
                if deliveries.get(table.name):
                    say(f"judging {table.name}")
                    report.tables.append(_judge_table(client, settings, table, deliveries[table.name], rules, report))
            _decide(report, settings)
        except BaseException:
            _give_up(client, settings, report)
            raise
        say("landing")
        examples = _examples(client, settings, report)
        report.seconds = time.monotonic() - started
        journal.commit(client, settings, report)
        report.seconds = time.monotonic() - started
    if report.status == "refused":
        raise TierhouseError(_refusal(report, settings, examples))
    return report


def amount_limit() -> int:
    """The bound on amounts, prices and quantities, in CNY or units, from TIERHOUSE_AMOUNT_LIMIT."""
    text = os.environ.get(AMOUNT_LIMIT_VARIABLE) or str(DEFAULT_AMOUNT_LIMIT)
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= LARGEST_AMOUNT_LIMIT:
        raise TierhouseError(
            f"{AMOUNT_LIMIT_VARIABLE} is {text!r}; set it to a whole number from 1 to {LARGEST_AMOUNT_LIMIT}"
        )
    return int(text)


def _new_batch(client: Client, settings: Settings) -> tuple[str, datetime]:
    """A batch id and its load time: the server's clock, but always later than that of the batch before."""
    database = settings.database("incoming")
    now, last = client.query(
        f"SELECT toUnixTimestamp64Milli(now64(3)), toUnixTimestamp64Milli(max(loaded_at)) FROM {database}.journal"
    ).result_rows[0]
    loaded_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=max(now, last + 1))
    return f"{loaded_at:%Y%m%dT%H%M%S}{loaded_at.microsecond // 1000:03d}-{uuid.uuid4().hex[:6]}", loaded_at


def _judge_table(
    client: Client,
    settings: Settings,
    table: Table,
    deliveries: Sequence[Delivery],
    rules: Rules,
    batch: LandingReport,
) -> TableReport:
    started = time.monotonic()
    side = f"{settings.database('incoming')}.{table.name}"
    client.command(landing_table(table, side, _SIDE_TABLE_SETTINGS))
    client.command(quarantine_table(table, f"{side}__refused", engine="MergeTree ORDER BY tuple()"))
    report = TableReport(table.name)
    for delivery in deliveries:
        report.files.append(delivery.label)
        report.warnings += delivery.warnings
        report.warnings += _read(client, side, table, delivery, rules, batch)
    report.delivered = _count(client, side) + _count(client, f"{side}__refused")
    expected = [delivery.rows for delivery in deliveries if delivery.rows is not None]
    if len(expected) == len(deliveries) and sum(expected) != report.delivered:
        raise TierhouseError(
            f"{table.name}: the files say {sum(expected)} rows, {report.delivered} arrived; land the folder again"
        )
    if table.name == "order_lines" and any(_may_lack_version(delivery) for delivery in deliveries):
        _take_version_of_order(client, settings)
    report.already_there = settle(client, settings, table, rules.loaded_at, batch.batch_id)
    report.landed = _count(client, side)
    report.quarantined = _count(client, f"{side}__refused")
    if report.quarantined:
        rows = client.query(f"SELECT _reason, count() FROM {side}__refused GROUP BY 1 ORDER BY 2 DESC, 1").result_rows
        report.reasons = {reason: count for reason, count in rows}
    if report.delivered != report.landed + report.already_there + report.quarantined:
        raise TierhouseError(
            f"{table.name}: {report.delivered} rows delivered, but {report.landed} landed, {report.already_there} "
            f"already there and {report.quarantined} quarantined do not add up; nothing was landed, please report this"
        )
    report.seconds = time.monotonic() - started
    return report


def _read(client: Client, side: str, table: Table, delivery: Delivery, rules: Rules, batch: LandingReport) -> list[str]:
    """Send one delivery through views that type and judge each row, into the side tables of good and refused rows.

    Returns warnings about values that were taken as unknown.
    """
    judgement = judge(table, delivery.columns, rules, delivery.fields)
    raw = f"{side}__raw"
    columns = ", ".join(f"`{column.name}` {column.type}" for column in delivery.columns)
    client.command(f"CREATE TABLE {raw} ({delivery.fields.structure if delivery.fields else columns}) ENGINE = Null")
    views = _views(table, side, delivery, judgement, batch)
    if delivery.fields:
        client.command(f"CREATE TABLE {side}__ended (is_end UInt8) ENGINE = MergeTree ORDER BY tuple()")
        is_end = delivery.fields.is_end
        views.append((f"{side}__ended", f"SELECT {is_end} AS is_end FROM {raw} AS source WHERE {is_end}"))
    if judgement.unknown:
        counts = {name: f"countIf({condition})" for name, condition in judgement.unknown.items()}
        columns = ", ".join(f"{name} UInt64" for name in counts)
        client.command(f"CREATE TABLE {side}__unknown_days ({columns}) ENGINE = MergeTree ORDER BY tuple()")
        selected = ", ".join(f"{count} AS {name}" for name, count in counts.items())
        any_unknown = " OR ".join(judgement.unknown.values())
        where = f"WHERE ({any_unknown}) AND {judgement.is_good}"
        views.append((f"{side}__unknown_days", f"SELECT {selected} FROM {raw} AS source {where}"))
    for number, (target, select) in enumerate(views):
        client.command(f"CREATE MATERIALIZED VIEW {side}__view_{number} TO {target} AS {select}")
    try:
        delivery.send(client, raw)
    except ClickHouseError as error:
        if "NOT_ENOUGH_SPACE" in str(error) or connection_failure(str(error)):
            raise TierhouseError(told_in_one_line(error)) from None
        if delivery.fields and (found := re.search(r"expected '[^']+' before: '(.*)", str(error))):
            rest = found[1].partition("\\n")[0]
            raise TierhouseError(
                f"cannot read {delivery.label}: text follows a closing quote, before {_short(rest)!r}; a quote is open or "
                "out of place there or in a row above; write a quote that belongs to the text twice, inside quotes"
            ) from None
        raise TierhouseError(f"cannot read {delivery.label}: {engine_message(error)}") from None
    for number in range(len(views)):
        client.command(f"DROP TABLE {side}__view_{number} SYNC")
    client.command(f"DROP TABLE {raw} SYNC")
    if delivery.fields:
        if not _count(client, f"{side}__ended"):
            raise TierhouseError(_open_quote(client, side, table, delivery))
        client.command(f"DROP TABLE {side}__ended SYNC")
    warnings = []
    if judgement.unknown:
        for name in judgement.unknown:
            count = scalar(client, f"SELECT sum({name}) FROM {side}__unknown_days")
            if count:
                warnings.append(f"{delivery.label}: {count:,} {name} before 1970 or far ahead, taken as unknown")
        client.command(f"DROP TABLE {side}__unknown_days SYNC")
    return warnings


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
            key = ", ".join(f"{name}={_short(row[name])}" for name in table.key)
            opened = next(name for name, text in row.items() if text and END_OF_FILE in text)
            told += f", in the row with {key}: {opened}={_short(row[opened])}"
    return f"{told}; close it, or write a quote that belongs to the text twice, and land the folder again"


def _views(
    table: Table, side: str, delivery: Delivery, judgement: Judgement, batch: LandingReport
) -> list[tuple[str, str]]:
    """(target table, SELECT) of the views that take the rows of a delivery apart."""
    names = [column.name for column in table.columns]
    stamp = f"{instant(batch.loaded_at)} AS _loaded_at, {quoted(batch.batch_id)} AS _batch_id"
    source = f"FROM {side}__raw AS source"
    values = ", ".join(f"{judgement.values[name]} AS {name}" for name in names)
    texts = ", ".join(f"{judgement.texts[name]} AS {name}" for name in names)
    good = f"SELECT {values}, {stamp} {source} WHERE {judgement.is_good}"
    refused = (
        f"SELECT {texts}, {judgement.reason} AS _reason, {quoted(delivery.label)} AS _file, "
        f"toUInt64(0) AS _row_hash, toUInt32(0) AS _copy, {stamp} {source} WHERE {judgement.is_bad}"
    )
    if not delivery.is_large:
        return [(side, good), (f"{side}__refused", refused)]
    # Two views that each take half of the keys write on two cores; one view would sort and compress on one.
    half = f"bitAnd(bitShiftRight({judgement.values[table.key[0]]}, 14), 1)"
    return [(side, f"{good} AND {half} = 0"), (side, f"{good} AND {half} = 1"), (f"{side}__refused", refused)]


def _may_lack_version(delivery: Delivery) -> bool:
    column = next((column for column in delivery.columns if column.name == "updated_at"), None)
    return column is None or column.nullable


def _take_version_of_order(client: Client, settings: Settings) -> None:
    """Give lines without updated_at the ordered_at of their order, from its earliest version, which never moves."""
    incoming, landing = settings.database("incoming"), settings.database("landing")
    lines = f"{incoming}.order_lines"
    missing = f"updated_at = {VERSION_OF_ORDER}"
    if not scalar(client, f"SELECT count() FROM {lines} WHERE {missing}"):
        return
    ids = f"(SELECT order_id FROM {lines} WHERE {missing})"
    versions = f"SELECT order_id, ordered_at, updated_at, _loaded_at FROM {incoming}.orders WHERE order_id IN {ids}"
    if not scalar(client, f"EXISTS TABLE {incoming}.orders"):
        versions = ""
    landed = f"SELECT order_id, ordered_at, updated_at, _loaded_at FROM {landing}.orders WHERE order_id IN {ids}"
    versions = " UNION ALL ".join(filter(None, [versions, landed]))
    client.command(landing_table(TABLES["order_lines"], f"{lines}__versioned", _SIDE_TABLE_SETTINGS))
    client.command(
        f"INSERT INTO {lines}__versioned SELECT line.* REPLACE "
        f"(if(line.{missing}, known.ordered_at, line.updated_at) AS updated_at) FROM {lines} AS line LEFT JOIN "
        f"(SELECT order_id, argMin(ordered_at, (updated_at, _loaded_at)) AS ordered_at FROM ({versions}) "
        "GROUP BY order_id) AS known ON line.order_id = known.order_id",
        settings={"join_use_nulls": 0},
    )
    client.command(f"EXCHANGE TABLES {lines} AND {lines}__versioned")
    client.command(f"DROP TABLE {lines}__versioned SYNC")


def _decide(report: LandingReport, settings: Settings) -> None:
    """Refuse the batch when too large a share of any table was refused: then none of its rows land."""
    if any(table.quarantined > settings.refusal_limit * table.delivered for table in report.tables):
        report.status = "refused"
        for table in report.tables:
            table.held_back, table.landed = table.landed, 0


def _give_up(client: Client, settings: Settings, report: LandingReport) -> None:
    """Tidy up after an error before anything landed; where even that fails, the next landing or refresh does it."""
    try:
        journal.drop_side_tables(client, settings)
        journal.record(client, settings, report.batch_id, report.loaded_at, "dropped")
    except Exception:
        return


def _examples(client: Client, settings: Settings, report: LandingReport) -> dict[str, str]:
    """For a refused batch: per table over the limit, one refused row of its most common reason, as text."""
    examples = {}
    for table in report.tables:
        if report.status == "refused" and table.reasons:
            reason = next(iter(table.reasons))
            names = ", ".join(column.name for column in TABLES[table.table].columns)
            row = client.query(
                f"SELECT {names} FROM {settings.database('incoming')}.{table.table}__refused "
                f"WHERE _reason = {quoted(reason)} ORDER BY tuple({names}) LIMIT 1"
            ).result_rows[0]
            named = zip(names.split(", "), row, strict=True)
            examples[table.table] = ", ".join(f"{name}={_short(value)}" for name, value in named if value is not None)
    return examples


def _short(value: str) -> str:
    """A delivered text on one line, cut where it is long."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:60]}…"


def _refusal(report: LandingReport, settings: Settings, examples: dict[str, str]) -> str:
    parts = []
    for table in report.tables:
        if table.quarantined > settings.refusal_limit * table.delivered:
            most = list(table.reasons.items())[:3]
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in most)
            allowed = "".join(_allowed(table.table, reason) for reason, _ in most)
            parts.append(
                f"{table.table}: {table.quarantined:,} of {table.delivered:,} rows "
                f"({table.quarantined / table.delivered:.1%}) were refused: {reasons}{allowed}; "
                f"for example {examples[table.table]}"
            )
    return (
        f"nothing landed, over the limit of {settings.refusal_limit:.1%}: {'. '.join(parts)}. "
        f"The refused rows are in {settings.database('quarantine')}; mend the source and land it again"
    )


def _allowed(table: str, reason: str) -> str:
    """What a column may hold whose values are few, where the reason names one."""
    for column in TABLES[table].columns:
        if column.values and f"unparsable value: {column.name}" in reason.split("; "):
            return f"; {column.name} is one of {', '.join(map(str, column.values))}"
    return ""


def _count(client: Client, table: str) -> int:
    return scalar(client, f"SELECT count() FROM {table}")
