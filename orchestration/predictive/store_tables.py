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


def typed(rows: pd.DataFrame, types: dict[str, pa.DataType]) -> dict[str, pa.Array]:
    """The columns that `types` names, in these types; NaN and None become null."""
    columns = {}
    for name, kind in types.items():
        # A float would lose a cent on its way into a decimal column.
        plain = pa.float64() if pa.types.is_decimal(kind) else None
        columns[name] = pa.array(rows[name], plain, from_pandas=True).cast(kind, safe=False)
    return columns


def replace_day(
    client: Client, settings: Settings, table: str, day: date, columns: dict[str, pa.Array], **same: date | str
) -> None:
    """Make `columns` the rows of `day` in a predictive table, all at once or not at all; `same` as for `Replacement.insert`."""
    with Replacement(client, settings, table, day) as incoming:
        incoming.insert(columns, **same)


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
        return self

    def insert(self, columns: dict[str, pa.Array], **same: date | str) -> None:
        """Add rows, given by column; `same` names columns that hold one value in all of them."""
        count = len(next(iter(columns.values()), ()))
        self._count += count
        if count:
            repeated = {name: pa.repeat(pa.scalar(value), count) for name, value in same.items()}
            self._client.insert_arrow(f"{self._table}_incoming", pa.table(repeated | columns))

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
