"""A batch appears in all landing tables or in none: the journal of batches, the commit, and the repair after a kill.

Rows of a batch wait in side tables of `<prefix>_incoming`. Once the journal says `landing` (or `refusing`) the outcome
is decided: what a kill interrupts from then on is carried to its end by the next landing or refresh. Before that point
nothing has touched landing, and the side tables are dropped.
"""

from __future__ import annotations

from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from orchestration.business_zone import keep_zone
from orchestration.errors import TierhouseError
from orchestration.landing.contract import TABLES
from orchestration.landing.report import LandingReport, TableReport
from orchestration.landing.space import demand_space
from orchestration.landing.tables import AUDIT_COLUMNS, JOURNAL_COLUMNS, create_landing_tables, scalar
from orchestration.warehouse.settings import Settings

_STEPS = {"judging": 1, "landing": 2, "refusing": 2, "landed": 3, "refused": 3, "dropped": 3}


def repair(client: Client, settings: Settings) -> str | None:
    """Finish or undo what a killed landing left behind. Call it under the writer lock, before landing is read.

    Returns what was done in one line, or None when there was nothing to do. Raises TierhouseError for a full disk,
    and for a warehouse of another zone.
    """
    demand_space(client, settings)
    create_landing_tables(client, settings)
    keep_zone(client, settings)
    unfinished = client.query(
        f"SELECT batch_id, any(loaded_at), argMax(state, step), argMax(report, step) "
        f"FROM {settings.database('incoming')}.journal GROUP BY batch_id HAVING max(step) < 3 ORDER BY any(loaded_at)"
    ).result_rows
    done = []
    for batch_id, loaded_at, state, report in unfinished:
        if state == "judging":
            record(client, settings, batch_id, loaded_at, "dropped")
            done.append(f"batch {batch_id} had not begun to land; nothing of it is kept")
        else:
            finish(client, settings, LandingReport.from_json(report))
            done.append(f"batch {batch_id} was carried to its end: {'landed' if state == 'landing' else 'refused'}")
    drop_side_tables(client, settings)
    return "; ".join(done) or None


def record(
    client: Client, settings: Settings, batch_id: str, loaded_at: datetime, state: str, report: str = ""
) -> None:
    """Note in the journal that the batch has reached a state. One atomic insert."""
    row = [batch_id, loaded_at.replace(tzinfo=UTC), _STEPS[state], state, report]
    target = f"{settings.database('incoming')}.journal"
    # With the types given, the client need not ask for them.
    client.insert(
        target, [row], list(JOURNAL_COLUMNS), column_type_names=[type for type, _ in JOURNAL_COLUMNS.values()]
    )


def commit(client: Client, settings: Settings, report: LandingReport) -> None:
    """Make the judged batch visible: decide in the journal, then attach, quarantine and audit."""
    state = "refusing" if report.status == "refused" else "landing"
    record(client, settings, report.batch_id, report.loaded_at, state, report.to_json())
    finish(client, settings, report)


def finish(client: Client, settings: Settings, report: LandingReport) -> None:
    """Carry a decided batch to its end. Each step checks whether it was done before, so it may run again."""
    for table in report.tables:
        if table.landed:
            _attach(client, settings, report, table)
        if table.quarantined:
            _quarantine(client, settings, table)
    _audit(client, settings, report)
    record(client, settings, report.batch_id, report.loaded_at, report.status)
    drop_side_tables(client, settings)


def drop_side_tables(client: Client, settings: Settings) -> None:
    """Drop everything in `<prefix>_incoming` but the journal; views first, since inserts run through them."""
    database = settings.database("incoming")
    names = client.query(
        "SELECT name FROM system.tables WHERE database = {database:String} AND name != 'journal' "
        "ORDER BY engine != 'MaterializedView', name",
        parameters={"database": database},
    ).result_rows
    for (name,) in names:
        client.command(f"DROP TABLE IF EXISTS {database}.`{name}` SYNC")


def _attach(client: Client, settings: Settings, report: LandingReport, table: TableReport) -> None:
    landing = f"{settings.database('landing')}.{table.table}"
    side = f"{settings.database('incoming')}.{table.table}"
    batch = {"batch_id": report.batch_id, "loaded_at": f"{report.loaded_at:%Y-%m-%d %H:%M:%S.%f}"}
    condition = "_loaded_at = toDateTime64({loaded_at:String}, 3, 'UTC') AND _batch_id = {batch_id:String}"
    present = scalar(client, f"SELECT count() FROM {landing} WHERE {condition}", parameters=batch)
    if present == table.landed:
        return
    waiting = 0
    if scalar(client, f"EXISTS TABLE {side}"):
        waiting = scalar(client, f"SELECT count() FROM {side} WHERE {condition}", parameters=batch)
    if waiting != table.landed:
        raise TierhouseError(
            f"batch {report.batch_id} cannot be finished: {side} holds {waiting} of {table.landed} rows; "
            "restore it from a backup, or delete the batch from landing and its rows from the journal"
        )
    if present:
        # A kill between two parts of one attach leaves some of them; the side table still holds them all.
        client.command(f"ALTER TABLE {landing} DELETE WHERE {condition} SETTINGS mutations_sync = 2", parameters=batch)
    client.command(f"ALTER TABLE {landing} ATTACH PARTITION ID '{report.loaded_at:%Y%m}' FROM {side}")


def _quarantine(client: Client, settings: Settings, table: TableReport) -> None:
    target = f"{settings.database('quarantine')}.{table.table}"
    side = f"{settings.database('incoming')}.{table.table}__refused"
    columns = ", ".join(column.name for column in TABLES[table.table].columns)
    client.command(
        f"INSERT INTO {target} ({columns}, _reason, _file, _row_hash, _copy, _loaded_at, _batch_id) "
        f"SELECT {columns}, _reason, _file, sipHash64(tuple({columns})) AS row_hash, "
        "row_number() OVER (PARTITION BY row_hash ORDER BY _reason, _file), _loaded_at, _batch_id "
        f"FROM {side}"
    )
    # Merges now, so that the rows an earlier delivery left are replaced before anybody counts.
    client.command(f"OPTIMIZE TABLE {target} FINAL")


def _audit(client: Client, settings: Settings, report: LandingReport) -> None:
    target = f"{settings.database('marts')}.load_audit"
    batch = {"batch_id": report.batch_id}
    if scalar(client, f"SELECT count() FROM {target} WHERE batch_id = {{batch_id:String}}", parameters=batch):
        return
    rows = [
        [
            report.batch_id, report.loaded_at, table.table, report.status, table.files, table.delivered, table.landed,
            table.already_there, table.quarantined, table.held_back, table.reasons, table.seconds,
            table.rows_per_second, table.warnings,
        ]
        for table in report.tables
    ]  # fmt: skip
    client.insert(target, rows, list(AUDIT_COLUMNS), column_type_names=[type for type, _ in AUDIT_COLUMNS.values()])
