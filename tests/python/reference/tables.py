"""Delivered tables as they stand at a cut-off: read from files, typed, latest version known, deleted rows gone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from .money import to_scaled

TEXT, WHOLE, INSTANT, DAY = "text", "whole", "instant", "day"


@dataclass(frozen=True)
class Table:
    """Key, columns with their kind (an integer is a decimal scale), default per column, and event-time column."""

    key: tuple[str, ...]
    columns: dict[str, str | int]
    event: str | None
    defaults: dict[str, object]


# Only the columns that a definition speaks of.
TABLES = {
    "customers": Table(
        ("customer_id",),
        {
            "business_type": TEXT,
            "region_code": TEXT,
            "registered_at": INSTANT,
            "credit_term_days": WHOLE,
            "status": TEXT,
        },
        "registered_at",
        {"credit_term_days": 0, "status": "active"},
    ),
    "products": Table(("product_id",), {"category_id": WHOLE, "launched_on": DAY}, "launched_on", {}),
    "orders": Table(
        ("order_id",),
        {"customer_id": WHOLE, "ordered_at": INSTANT, "status": TEXT},
        "ordered_at",
        {},
    ),
    "order_lines": Table(
        ("order_id", "line_no"),
        {
            "product_id": WHOLE,
            "quantity": 3,
            "unit_price": 4,
            "discount_amount": 2,
            "tier_discount_amount": 2,
            "unit_cost": 4,
        },
        None,
        {"discount_amount": 0, "tier_discount_amount": 0},
    ),
    "refunds": Table(
        ("refund_id",),
        {"order_id": WHOLE, "line_no": WHOLE, "quantity": 3, "refunded_at": INSTANT, "amount": 2},
        "refunded_at",
        {},
    ),
    "complaints": Table(("complaint_id",), {"customer_id": WHOLE, "opened_at": INSTANT}, "opened_at", {}),
    "invoices": Table(
        ("invoice_id",), {"customer_id": WHOLE, "issued_on": DAY, "due_on": DAY, "amount": 2}, "issued_on", {}
    ),
    "payments": Table(("payment_id",), {"invoice_id": WHOLE, "paid_on": DAY, "amount": 2}, "paid_on", {}),
    "credit_reports": Table(
        ("report_id",),
        {"customer_id": WHOLE, "reported_on": DAY, "has_risk_flag": WHOLE},
        "reported_on",
        {"has_risk_flag": 0},
    ),
    "manager_inputs": Table(
        ("input_id",),
        {
            "customer_id": WHOLE,
            "input_type": TEXT,
            "value": TEXT,
            "reason": TEXT,
            "valid_from": DAY,
            "valid_to": DAY,
            "entered_at": INSTANT,
        },
        "entered_at",
        {},
    ),
}


def read_folder(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of a folder of `<table>.parquet` or `<table>.csv` files, as delivered; CSV cells stay texts."""
    tables = {}
    for name in TABLES:
        if (path := folder / f"{name}.parquet").exists():
            tables[name] = pd.read_parquet(path)
        elif (path := folder / f"{name}.csv").exists():
            tables[name] = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    return tables


def day_number(day: date) -> int:
    """Days since 1970-01-01: the form in which dates are compared and subtracted here."""
    return (day - date(1970, 1, 1)).days


def cut_off(as_of: date, zone: str) -> pd.Timestamp:
    """The first instant (UTC) that is no longer part of the as-of date."""
    return pd.Timestamp(as_of + timedelta(days=1), tz=zone).tz_convert("UTC")


def business_days(instants: pd.Series, zone: str) -> pd.Series:
    """Day number of each instant in the zone, null where the instant is."""
    local = instants.dt.tz_convert(zone).dt.tz_localize(None)
    return _day_numbers(local)


def _day_numbers(stamps: pd.Series) -> pd.Series:
    days = stamps.to_numpy(dtype="datetime64[D]").astype("int64")
    return pd.Series(days, index=stamps.index).astype("Int64").where(stamps.notna())


def _to_instants(values: pd.Series, zone: str) -> pd.Series:
    """UTC instants; what carries no zone is read in the business zone."""
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = pd.to_datetime(values, format="ISO8601")
    values = values.dt.tz_localize(zone) if values.dt.tz is None else values
    return values.dt.tz_convert("UTC").dt.as_unit("ms")


def _typed(values: pd.Series, kind: str | int, zone: str) -> pd.Series:
    if isinstance(kind, int):
        return to_scaled(values, kind)
    if kind == INSTANT:
        return _to_instants(values, zone)
    if kind == DAY:
        return _day_numbers(pd.to_datetime(values))
    if kind == WHOLE:
        return pd.to_numeric(values).astype("Int64")
    return values.astype("object")


def typed_table(name: str, tables: dict[str, pd.DataFrame], zone: str) -> pd.DataFrame:
    """All delivered versions of a table with every column of `TABLES`, `updated_at` and `is_deleted`.

    Days are day numbers, money and quantities scaled integers, missing `updated_at` the event time of the row (of a
    line: that of its order; without any: the beginning of time, as master data reaches back to its first version).
    """
    spec = TABLES[name]
    raw = tables.get(name)
    if raw is None:
        raw = pd.DataFrame(columns=list(spec.key))
    frame = pd.DataFrame({key: pd.to_numeric(raw[key]).astype("int64") for key in spec.key}, index=raw.index)
    for column, kind in spec.columns.items():
        delivered = raw[column] if column in raw else pd.Series([None] * len(raw), index=raw.index, dtype="object")
        frame[column] = _typed(delivered, kind, zone)
        if column in spec.defaults:
            frame[column] = frame[column].fillna(spec.defaults[column])
    deleted = raw["is_deleted"] if "is_deleted" in raw else pd.Series(0, index=raw.index)
    frame["is_deleted"] = pd.to_numeric(deleted).fillna(0).astype("int64")
    frame["updated_at"] = _version_instants(name, raw, frame, tables, zone)
    return frame.reset_index(drop=True)


def _version_instants(
    name: str, raw: pd.DataFrame, frame: pd.DataFrame, tables: dict[str, pd.DataFrame], zone: str
) -> pd.Series:
    event = TABLES[name].event
    if name == "order_lines":
        orders = typed_table("orders", tables, zone).sort_values("updated_at").drop_duplicates("order_id")
        fallback = frame["order_id"].map(orders.set_index("order_id")["ordered_at"])
    elif event is None:
        fallback = pd.Series(pd.NaT, index=raw.index)
    elif TABLES[name].columns[event] == DAY:
        midnight = pd.to_datetime(frame[event].astype("float64"), unit="D", origin="unix")
        fallback = midnight.dt.tz_localize(zone).dt.tz_convert("UTC")
    else:
        fallback = frame[event]
    fallback = fallback.astype("datetime64[ms, UTC]")
    stated = _to_instants(raw["updated_at"], zone) if "updated_at" in raw else None
    instants = fallback if stated is None else stated.where(stated.notna(), fallback)
    return instants.fillna(pd.Timestamp(0, tz="UTC"))


def known(frame: pd.DataFrame, key: Iterable[str], cutoff: pd.Timestamp) -> pd.DataFrame:
    """The latest version of each key with `updated_at` before the cut-off, without the deleted."""
    latest = _latest(frame[frame["updated_at"] < cutoff], list(key))
    return latest[latest["is_deleted"] == 0]


def described(frame: pd.DataFrame, key: Iterable[str], cutoff: pd.Timestamp) -> pd.DataFrame:
    """Master data: the latest version known at the cut-off, or the first version of what was delivered later."""
    keys = list(key)
    before = _latest(frame[frame["updated_at"] < cutoff], keys)
    first = frame.sort_values("updated_at", kind="stable").drop_duplicates(keys, keep="first")
    rows = pd.concat([before, first]).drop_duplicates(keys, keep="first")
    return rows[rows["is_deleted"] == 0]


def _latest(frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    return frame.sort_values("updated_at", kind="stable").drop_duplicates(key, keep="last")


def as_float(values: pd.Series) -> np.ndarray:
    """Nullable numbers as float64 with NaN for null."""
    return values.to_numpy(dtype="float64", na_value=np.nan)
