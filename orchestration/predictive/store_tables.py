"""What the stores of the predictions share: typed answers and columns, and the rows of one day replaced in one step."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.warehouse.settings import Settings


def frame_of(
    client: Client, statement: str, types: dict[str, str], settings: dict[str, int] | None = None
) -> pd.DataFrame:
    """The answer with these columns in these types, also when it has no rows."""
    frame = client.query_df(statement, settings={"join_use_nulls": 0} | (settings or {}))
    if frame.empty:
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in types.items()})
    return frame.astype(types)


def typed(rows: pd.DataFrame, schema: pa.Schema, same: dict[str, date | str]) -> pa.Table:
    """The columns that `schema` names, in its types, from `rows` or one value for all; NaN and None become null."""
    columns = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name in same:
            columns.append(pa.repeat(pa.scalar(same[name], kind), len(rows)))
            continue
        values = rows[name]
        if pa.types.is_decimal(kind):
            # A float would lose a cent on its way into a decimal column.
            columns.append(pa.array(values, pa.float64(), from_pandas=True).cast(kind, safe=False))
        elif values.dtype == object:
            columns.append(pa.array(values, kind, from_pandas=True))
        else:
            columns.append(pa.array(values, from_pandas=True).cast(kind, safe=False))
    return pa.Table.from_arrays(columns, schema=schema)


def replace_day(
    client: Client, settings: Settings, table: str, day: date, rows: pd.DataFrame, **same: date | str
) -> None:
    """Make `rows` those of `day` in a predictive table, all at once or not at all; `same` as for `Replacement.insert`."""
    with Replacement(client, settings, table, day) as incoming:
        incoming.insert(rows, **same)


class Replacement:
    """Collects the rows of one day, a partition of a predictive table, beside it, and puts them in its place when all went well.

    must_hold: names with SQL conditions over aggregates of the rows; one that does not hold raises TierhouseError, and the rows of
    before stay.
    """

    def __init__(
        self, client: Client, settings: Settings, table: str, day: date, must_hold: dict[str, str] | None = None
    ) -> None:
        self._client, self._day, self._count, self._must_hold = client, day, 0, must_hold or {}
        self._table = f"{settings.database('predictive')}.{table}"

    def __enter__(self) -> Replacement:
        self._client.command(f"DROP TABLE IF EXISTS {self._table}_incoming")
        self._client.command(f"CREATE TABLE {self._table}_incoming AS {self._table}")
        # The columns are told once, where the table is made: macros/predictive_tables.sql.
        self._schema = self._client.query_arrow(
            f"SELECT * FROM {self._table}_incoming LIMIT 0",
            settings={
                "output_format_arrow_string_as_string": 1,
                "output_format_arrow_low_cardinality_as_dictionary": 0,
                "output_format_arrow_date_as_uint16": 0,
            },
        ).schema
        return self

    def insert(self, rows: pd.DataFrame, **same: date | str) -> None:
        """Add rows with a column for each of the table's; `same` names columns that hold one value in all of them."""
        self._count += len(rows)
        if len(rows):
            self._client.insert_arrow(f"{self._table}_incoming", typed(rows, self._schema, same))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._check()
            # The engine refuses to replace a partition by one without rows.
            change = f"REPLACE PARTITION {{day:Date}} FROM {self._table}_incoming"
            change = change if self._count else "DROP PARTITION {day:Date}"
            self._client.command(f"ALTER TABLE {self._table} {change}", parameters={"day": self._day})
        self._client.command(f"DROP TABLE {self._table}_incoming")

    def _check(self) -> None:
        if not self._must_hold:
            return
        conditions = ", ".join(f"toBool({condition})" for condition in self._must_hold.values())
        held = self._client.query(f"SELECT {conditions} FROM {self._table}_incoming").result_rows[0]
        broken = [name for name, holds in zip(self._must_hold, held, strict=True) if not holds]
        if broken:
            self._client.command(f"DROP TABLE {self._table}_incoming")
            raise TierhouseError(
                f"predictions for {self._table} of {self._day} are not written, those of before stay: not so is that {broken[0]}"
            )
