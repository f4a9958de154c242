"""What the stores of the weekly predictions share: typed answers, and one as-of date of a table replaced in one step."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from orchestration.warehouse.settings import Settings


def frame_of(client: Client, statement: str, types: dict[str, str]) -> pd.DataFrame:
    """The answer with these columns in these types, also when it has no rows."""
    frame = client.query_df(statement, settings={"join_use_nulls": 0})
    if frame.empty:
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in types.items()})
    return frame.astype(types)


class Replacement:
    """Collects the rows of one as-of date of a predictive table beside it, and puts them in its place when all went well."""

    def __init__(self, client: Client, settings: Settings, table: str, day: date) -> None:
        self._client, self._day, self._count = client, day, 0
        self._table = f"{settings.database('predictive')}.{table}"

    def __enter__(self) -> Replacement:
        self._client.command(f"DROP TABLE IF EXISTS {self._table}_incoming")
        self._client.command(f"CREATE TABLE {self._table}_incoming AS {self._table}")
        return self

    def insert(self, columns: dict[str, pa.Array], version: str) -> None:
        """Add rows, given by column; as_of_date and model_version are added."""
        count = len(next(iter(columns.values()))) if columns else 0
        self._count += count
        if count:
            own = {
                "as_of_date": pa.array([self._day] * count, pa.date32()),
                "model_version": pa.array([version] * count, pa.string()),
            }
            self._client.insert_arrow(f"{self._table}_incoming", pa.table(own | columns))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            # The engine refuses to replace a partition by one without rows.
            change = f"REPLACE PARTITION {{day:Date}} FROM {self._table}_incoming"
            change = change if self._count else "DROP PARTITION {day:Date}"
            self._client.command(f"ALTER TABLE {self._table} {change}", parameters={"day": self._day})
        self._client.command(f"DROP TABLE {self._table}_incoming")
