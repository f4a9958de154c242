"""`customer_features` in pandas: one row per scored customer, money as exact Decimals, ratios as floats."""

import numpy as np
import pandas as pd

from .facts import Facts
from .money import round_half_away, to_decimal
from .tables import as_float, business_days


def compute_features(facts: Facts) -> pd.DataFrame:
    """Features indexed by customer_id (ascending), without the predictive columns. Null is None or NaN."""
    customers = pd.Index(sorted(facts.orders["customer_id"].unique()), name="customer_id")
    cents = pd.concat([_order_amounts(facts, customers), _receivables(facts, customers)], axis=1)
    features = pd.concat(
        [
            _master_data(facts, customers),
            _order_counts(facts, customers),
            _order_ratios(facts, cents),
            _stability(facts, customers),
            _recency(facts, customers),
            _complaints(facts, customers),
            _assortment(facts, customers),
            _new_products(facts, customers),
            _payment_behaviour(facts, cents, customers),
            cents.apply(to_decimal),
        ],
        axis=1,
    )
    return features.rename_axis("customer_id")


def within(frame: pd.DataFrame, last: int, length: int, column: str = "day") -> pd.DataFrame:
    """Rows whose day lies in (last - length, last]."""
    return frame[(frame[column] > last - length) & (frame[column] <= last)]


def _per_customer(frame: pd.DataFrame, column: str, customers: pd.Index, fill: int | None = 0) -> pd.Series:
    """Sum of a column per customer; customers without a row get `fill`."""
    sums = frame.groupby("customer_id")[column].sum().reindex(customers)
    return (sums if fill is None else sums.fillna(fill)).astype("Int64")


def _count(frame: pd.DataFrame, customers: pd.Index) -> pd.Series:
    return frame.groupby("customer_id").size().reindex(customers, fill_value=0)


def _distinct(frame: pd.DataFrame, column: str, customers: pd.Index) -> pd.Series:
    return frame.groupby("customer_id")[column].nunique().reindex(customers, fill_value=0)


def _divide(numerator: pd.Series, denominator: pd.Series) -> pd.Series:
    """Float quotient, NaN where the denominator is zero or either side is null."""
    above, below = as_float(numerator), as_float(denominator)
    quotient = np.full(len(above), np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return pd.Series(quotient, index=numerator.index)


def _master_data(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    rows = facts.customers.reindex(customers)
    return pd.DataFrame(
        {
            "region_code": rows["region_code"].fillna("unknown"),
            "business_type": rows["business_type"].fillna("unknown"),
        }
    )


def _order_counts(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    orders, day = facts.orders, facts.day
    counts = {f"order_count_{w}d": _count(within(orders, day, w), customers) for w in (7, 30, 90, 365)}
    counts["order_count_to_date"] = _count(orders, customers)
    counts["order_day_count_90d"] = _distinct(within(orders, day, 90), "day", customers)
    return pd.DataFrame(counts)


def _order_amounts(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    """Sums over orders, in cents."""
    orders, day = facts.orders, facts.day
    last_90, last_365 = within(orders, day, 90), within(orders, day, 365)
    unknown = pd.Series(pd.NA, index=customers, dtype="Int64")
    amounts = {
        "gross_amount_90d": _per_customer(last_90, "gross", customers),
        "net_amount_30d": _per_customer(within(orders, day, 30), "net", customers),
        "net_amount_90d": _per_customer(last_90, "net", customers),
        "net_amount_365d": _per_customer(last_365, "net", customers),
        "net_amount_to_date": _per_customer(orders, "net", customers),
        "net_amount_prior_90d": _per_customer(within(orders, day - 90, 90), "net", customers),
        "refund_amount_90d": _per_customer(last_90, "refund", customers) if len(facts.refunds) else unknown,
        "tier_discount_amount_90d": _per_customer(last_90, "tier_discount", customers),
        "tier_discount_amount_to_date": _per_customer(orders, "tier_discount", customers),
    }
    for label, chosen in (("to_date", orders), ("365d", last_365), ("90d", last_90)):
        has_cost = _per_customer(chosen, "cost_lines", customers) > 0
        cost = round_half_away(_per_customer(chosen, "cost", customers), 5).where(has_cost)
        amounts[f"cost_{label}"] = cost
        amounts[f"gross_margin_{label}"] = amounts[f"net_amount_{label}"] - cost
    del amounts["cost_90d"]  # not a defined feature, only its margin is
    return pd.DataFrame(amounts)


def _order_ratios(facts: Facts, cents: pd.DataFrame) -> pd.DataFrame:
    orders, customers = facts.orders, cents.index
    last_90 = within(orders, facts.day, 90)
    hundred_orders = _count(last_90, customers) * 100  # cents / (100 * n) rounds once, so exact averages stay exact
    refund_rate = _divide(_per_customer(last_90, "refund", customers), cents["gross_amount_90d"].clip(lower=0))
    known_share = _divide(
        _per_customer(orders, "gross_with_cost", customers), _per_customer(orders, "gross", customers).clip(lower=0)
    ).clip(0, 1)
    return pd.DataFrame(
        {
            "average_order_value_90d": _divide(
                cents["net_amount_90d"] + cents["tier_discount_amount_90d"], hundred_orders
            ),
            "net_average_order_value_90d": _divide(cents["net_amount_90d"], hundred_orders),
            "refund_amount_rate_90d": refund_rate if len(facts.refunds) else refund_rate * np.nan,
            "cost_known_share_to_date": known_share.fillna(0.0),
        }
    )


def _stability(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    """Coefficient of variation of the order values in 180 days and its robust twin."""
    recent = within(facts.orders, facts.day, 180)
    plain = pd.Series(np.nan, index=customers)
    robust = pd.Series(np.nan, index=customers)
    for customer, group in recent.groupby("customer_id"):
        values = as_float(group["net"]) / 100
        if len(values) < 3:
            continue
        if group["net"].sum() > 0:
            plain[customer] = np.std(values, ddof=1) / np.mean(values)
        middle = np.median(values)
        if middle > 0:
            robust[customer] = 1.4826 * np.median(np.abs(values - middle)) / middle
    return pd.DataFrame({"order_value_cv_180d": plain, "order_value_robust_cv_180d": robust})


def _recency(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    days = facts.orders.groupby("customer_id")["day"]
    first, last = days.min().reindex(customers), days.max().reindex(customers)
    rows = facts.customers.reindex(customers)
    registered = business_days(rows["registered_at"], facts.zone)
    since = registered.where(registered < first, first).astype("int64")
    return pd.DataFrame(
        {
            "first_order_date": _dates(first),
            "last_order_date": _dates(last),
            "days_since_first_order": facts.day - first,
            "days_since_last_order": facts.day - last,
            "customer_age_days": facts.day - since,
        }
    )


def _dates(days: pd.Series) -> pd.Series:
    stamps = pd.to_datetime(days.astype("int64"), unit="D", origin="unix")
    return stamps.dt.date.astype("object")


def _complaints(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    count = _count(within(facts.complaints, facts.day, 90), customers).astype("float64")
    rate = _divide(count, _count(within(facts.orders, facts.day, 90), customers))
    columns = pd.DataFrame({"complaint_count_90d": count, "complaint_rate_90d": rate})
    return columns if len(facts.complaints) else columns * np.nan


def _assortment(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    lines = within(facts.lines, facts.day, 90)
    categories = _distinct(lines, "category_id", customers).astype("float64")
    return pd.DataFrame(
        {
            "category_count_90d": categories if facts.products["category_id"].notna().any() else categories * np.nan,
            "product_count_90d": _distinct(lines, "product_id", customers),
        }
    )


def _new_products(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    """Launched in 180 days, ordered by anyone in them, not launched before the customer's first order."""
    lines = within(facts.lines, facts.day, 180)
    launched = within(facts.products, facts.day, 180, "launched_on")["launched_on"]
    launched = launched[launched.index.isin(lines["product_id"])].astype("int64")
    first = facts.orders.groupby("customer_id")["day"].min().reindex(customers)
    launch_days = np.sort(launched.to_numpy())
    offered = len(launch_days) - np.searchsorted(launch_days, first.to_numpy(), side="left")

    tried = lines[["customer_id", "product_id"]].drop_duplicates()
    tried = tried[tried["product_id"].isin(launched.index)]
    was_offered = tried["product_id"].map(launched) >= tried["customer_id"].map(first)
    counts = pd.DataFrame(
        {
            "new_product_offered_count_180d": pd.Series(offered, index=customers),
            "new_product_tried_count_180d": _count(tried[was_offered], customers),
        }
    )
    return counts if facts.products["launched_on"].notna().any() else counts * np.nan


def _is_on_credit_terms(facts: Facts, customers: pd.Index) -> pd.Series:
    terms = facts.customers["credit_term_days"].reindex(customers).fillna(0) > 0
    issued = facts.invoices[facts.invoices["issued_on"] <= facts.day]
    return terms.astype(bool) | pd.Series(customers.isin(issued["customer_id"]), index=customers)


def _open_invoices(facts: Facts) -> pd.DataFrame:
    """Invoices issued so far with what was paid so far, late money-days, open amount and days past due."""
    invoices = facts.invoices[facts.invoices["issued_on"] <= facts.day]
    payments = facts.payments[facts.payments["paid_on"] <= facts.day]
    payments = payments.merge(invoices[["invoice_id", "due_on"]], on="invoice_id")
    payments["late"] = payments["amount"] * (payments["paid_on"] - payments["due_on"]).clip(lower=0)
    per_invoice = payments.groupby("invoice_id")[["amount", "late"]].sum()
    paid = invoices["invoice_id"].map(per_invoice["amount"]).fillna(0).astype("Int64")
    late = invoices["invoice_id"].map(per_invoice["late"]).fillna(0).astype("Int64")
    open_amount = (invoices["amount"] - paid).clip(lower=0)
    days_past_due = facts.day - invoices["due_on"]
    return invoices.assign(open=open_amount, late=late + open_amount * days_past_due.clip(lower=0), past=days_past_due)


def _receivables(facts: Facts, customers: pd.Index) -> pd.DataFrame:
    """Open and overdue amounts in cents, null without credit terms, or without any invoice or payment."""
    invoices = _open_invoices(facts)
    applies = _is_on_credit_terms(facts, customers) & (len(facts.invoices) > 0) & (len(facts.payments) > 0)
    overdue = invoices[invoices["past"] > 0]
    return pd.DataFrame(
        {
            "receivable_amount": _per_customer(invoices, "open", customers).where(applies),
            "overdue_amount": _per_customer(overdue, "open", customers).where(applies),
        }
    )


def _payment_behaviour(facts: Facts, cents: pd.DataFrame, customers: pd.Index) -> pd.DataFrame:
    invoices = _open_invoices(facts)
    overdue = invoices[(invoices["past"] > 0) & (invoices["open"] > 0)]
    longest = overdue.groupby("customer_id")["past"].max().reindex(customers).fillna(0).astype("float64")
    due = within(invoices, facts.day, 180, "due_on")
    # Credit notes are below zero; where they outweigh the invoices there is nothing to weigh by.
    invoiced = _per_customer(due, "amount", customers, None).clip(lower=0)
    weighted = _divide(_per_customer(due, "late", customers, None), invoiced)
    if not len(facts.payments):
        weighted *= np.nan
    return pd.DataFrame(
        {
            "is_on_credit_terms": _is_on_credit_terms(facts, customers).astype("int64"),
            "overdue_days_max": longest.where(cents["receivable_amount"].notna()),
            "overdue_share": _divide(cents["overdue_amount"], cents["receivable_amount"]),
            "weighted_days_overdue_180d": weighted,
        }
    )
