"""From deliveries to a committed batch: read each file once, judge its rows, settle them against each other and against
what has landed, refuse the batch or commit it. Everything but the control of it happens inside the engine."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.landing import journal
from orchestration.landing.contract import TABLES, Table
from orchestration.landing.judge import FUTURE, VERSION_OF_ORDER, Rules
from orchestration.landing.reading import Delivery, read, short
from orchestration.landing.report import LandingReport, TableReport
from orchestration.landing.settle import CONFLICT, settle
from orchestration.landing.tables import landing_table, quarantine_table, quoted, scalar
from orchestration.lock import writer_lock
from orchestration.warehouse.moments import next_moment
from orchestration.warehouse.settings import Settings

Progress = Callable[[str], None]

AMOUNT_LIMIT_VARIABLE = "TIERHOUSE_AMOUNT_LIMIT"
DEFAULT_AMOUNT_LIMIT = 100_000_000
# quantity x price has seven digits after the point, of the 18 that a decimal of the facts has.
LARGEST_AMOUNT_LIMIT = 90_000_000_000

# A clock that is set right moves by less; by more, either it or that of an earlier batch is wrong.
_CLOCK_BACK = timedelta(days=1)

# Merging the side table would be wasted work: its parts go to landing as they are.
_SIDE_TABLE_SETTINGS = "SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1"


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
        report.about_clock = _about_clock(client, report.loaded_at)
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
    loaded_at = next_moment(client, f"{settings.database('incoming')}.journal", "loaded_at")
    return f"{loaded_at:%Y%m%dT%H%M%S}{loaded_at.microsecond // 1000:03d}-{uuid.uuid4().hex[:6]}", loaded_at


def _about_clock(client: Client, loaded_at: datetime) -> str:
    """A word where the clock lies so far before the last batch that one of the two must be wrong; else empty."""
    now = datetime.fromtimestamp(0, UTC) + timedelta(seconds=scalar(client, "SELECT toUnixTimestamp(now())"))
    if loaded_at - now < _CLOCK_BACK:
        return ""
    return (
        f"the clock says {now:%Y-%m-%d %H:%M} UTC, long before the last batch, of {loaded_at:%Y-%m-%d %H:%M} UTC; set it right, or, "
        "if it was wrong then, delete the batches since from landing and from the journal and land them again: until the clock "
        "has come there all batches count as loaded then, no date before is in the future, and what has its load time for "
        "updated_at is not known"
    )


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
        report.warnings += read(client, side, table, delivery, rules, batch.batch_id)
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
            examples[table.table] = ", ".join(f"{name}={short(value)}" for name, value in named if value is not None)
    return examples


def _refusal(report: LandingReport, settings: Settings, examples: dict[str, str]) -> str:
    parts = []
    for table in report.tables:
        if table.quarantined > settings.refusal_limit * table.delivered:
            most = dict(list(table.reasons.items())[:3])
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in most.items())
            allowed = "".join(f"; {form}" for form in _forms(TABLES[table.table], "; ".join(most)))
            if CONFLICT in most:
                allowed += f"; {_needed_of_versions(TABLES[table.table])}"
            parts.append(
                f"{table.table}: {table.quarantined:,} of {table.delivered:,} rows "
                f"({table.quarantined / table.delivered:.1%}) were refused: {reasons}{allowed}; "
                f"for example {examples[table.table]}"
            )
    if any(FUTURE in reason for table in report.tables for reason in table.reasons):
        # A clock that is behind makes today the future.
        parts.append(f"The clock of this landing says {report.loaded_at:%Y-%m-%d %H:%M} UTC")
    parts += filter(None, [report.about_clock])
    return (
        f"nothing landed, over the limit of {settings.refusal_limit:.1%}: {'. '.join(parts)}. "
        f"The refused rows are in {settings.database('quarantine')}; mend the source and land it again"
    )


def _needed_of_versions(table: Table) -> str:
    """What tells two versions of a row apart: an export of today's state often lacks it."""
    standing = table.event_time or ("ordered_at of the order" if table.name == "order_lines" else "the load time")
    return f"a changed row needs a later updated_at, for which {standing} stands where a file has none"


def _forms(table: Table, reasons: str) -> list[str]:
    """What the columns may hold of which the reasons say that their values are unparsable."""
    unparsable = set(reasons.split("; "))
    return [
        f"{column.name} is {column.form}"
        for column in table.columns
        if f"unparsable value: {column.name}" in unparsable
    ]


def _count(client: Client, table: str) -> int:
    return scalar(client, f"SELECT count() FROM {table}")
