"""The same features and scores by DuckDB and pandas, from the same facts and from the same lines, side by side.

Compared are the order features of every customer (counts, sums, mean, coefficient of variation, recency, margin), the
breadth of the range, and the score by the example formula; credit, complaints and new products are left out for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.warehouse.settings import Settings

# One text for both engines: what they share of SQL is enough.
_FEATURES = """
SELECT customer_id,
    {counts},
    sum(CASE WHEN age < 90 THEN net ELSE 0 END) AS net_90d, sum(net) AS net_to_date, sum(net) - sum(cost) AS margin_to_date,
    min(age) AS days_since_last_order,
    sum(CASE WHEN age < 90 THEN net ELSE 0 END) / nullif(sum(CASE WHEN age < 90 THEN 1 ELSE 0 END), 0) AS average_order_value,
    stddev_samp(CASE WHEN age < 180 THEN net END) / avg(CASE WHEN age < 180 THEN net END) AS cv_180d
FROM ({orders}) AS orders GROUP BY customer_id
"""
_COUNTS = ", ".join(f"sum(CASE WHEN age < {days} THEN 1 ELSE 0 END) AS orders_{days}d" for days in (7, 30, 90, 365))
_SCORES = """
WITH features AS ({features}), breadth AS ({breadth})
SELECT features.*, breadth.products,
    0.30 / (1 + days_since_last_order) + 0.25 * orders_90d / max(orders_90d) OVER ()
        + 0.30 * coalesce(average_order_value, 0) / max(average_order_value) OVER () AS score
FROM features LEFT JOIN breadth ON features.customer_id = breadth.customer_id
"""


def compare(client: Client, settings: Settings, directory: Path, as_of: date) -> Iterator[tuple[str, str, float]]:
    """Yield (who, starting point, seconds). Facts and lines are exported to Parquet first, which is not counted."""
    facts = settings.database("facts")
    day = f"toDate('{as_of}')"
    known = "known_to > now() + INTERVAL 1 YEAR AND is_valid = 1"
    orders_sql = (
        f"SELECT customer_id, toInt32({day} - business_date) AS age, toFloat64(net_amount) AS net, toFloat64(cost_amount) AS cost "
        f"FROM {facts}.fct_orders WHERE {known} AND business_date <= {day}"
    )
    lines_sql = (
        f"SELECT customer_id, order_id, product_id, toInt32({day} - business_date) AS age, toFloat64(gross_amount) AS net, "
        f"toFloat64(cost_amount) AS cost FROM {facts}.fct_order_lines WHERE {known} AND business_date <= {day}"
    )
    directory.mkdir(parents=True, exist_ok=True)
    orders, lines = directory / "orders.parquet", directory / "lines.parquet"
    for path, statement in ((orders, orders_sql), (lines, lines_sql)):
        with path.open("wb") as file:
            for chunk in client.raw_stream(statement, fmt="Parquet"):
                file.write(chunk)

    breadth = (
        f"SELECT customer_id, uniqExact(product_id) AS products FROM ({lines_sql}) WHERE age < 90 GROUP BY customer_id"
    )
    ours = _SCORES.format(features=_FEATURES.format(counts=_COUNTS, orders=orders_sql), breadth=breadth)
    yield (
        "tierhouse",
        "facts (stored tables)",
        _median(lambda: client.command(f"SELECT count(), sum(score) FROM ({ours})")),
    )

    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    breadth = (
        f"SELECT customer_id, count(DISTINCT product_id) AS products FROM '{lines}' WHERE age < 90 GROUP BY customer_id"
    )
    from_facts = _SCORES.format(
        features=_FEATURES.format(counts=_COUNTS, orders=f"SELECT * FROM '{orders}'"), breadth=breadth
    )
    yield (
        "DuckDB",
        "facts (Parquet)",
        _median(lambda: connection.execute(f"SELECT count(*), sum(score) FROM ({from_facts})").fetchall()),
    )
    summed = (
        "SELECT customer_id, order_id, min(age) AS age, sum(net) AS net, sum(cost) AS cost "
        f"FROM '{lines}' GROUP BY customer_id, order_id"
    )
    from_lines = _SCORES.format(features=_FEATURES.format(counts=_COUNTS, orders=summed), breadth=breadth)
    yield (
        "DuckDB",
        "lines (Parquet)",
        _median(lambda: connection.execute(f"SELECT count(*), sum(score) FROM ({from_lines})").fetchall()),
    )

    yield "pandas", "facts (Parquet)", _median(lambda: _by_pandas(pd.read_parquet(orders), pd.read_parquet(lines)))


def _by_pandas(orders: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    columns = {f"orders_{days}d": (orders["age"] < days).astype("int64") for days in (7, 30, 90, 365)}
    columns["net_90d"] = orders["net"].where(orders["age"] < 90, 0.0)
    columns["net_180d"] = orders["net"].where(orders["age"] < 180)
    frame = orders.assign(**columns)
    sums = frame.groupby("customer_id")[[*columns, "net", "cost"]].sum()
    sums["days_since_last_order"] = frame.groupby("customer_id")["age"].min()
    values = frame.groupby("customer_id")["net_180d"]
    sums["cv_180d"] = values.std() / values.mean()
    average = sums["net_90d"] / sums["orders_90d"].where(sums["orders_90d"] > 0)
    recent = lines[lines["age"] < 90]
    sums["products"] = recent.drop_duplicates(["customer_id", "product_id"]).groupby("customer_id").size()
    sums["score"] = (
        0.30 / (1 + sums["days_since_last_order"])
        + 0.25 * sums["orders_90d"] / sums["orders_90d"].max()
        + 0.30 * average.fillna(0) / average.max()
    )
    return sums


def _median(run: Callable[[], object], rounds: int = 3) -> float:
    """Median seconds of three rounds."""
    seconds = []
    for _ in range(rounds):
        started = time.monotonic()
        run()
        seconds.append(time.monotonic() - started)
    return sorted(seconds)[rounds // 2]
