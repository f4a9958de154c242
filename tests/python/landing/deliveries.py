"""Small deliveries for the landing tests: a good order with its lines, and writers of each file format."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Row = dict[str, Any]


def order(order_id: int = 1, **changes: Any) -> Row:
    """A good order, as texts."""
    row = {
        "order_id": str(order_id),
        "customer_id": "7",
        "ordered_at": "2024-03-01 10:00:00",
        "status": "completed",
        "channel": "app",
        "updated_at": "2024-03-01 10:05:00",
    }
    return row | changes


def line(order_id: int = 1, line_no: int = 1, **changes: Any) -> Row:
    """A good order line, as texts."""
    row = {
        "order_id": str(order_id),
        "line_no": str(line_no),
        "product_id": "5",
        "quantity": "2.5",
        "unit_price": "2.55",
        "discount_amount": "0.10",
        "updated_at": "2024-03-01 10:05:00",
    }
    return row | changes


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write rows to .csv, .csv.gz or .csv.zst; None becomes an empty field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    plain = path.with_name(path.name + ".plain")
    with plain.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    content = plain.read_bytes()
    plain.unlink()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".zst":
        content = zstandard.compress(content)
    path.write_bytes(content)


def write_json(path: Path, rows: list[Row]) -> None:
    """Write rows to .jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_parquet(path: Path, rows: list[Row]) -> None:
    """Write rows of texts to Parquet with the types a pandas user would have: whole numbers, doubles, naive times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    for name in frame.columns:
        if name.endswith("_at"):
            frame[name] = pd.to_datetime(frame[name], format="ISO8601")
        elif name.endswith("_on") or name in ("valid_from", "valid_to"):
            frame[name] = pd.to_datetime(frame[name]).dt.date
        elif name.endswith(("_id", "line_no", "severity", "is_deleted")):
            numbers = pd.to_numeric(frame[name])
            frame[name] = numbers if numbers.isna().any() else numbers.astype("int64")
        elif name in ("quantity", "amount") or name.endswith(("_price", "_amount", "_cost")):
            frame[name] = pd.to_numeric(frame[name]).astype("float64")
    pq.write_table(pa.Table.from_pandas(frame), path)


def write_orders(directory: Path, orders: list[Row], lines: list[Row], suffix: str = ".csv") -> Path:
    """A folder with orders and order lines in one format."""
    write = {".parquet": write_parquet, ".jsonl": write_json}.get(suffix, write_csv)
    write(directory / f"orders{suffix}", orders)
    write(directory / f"order_lines{suffix}", lines)
    return directory
