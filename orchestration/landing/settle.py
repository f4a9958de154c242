"""Settling judged rows against each other and against what has landed: unknown orders, duplicates, earlier deliveries.

Most batches hold neither, so the first queries only prove their absence, cheaply; the rest works on the few suspects.
"""

from __future__ import annotations

from datetime import datetime

from clickhouse_connect.driver.client import Client

from orchestration.landing.contract import Table
from orchestration.landing.judge import VERSION_OF_ORDER, instant
from orchestration.landing.tables import quoted, scalar
from orchestration.warehouse.settings import Settings

CONFLICT = "duplicate key with different content and the same version"
UNKNOWN_ORDER = "unknown order: order_id"

# A large set is slow to look up in the index of every granule, and would exclude none of them anyway.
_COMPARE_SETTINGS = {"use_index_for_in_with_subqueries_max_values": 200_000}

# Rows compared with landing at a time: bounds the memory of the comparison, whatever the size of the batch.
_ROWS_PER_CHUNK = 2_000_000


def settle(client: Client, settings: Settings, table: Table, loaded_at: datetime, batch_id: str) -> int:
    """Move refused rows out of the side table and drop rows that landed before. Returns how many were already there.

    Which of several rows with the same key and version is kept: one that landed before, else the one whose content has
    the smallest hash, so the outcome does not depend on the order of rows. Exact copies count as already there.
    """
    side = f"{settings.database('incoming')}.{table.name}"
    landing = f"{settings.database('landing')}.{table.name}"
    if not scalar(client, f"SELECT count() FROM {side}"):
        return 0
    version = ", ".join((*table.key, "updated_at"))
    key = ", ".join(table.key)
    client.command(f"CREATE TABLE {side}__unknown (order_id UInt64) ENGINE = MergeTree ORDER BY order_id")
    client.command(
        f"CREATE TABLE {side}__suspects ENGINE = MergeTree ORDER BY ({version}) AS SELECT {version} FROM {side} LIMIT 0"
    )
    if table.name == "order_lines":
        _find_unknown_orders(client, settings, side)
    _find_duplicates(client, table, side)
    chunks = _chunks(client, table, side, landing)
    for low, high in chunks:
        inside = f"{table.key[0]} BETWEEN {low} AND {high}"
        client.command(
            f"INSERT INTO {side}__suspects SELECT DISTINCT {version} FROM {landing} WHERE {inside} "
            f"AND ({version}) IN (SELECT {version} FROM {side} WHERE {inside})",
            settings=_COMPARE_SETTINGS,
        )
    already_there = _resolve(client, table, side, landing, chunks, loaded_at, batch_id)
    if _lands_by_load_time(table):
        already_there += _drop_unchanged(client, side, landing, key, table, loaded_at)
    return already_there


def _find_unknown_orders(client: Client, settings: Settings, side: str) -> None:
    incoming, landing = settings.database("incoming"), settings.database("landing")
    known = f"SELECT order_id FROM {incoming}.orders"
    unseen = f"SELECT DISTINCT order_id FROM {side}"
    if scalar(client, f"EXISTS TABLE {incoming}.orders"):
        unseen += f" WHERE order_id NOT IN ({known})"
    client.command(f"INSERT INTO {side}__unknown {unseen}")
    client.command(f"CREATE TABLE {side}__landed_orders (order_id UInt64) ENGINE = MergeTree ORDER BY order_id")
    if scalar(client, f"SELECT count() FROM {side}__unknown"):
        client.command(
            f"INSERT INTO {side}__landed_orders SELECT DISTINCT order_id FROM {landing}.orders "
            f"WHERE order_id IN (SELECT order_id FROM {side}__unknown)"
        )
        client.command(
            f"CREATE TABLE {side}__truly_unknown ENGINE = MergeTree ORDER BY order_id AS SELECT order_id "
            f"FROM {side}__unknown WHERE order_id NOT IN (SELECT order_id FROM {side}__landed_orders)"
        )
        client.command(f"EXCHANGE TABLES {side}__unknown AND {side}__truly_unknown")


def _find_duplicates(client: Client, table: Table, side: str) -> None:
    """Suspects: versions that occur twice in the batch.

    A first pass over the leading key column leaves only candidates. For lines it counts an order's rows and sets one
    bit per line number: as many bits as rows proves that no line occurs twice.
    """
    version = ", ".join((*table.key, "updated_at"))
    first, *rest = table.key
    proof = f"bitCount(groupBitOr(bitShiftLeft(toUInt64(1), {rest[0]} % 64)))" if rest else "1"
    known = "" if table.name != "order_lines" else f"AND order_id NOT IN (SELECT order_id FROM {side}__unknown)"
    client.command(
        f"INSERT INTO {side}__suspects SELECT {version} FROM {side} WHERE {first} IN "
        f"(SELECT {first} FROM {side} GROUP BY {first} HAVING count() > {proof}) {known} "
        f"GROUP BY {version} HAVING count() > 1"
    )


def _chunks(client: Client, table: Table, side: str, landing: str) -> list[tuple[int, int]]:
    """Ranges of the leading key in which to compare with landing; none when landing holds nothing in reach."""
    key = table.key[0]
    low, high, rows = client.query(f"SELECT min({key}), max({key}), count() FROM {side}").result_rows[0]
    if not scalar(
        client, f"SELECT count() FROM (SELECT 1 FROM {landing} WHERE {key} BETWEEN {low} AND {high} LIMIT 1)"
    ):
        return []
    pieces = -(-rows // _ROWS_PER_CHUNK)
    if pieces == 1:
        return [(low, high)]
    levels = ", ".join(str(number / pieces) for number in range(1, pieces))
    inner = client.query(f"SELECT quantilesTDigest({levels})(toFloat64({key})) FROM {side}").result_rows[0][0]
    edges = sorted({min(max(int(edge), low), high) for edge in inner} - {high})
    return list(zip([low, *(edge + 1 for edge in edges)], [*edges, high], strict=True))


def _resolve(
    client: Client,
    table: Table,
    side: str,
    landing: str,
    chunks: list[tuple[int, int]],
    loaded_at: datetime,
    batch_id: str,
) -> int:
    """Decide about suspects and unknown orders, and take what does not land out of the side table."""
    suspects = scalar(client, f"SELECT count() FROM {side}__suspects")
    unknown = scalar(client, f"SELECT count() FROM {side}__unknown")
    if not suspects and not unknown:
        return 0
    version = ", ".join((*table.key, "updated_at"))
    content = content_hash(table)
    client.command(
        f"CREATE TABLE {side}__verdicts ENGINE = MergeTree ORDER BY ({version}) AS "
        f"SELECT {version}, toUInt64(0) AS content, toUInt64(0) AS copies, '' AS verdict FROM {side} LIMIT 0"
    )
    for low, high in (chunks or [(0, 2**64 - 1)]) if suspects else []:
        inside = f"{table.key[0]} BETWEEN {low} AND {high}"
        chosen = f"{inside} AND ({version}) IN (SELECT {version} FROM {side}__suspects WHERE {inside})"
        landed = f"UNION ALL SELECT {version}, {content} AS content, 1 AS is_landed FROM {landing} WHERE {chosen}"
        client.command(
            f"INSERT INTO {side}__verdicts SELECT {version}, content, copies, multiIf(is_present, 'already there', "
            "max(is_present) OVER same, 'conflict', content = min(content) OVER same, 'kept', 'conflict') AS verdict "
            f"FROM (SELECT {version}, content, countIf(is_landed = 0) AS copies, max(is_landed) AS is_present FROM "
            f"(SELECT {version}, {content} AS content, 0 AS is_landed FROM {side} WHERE {chosen} "
            f"{landed if chunks else ''}) GROUP BY {version}, content) WINDOW same AS (PARTITION BY {version})",
            settings=_COMPARE_SETTINGS,
        )
    already_there = scalar(
        client,
        f"SELECT sumIf(copies, verdict = 'already there') + sumIf(copies - 1, verdict = 'kept') FROM {side}__verdicts",
    )
    verdict_of = f"(SELECT {version}, content FROM {side}__verdicts WHERE verdict = "
    suspicious = f"({version}) IN (SELECT {version} FROM {side}__suspects)"
    is_unknown = f"order_id IN (SELECT order_id FROM {side}__unknown)" if unknown else "0"
    texts = ", ".join(_text(table, name) for name in (column.name for column in table.columns))
    stamp = f"{instant(loaded_at)}, {quoted(batch_id)}"
    reason = f"if({is_unknown}, {quoted(UNKNOWN_ORDER)}, {quoted(CONFLICT)})"
    conflicts = scalar(client, f"SELECT sumIf(copies, verdict = 'conflict') FROM {side}__verdicts")
    if conflicts or unknown:
        client.command(
            f"INSERT INTO {side}__refused SELECT {texts}, {reason}, '', 0, 0, {stamp} "
            f"FROM {side} WHERE {is_unknown} OR ({suspicious} "
            f"AND ({version}, {content}) IN {verdict_of}'conflict'))"
        )
    client.command(f"CREATE TABLE {side}__kept AS {side}")
    client.command(
        f"INSERT INTO {side}__kept SELECT * FROM {side} WHERE {suspicious} "
        f"AND ({version}, {content}) IN {verdict_of}'kept') LIMIT 1 BY {version}"
    )
    _remove(client, side, f"{is_unknown} OR {suspicious}")
    client.command(f"INSERT INTO {side} SELECT * FROM {side}__kept")
    return already_there


def _remove(client: Client, side: str, condition: str) -> None:
    """Delete rows of a side table; all of them at once where nothing would remain."""
    if scalar(client, f"SELECT count() FROM {side} WHERE {condition}") == scalar(client, f"SELECT count() FROM {side}"):
        client.command(f"TRUNCATE TABLE {side} SYNC")
    else:
        client.command(f"ALTER TABLE {side} DELETE WHERE {condition} SETTINGS mutations_sync = 2")


def _lands_by_load_time(table: Table) -> bool:
    """Whether rows of the table may have neither an updated_at nor an event time."""
    if table.name == "order_lines":
        return False
    return table.event_time is None or table.column(table.event_time).nullable


def _drop_unchanged(client: Client, side: str, landing: str, key: str, table: Table, loaded_at: datetime) -> int:
    """Drop rows versioned by the load time whose content is what landing already shows. Returns how many."""
    content = content_hash(table)
    condition = (
        f"updated_at = {instant(loaded_at)} AND ({key}, {content}) IN "
        f"(SELECT {key}, argMax({content}, (updated_at, _loaded_at)) FROM {landing} GROUP BY {key})"
    )
    count = scalar(client, f"SELECT count() FROM {side} WHERE {condition}")
    if count:
        _remove(client, side, condition)
    return count


def content_hash(table: Table) -> str:
    """SQL of a hash of everything a row says besides its version; a null differs from a zero or an empty text."""
    names = ", ".join(column.name for column in table.columns if column.name not in (*table.key, "updated_at"))
    return f"sipHash64(tuple({names}))"


def _text(table: Table, name: str) -> str:
    """A typed value as text that is read back as the same value."""
    text = f"toString({name})"
    if table.column(name).kind == "time":
        text = f"concat({text}, 'Z')"
    if name == "updated_at" and table.name == "order_lines":
        text = f"if(updated_at = {VERSION_OF_ORDER}, NULL, {text})"
    return f"CAST({text}, 'Nullable(String)')"
