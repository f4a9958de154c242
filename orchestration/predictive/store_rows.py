"""Writing one as-of date of a table of customers in one atomic step."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client


def replace_day(
    client: Client, table: str, as_of: str, model_version: str, result: pd.DataFrame, types: dict[str, pa.DataType]
) -> None:
    """Make `result` the rows of `as_of` in `table`, all at once or not at all.

    result: customer_id and the columns of `types`, which the table has beside as_of_date, customer_id and model_version; NaN and
    None become null.
    """
    count = len(result)
    if not count:
        # An empty table has no partition to replace one with.
        client.command(f"ALTER TABLE {table} DROP PARTITION {{as_of:Date}}", parameters={"as_of": as_of})
        return
    columns = {
        "as_of_date": pa.array([date.fromisoformat(as_of)] * count, pa.date32()),
        "customer_id": pa.array(result["customer_id"].to_numpy(), pa.uint64()),
        "model_version": pa.array([model_version] * count, pa.string()),
    }
    for name, kind in types.items():
        # A float would lose a cent on its way into a decimal column.
        plain = pa.float64() if pa.types.is_decimal(kind) else None
        columns[name] = pa.array(result[name], plain, from_pandas=True).cast(kind, safe=False)
    incoming = f"{table}_incoming"
    client.command(f"DROP TABLE IF EXISTS {incoming}")
    client.command(f"CREATE TABLE {incoming} AS {table}")
    client.insert_arrow(incoming, pa.table(columns))
    client.command(f"ALTER TABLE {table} REPLACE PARTITION {{as_of:Date}} FROM {incoming}", parameters={"as_of": as_of})
    client.command(f"DROP TABLE {incoming}")
