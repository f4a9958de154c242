"""Random, nasty histories: many versions per row, deletions, late rows, ties, gaps, rows at midnight."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

CUSTOMERS = 150
ORDERS = 1500
PRODUCTS = 30


def random_history(seed: int, last_day: date, zone: str, absent: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """Delivered tables of a made-up distributor: 400 days up to a few days after `last_day`, all versions.

    `absent` names tables to leave out; `unit_cost` and `category_id` leave out that column's values.
    Instants are UTC, money is float with at most the decimals of the contract.
    """
    random = np.random.default_rng(seed)
    midnight = pd.Timestamp(last_day + timedelta(days=1), tz=zone).tz_convert("UTC").as_unit("ms")
    orders = _orders(random, midnight)
    lines = _lines(random, orders)
    # Some headers become known after their lines.
    delay = np.where(random.random(ORDERS) < 0.05, random.integers(0, 4 * 86_400_000, ORDERS), 0)
    headers = orders.assign(updated_at=orders["updated_at"] + pd.to_timedelta(delay, unit="ms"))
    tables = {
        "orders": _versions(random, headers, midnight, _change_order),
        "order_lines": _versions(random, lines, midnight, _change_line),
        "refunds": _versions(random, _refunds(random, lines), midnight, _change_refund),
        "complaints": _versions(random, _complaints(random, midnight), midnight, _change_nothing),
        "customers": _versions(random, _customers(random, midnight), midnight, _change_customer),
        "products": _versions(random, _products(random, last_day, midnight), midnight, _change_product),
        "categories": pd.DataFrame(
            {
                "category_id": range(1, 7),
                "category_name": list("abcdef"),
                "updated_at": midnight - pd.Timedelta(days=500),
            }
        ),
    }
    invoices = _invoices(random, last_day, zone)
    tables["invoices"] = _versions(random, invoices, midnight, _change_amount)
    tables["payments"] = _versions(random, _payments(random, invoices, zone), midnight, _change_amount)
    tables["credit_reports"] = _versions(random, _credit_reports(random, last_day, zone), midnight, _change_flag)
    tables["manager_inputs"] = _versions(random, _manager_inputs(random, last_day, midnight), midnight, _change_tier)
    if "unit_cost" in absent:
        tables["order_lines"]["unit_cost"] = np.nan
    if "category_id" in absent:
        tables["products"]["category_id"] = pd.Series(pd.NA, index=tables["products"].index, dtype="Int64")
    return {name: frame for name, frame in tables.items() if name not in absent}


def _instants(random: np.random.Generator, midnight: pd.Timestamp, count: int, days: int) -> pd.Series:
    """Instants of the last `days` days and 5 days after the cut-off; one in ten within a second of a midnight."""
    offsets = random.integers(-days * 86_400_000, 5 * 86_400_000, count)
    near_midnight = random.integers(-days, 5, count) * 86_400_000 + random.choice([-1, 0, 1, -1000], count)
    offsets = np.where(random.random(count) < 0.1, near_midnight, offsets)
    return pd.Series(midnight + pd.to_timedelta(offsets, unit="ms")).dt.as_unit("ms")


def _orders(random: np.random.Generator, midnight: pd.Timestamp) -> pd.DataFrame:
    # Skewed towards the first customers; ids from 1 to 5 have no row in `customers`.
    customers = 1 + np.minimum(random.geometric(0.02, ORDERS), CUSTOMERS)
    statuses = ["completed", "delivered", "paid", "created", "cancelled"]
    ordered_at = _instants(random, midnight, ORDERS, 400)
    return pd.DataFrame(
        {
            "order_id": np.arange(1, ORDERS + 1),
            "customer_id": customers,
            "ordered_at": ordered_at,
            "status": random.choice(statuses, ORDERS, p=[0.6, 0.1, 0.1, 0.1, 0.1]),
            "channel": "app",
            "is_deleted": (random.random(ORDERS) < 0.02).astype(int),
            "updated_at": ordered_at,
        }
    )


def _lines(random: np.random.Generator, orders: pd.DataFrame) -> pd.DataFrame:
    lines = orders.loc[orders.index.repeat(random.integers(1, 5, len(orders)))]
    count = len(lines)
    quantity = np.round(random.choice([0.333, 0.5, 1.005, 1, 2, 7.25, 12, 40], count) * random.integers(1, 4, count), 3)
    price = random.choice([0.005, 0.01, 1.0, 3.335, 12.3456, 99.99, 400.0], count)
    discounted = (random.random(count) < 0.3) & (quantity * price > 4)  # a halved quantity still exceeds it
    discount = np.where(discounted, random.choice([0.01, 0.5, 1.25], count), 0.0)
    return pd.DataFrame(
        {
            "order_id": lines["order_id"].to_numpy(),
            "line_no": lines.groupby("order_id").cumcount().to_numpy() + 1,
            "product_id": random.integers(1, PRODUCTS + 2, count),  # the last one has no row in `products`
            "quantity": quantity,
            "unit_price": price,
            "discount_amount": discount,
            "tier_discount_amount": np.where(random.random(count) < 0.5, discount, 0.0),
            "unit_cost": np.where(random.random(count) < 0.6, np.round(price * 0.77, 4), np.nan),
            "is_deleted": (random.random(count) < 0.02).astype(int),
            "updated_at": lines["updated_at"].to_numpy(),
        }
    )


def _refunds(random: np.random.Generator, lines: pd.DataFrame) -> pd.DataFrame:
    chosen = lines.sample(n=200, random_state=int(random.integers(1 << 31)), replace=True)
    count = len(chosen)
    has_line = random.random(count) < 0.7
    has_quantity = has_line & (random.random(count) < 0.6)
    refunded_at = chosen["updated_at"].reset_index(drop=True) + pd.to_timedelta(random.integers(1, 20, count), unit="D")
    return pd.DataFrame(
        {
            "refund_id": np.arange(1, count + 1),
            "order_id": chosen["order_id"].to_numpy(),
            "line_no": pd.Series(chosen["line_no"].to_numpy()).astype("Int64").where(pd.Series(has_line)),
            "quantity": np.where(has_quantity, np.round(chosen["quantity"].to_numpy() * 0.5, 3), np.nan),
            "refunded_at": refunded_at,
            # One in ten is far larger than the line: order values, even those of a window, go below zero.
            "amount": np.where(random.random(count) < 0.1, 3000.0, np.round(random.random(count) * 40 + 0.01, 2)),
            "reason": "spoiled",
            "is_deleted": 0,
            "updated_at": refunded_at + pd.to_timedelta(random.integers(0, 40, count), unit="D"),
        }
    )


def _complaints(random: np.random.Generator, midnight: pd.Timestamp) -> pd.DataFrame:
    opened_at = _instants(random, midnight, 120, 200)
    return pd.DataFrame(
        {
            "complaint_id": np.arange(1, 121),
            "customer_id": random.integers(1, CUSTOMERS + 1, 120),
            "opened_at": opened_at,
            "category": "quality",
            "severity": 1,
            "is_deleted": 0,
            "updated_at": opened_at,
        }
    )


def _customers(random: np.random.Generator, midnight: pd.Timestamp) -> pd.DataFrame:
    ids = np.arange(6, CUSTOMERS + 2)
    registered_at = _instants(random, midnight, len(ids), 600)
    return pd.DataFrame(
        {
            "customer_id": ids,
            "customer_name": [f"customer {i}" for i in ids],
            "business_type": random.choice(["restaurant", "canteen", "hotel"], len(ids), p=[0.7, 0.25, 0.05]),
            "region_code": random.choice(["north", "south", "west"], len(ids), p=[0.6, 0.3, 0.1]),
            "registered_at": registered_at,
            "credit_term_days": random.choice([0, 0, 30], len(ids)),
            "status": random.choice(["active", "blocked", "closed"], len(ids), p=[0.9, 0.06, 0.04]),
            "is_deleted": 0,
            "updated_at": registered_at,
        }
    )


def _products(random: np.random.Generator, last_day: date, midnight: pd.Timestamp) -> pd.DataFrame:
    ids = np.arange(1, PRODUCTS + 1)
    launched = [last_day - timedelta(days=int(days)) for days in random.integers(-3, 300, PRODUCTS)]
    category = pd.Series(random.integers(1, 7, PRODUCTS)).astype("Int64")
    return pd.DataFrame(
        {
            "product_id": ids,
            "product_name": [f"product {i}" for i in ids],
            "category_id": category.where(pd.Series(random.random(PRODUCTS) < 0.9)),
            "unit": "kg",
            "launched_on": pd.Series(launched, dtype="object").where(pd.Series(random.random(PRODUCTS) < 0.7), None),
            "status": "active",
            "is_deleted": 0,
            "updated_at": _instants(random, midnight, PRODUCTS, 300),
        }
    )


def _invoices(random: np.random.Generator, last_day: date, zone: str) -> pd.DataFrame:
    count = 150
    issued = [last_day - timedelta(days=int(days)) for days in random.integers(-4, 260, count)]
    due = [day + timedelta(days=int(days)) for day, days in zip(issued, random.choice([0, 15, 30], count), strict=True)]
    return pd.DataFrame(
        {
            "invoice_id": np.arange(1, count + 1),
            "customer_id": random.integers(1, CUSTOMERS // 2, count),
            "issued_on": issued,
            "due_on": due,
            "amount": np.round(random.random(count) * 5000 + 1, 2),
            "is_deleted": 0,
            "updated_at": _mornings(issued, zone),
        }
    )


def _payments(random: np.random.Generator, invoices: pd.DataFrame, zone: str) -> pd.DataFrame:
    chosen = invoices.sample(n=180, random_state=int(random.integers(1 << 31)), replace=True)
    paid = [d + timedelta(days=int(n)) for d, n in zip(chosen["due_on"], random.integers(-10, 60, 180), strict=True)]
    share = random.choice([1.0, 0.5, 0.3, 1.1], 180)
    return pd.DataFrame(
        {
            "payment_id": np.arange(1, 181),
            "invoice_id": chosen["invoice_id"].to_numpy(),
            "paid_on": paid,
            "amount": np.round(chosen["amount"].to_numpy() * share, 2),
            "is_deleted": 0,
            "updated_at": _mornings(paid, zone) + pd.to_timedelta(random.integers(0, 10, 180), unit="D"),
        }
    )


def _credit_reports(random: np.random.Generator, last_day: date, zone: str) -> pd.DataFrame:
    """Several reports of one customer, some of one day; most do not warn."""
    count = 80
    reported = [last_day - timedelta(days=int(days)) for days in random.integers(-3, 40, count)]
    return pd.DataFrame(
        {
            "report_id": np.arange(1, count + 1),
            "customer_id": random.integers(1, CUSTOMERS // 2, count),
            "provider": "agency",
            "reported_on": reported,
            "credit_score": random.integers(0, 101, count),
            "has_risk_flag": (random.random(count) < 0.3).astype(int),
            "is_deleted": 0,
            "updated_at": _mornings(reported, zone),
        }
    )


def _manager_inputs(random: np.random.Generator, last_day: date, midnight: pd.Timestamp) -> pd.DataFrame:
    """Overrides that collide, end, have no end, no reason or no such tier, and other entries."""
    count = 90
    starts = random.integers(-5, 60, count)
    ends = starts - random.integers(0, 60, count)
    first = pd.Series([last_day - timedelta(days=int(days)) for days in starts])
    last = pd.Series([last_day - timedelta(days=int(days)) for days in ends], dtype="object")
    entered_at = _instants(random, midnight, count, 60)
    return pd.DataFrame(
        {
            "input_id": np.arange(1, count + 1),
            "customer_id": random.integers(1, CUSTOMERS // 3, count),
            "manager_id": random.integers(1, 5, count),
            "input_type": random.choice(["tier_override", "note", "tag"], count, p=[0.8, 0.1, 0.1]),
            "value": random.choice(["diamond", "gold", "silver", "bronze", "platinum"], count),
            "reason": random.choice(["opens a branch", " ", "promised"], count, p=[0.6, 0.1, 0.3]),
            "valid_from": first,
            "valid_to": last.where(pd.Series(random.random(count) < 0.8), None),
            # Some are entered at the same moment: the higher id counts.
            "entered_at": entered_at.where(pd.Series(random.random(count) < 0.7), midnight - pd.Timedelta(days=20)),
            "is_deleted": 0,
            "updated_at": entered_at,
        }
    )


def _mornings(days: list[date], zone: str) -> pd.Series:
    stamps = pd.Series(pd.to_datetime(pd.Series(days))).dt.tz_localize(zone) + pd.Timedelta(hours=9)
    return stamps.dt.tz_convert("UTC").dt.as_unit("ms")


def _versions(random: np.random.Generator, rows: pd.DataFrame, midnight: pd.Timestamp, change) -> pd.DataFrame:
    """A fifth of the rows gets a second version, some of those a third; one in six of these is a deletion.

    Some versions become known exactly at the cut-off (too late) or a millisecond before it (in time).
    """
    delivered = [rows]
    latest = rows
    for share in (0.2, 0.3):
        latest = latest[random.random(len(latest)) < share].copy()
        later = latest["updated_at"] + pd.to_timedelta(random.integers(1, 30 * 86_400_000, len(latest)), unit="ms")
        at_cut_off = random.random(len(latest)) < 0.1
        edges = midnight - pd.to_timedelta(random.integers(0, 2, len(latest)), unit="ms")
        edge = pd.Series(edges, index=latest.index).dt.as_unit("ms")
        latest["updated_at"] = later.where(~at_cut_off | (edge <= latest["updated_at"]), edge).dt.as_unit("ms")
        change(random, latest)
        latest["is_deleted"] = (random.random(len(latest)) < 1 / 6).astype(int)
        delivered.append(latest)
    everything = pd.concat(delivered).sort_values("updated_at", kind="stable")
    # The order of delivery must not matter.
    return everything.sample(frac=1, random_state=int(random.integers(1 << 31))).reset_index(drop=True)


def _change_order(random: np.random.Generator, rows: pd.DataFrame) -> None:
    shift = random.choice([0, 0, -1, 1, -90, -200], len(rows))
    rows["ordered_at"] = rows["ordered_at"] + pd.to_timedelta(shift, unit="D")
    moved = random.random(len(rows)) < 0.3
    rows["customer_id"] = np.where(moved, random.integers(1, CUSTOMERS, len(rows)), rows["customer_id"])
    cancelled = random.random(len(rows)) < 0.3
    rows["status"] = np.where(cancelled, "cancelled", "completed")


def _change_line(random: np.random.Generator, rows: pd.DataFrame) -> None:
    rows["quantity"] = np.round(rows["quantity"] * random.choice([0.5, 1, 1.5], len(rows)), 3)
    rows["product_id"] = random.integers(1, PRODUCTS + 2, len(rows))
    changed = np.round(rows["unit_price"] * random.choice([0.5, 0.9], len(rows)), 4)
    rows["unit_cost"] = np.where(random.random(len(rows)) < 0.7, changed, np.nan)


def _change_refund(random: np.random.Generator, rows: pd.DataFrame) -> None:
    _change_amount(random, rows)
    rows["quantity"] = np.round(rows["quantity"] * random.choice([0.5, 1], len(rows)), 3)
    # It belonged to another order all along.
    moved = random.random(len(rows)) < 0.4
    rows["order_id"] = np.where(moved, random.integers(1, ORDERS + 1, len(rows)), rows["order_id"])


def _change_amount(random: np.random.Generator, rows: pd.DataFrame) -> None:
    rows["amount"] = np.round(rows["amount"] * random.choice([0.5, 1, 1.5], len(rows)), 2)


def _change_customer(random: np.random.Generator, rows: pd.DataFrame) -> None:
    rows["region_code"] = random.choice(["north", "south"], len(rows))
    rows["credit_term_days"] = random.choice([0, 30], len(rows))


def _change_product(random: np.random.Generator, rows: pd.DataFrame) -> None:
    rows["category_id"] = pd.Series(random.integers(1, 7, len(rows)), index=rows.index).astype("Int64")


def _change_flag(random: np.random.Generator, rows: pd.DataFrame) -> None:
    rows["has_risk_flag"] = (random.random(len(rows)) < 0.5).astype(int)


def _change_tier(random: np.random.Generator, rows: pd.DataFrame) -> None:
    rows["value"] = random.choice(["diamond", "gold", "silver", "bronze"], len(rows))


def _change_nothing(random: np.random.Generator, rows: pd.DataFrame) -> None:
    """Complaints only change by being deleted."""
