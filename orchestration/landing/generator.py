"""Demo data made inside the engine: a fresh-food order system whose every row is a pure function of a few numbers.

The truth the world is built on (who is dead, slipping, growing, late with payments, served by a second supplier) is
kept in `<prefix>_demo`, so that features and models can be held against it. Rows reach landing as any delivery does,
through the judging of `pipeline`. A world does not end on its last day: `land_next_day` delivers what the same source
would deliver the day after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.landing.contract import TABLES
from orchestration.landing.generator_sql import base_of, delta_of, tables_of
from orchestration.landing.generator_world import BUSINESS_TYPES, demand
from orchestration.landing.judge import Delivered
from orchestration.landing.pipeline import Progress, land_deliveries
from orchestration.landing.reading import INSERT_SETTINGS, Delivery
from orchestration.landing.report import LandingReport
from orchestration.landing.tables import create_landing_tables, scalar
from orchestration.lock import writer_lock
from orchestration.warehouse.settings import Settings

# Days after the last one for which demand is prepared, so that next days need no new preparation.
DAYS_AHEAD = 400
LARGEST_CUSTOMER_COUNT = 5_000_000


@dataclass(frozen=True)
class World:
    """The numbers a demo world follows from. customers: registered by last_date. days: of orders, ending on last_date
    (a business date). zone: the business zone."""

    customers: int
    days: int
    seed: int
    last_date: date
    zone: str

    @property
    def first_date(self) -> date:
        """The first day with orders; day number 0 of the world."""
        return self.last_date - timedelta(days=self.days - 1)


def land_demo(
    client: Client,
    settings: Settings,
    customers: int = 1500,
    days: int = 240,
    seed: int = 1,
    last_date: date | None = None,
    progress: Progress | None = None,
) -> LandingReport:
    """Make a world and land its history up to last_date (default: yesterday in the business zone, or that of the
    demo landed before with the same numbers).

    The same numbers give the same rows, so landing a world twice adds nothing. Takes the writer lock. Raises
    TierhouseError when landing holds orders of something else: a demo among real orders would spoil both.
    """
    if not 1 <= customers <= LARGEST_CUSTOMER_COUNT or not 1 <= days <= 3660:
        raise TierhouseError(f"a demo has 1 to {LARGEST_CUSTOMER_COUNT:,} customers and 1 to 3,660 days")
    with writer_lock(settings, "tierhouse demo"):
        create_landing_tables(client, settings)
        earlier = _earlier_world(client, settings)
        if last_date is None:
            yesterday = datetime.now(ZoneInfo(settings.zone)).date() - timedelta(days=1)
            same = earlier is not None and (earlier.customers, earlier.days, earlier.seed) == (customers, days, seed)
            last_date = earlier.last_date if earlier and same else yesterday
        world = World(customers, days, seed, last_date, settings.zone)
        if world != earlier and scalar(client, f"SELECT count() FROM {settings.database('landing')}.orders"):
            raise TierhouseError(
                "the warehouse already holds other orders; choose a new TIERHOUSE_HOME or TIERHOUSE_SCHEMA for the demo"
            )
        make_world(client, settings, world, progress)
        return _land(client, settings, base_of(world, settings.database("demo")), progress)


def land_next_day(client: Client, settings: Settings, progress: Progress | None = None) -> LandingReport:
    """Land what the source of the demo world delivers on the day after the last one landed: new orders, changed and
    late rows, refunds, payments, new customers. Takes the writer lock. Raises TierhouseError when there is no demo."""
    with writer_lock(settings, "tierhouse demo"):
        database = settings.database("demo")
        if not scalar(client, f"EXISTS TABLE {database}.world"):
            raise TierhouseError("there is no demo to go on with; run `tierhouse demo` first")
        world = read_world(client, settings)
        day = scalar(client, f"SELECT max(day) FROM {database}.landed_days") + 1
        if day >= world.days + DAYS_AHEAD:
            raise TierhouseError(f"the demo ends {DAYS_AHEAD} days after its base; run `tierhouse demo` anew")
        for statement in tables_of(world, database, day):
            client.command(statement)
        report = _land(client, settings, delta_of(world, database, day), progress)
        client.command(f"INSERT INTO {database}.landed_days VALUES ({day})")
        return report


def make_world(client: Client, settings: Settings, world: World, progress: Progress | None = None) -> None:
    """Fill `<prefix>_demo`, replacing an earlier world: the truth about customers and products, and all orders."""
    say = progress or (lambda message: None)
    database = settings.database("demo")
    client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
    client.command(f"CREATE DATABASE {database}")
    client.command(
        f"CREATE TABLE {database}.world (customers UInt32, days UInt16, seed Int64, last_date Date, zone String) "
        "ENGINE = MergeTree ORDER BY tuple() COMMENT 'One row: the numbers the demo follows from.'"
    )
    row = [world.customers, world.days, world.seed, world.last_date, world.zone]
    client.insert(f"{database}.world", [row], column_names=["customers", "days", "seed", "last_date", "zone"])
    client.command(
        f"CREATE TABLE {database}.demand (business_type String, days Array(UInt16), starts Array(UInt32), "
        "factors Array(Float32)) ENGINE = MergeTree ORDER BY business_type "
        "COMMENT 'One row per business type: relative demand per day, and the day''s start in seconds since 1970.'"
    )
    dates = [world.first_date + timedelta(days=number) for number in range(world.days + DAYS_AHEAD)]
    zone = ZoneInfo(world.zone)
    starts = [int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) for day in dates]
    rows = [
        [kind.name, list(range(len(dates))), starts, [demand(day, kind) for day in dates]] for kind in BUSINESS_TYPES
    ]
    client.insert(f"{database}.demand", rows, column_names=["business_type", "days", "starts", "factors"])
    say("generating customers, products and orders")
    for statement in tables_of(world, database):
        client.command(statement, settings={"max_insert_threads": 2})
    client.command(f"CREATE TABLE {database}.landed_days (day UInt16) ENGINE = MergeTree ORDER BY day")
    client.command(f"INSERT INTO {database}.landed_days VALUES ({world.days - 1})")


def _earlier_world(client: Client, settings: Settings) -> World | None:
    exists = scalar(client, f"EXISTS TABLE {settings.database('demo')}.landed_days")
    return read_world(client, settings) if exists else None


def read_world(client: Client, settings: Settings) -> World:
    """The world whose truth `<prefix>_demo` holds."""
    row = client.query(
        f"SELECT customers, days, seed, last_date, zone FROM {settings.database('demo')}.world"
    ).result_rows[0]
    return World(*row)


def export_demo(
    client: Client, settings: Settings, directory: Path, world: World, progress: Progress | None = None
) -> None:
    """Write the history of a world as one Parquet file per landing table, streamed from the engine to disk."""
    say = progress or (lambda message: None)
    directory.mkdir(parents=True, exist_ok=True)
    make_world(client, settings, world, progress)
    for name, select in base_of(world, settings.database("demo")).items():
        say(f"writing {name}")
        with (directory / f"{name}.parquet").open("wb") as file:
            stream = client.raw_stream(f"{select} ORDER BY {', '.join(TABLES[name].key)}", fmt="Parquet")
            for chunk in stream:
                file.write(chunk)


def _land(client: Client, settings: Settings, selects: dict[str, str], progress: Progress | None) -> LandingReport:
    deliveries = {name: [_delivery(name, select)] for name, select in selects.items()}
    return land_deliveries(client, settings, deliveries, "tierhouse demo", progress)


def _delivery(name: str, select: str) -> Delivery:
    """A SELECT that yields all columns of a landing table in their landing types, as a delivery."""
    table = TABLES[name]
    families = {"integer": "integer", "decimal": "decimal", "text": "text", "time": "instant", "date": "date"}
    columns = tuple(
        Delivered(column.name, f"Nullable({column.type})" if column.nullable else column.type, families[column.kind])
        for column in table.columns
    )
    is_large = name in ("orders", "order_lines")
    return Delivery("demo", columns, _sender(select, [column.name for column in columns]), is_large=is_large)


def _sender(select: str, names: list[str]) -> Callable[[Client, str], None]:
    def send(client: Client, target: str) -> None:
        columns = ", ".join(names)
        client.command(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM ({select})", settings=INSERT_SETTINGS)

    return send
