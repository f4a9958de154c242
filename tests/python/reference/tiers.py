"""Lifetime value, tiers of the three criteria, candidate tier, and the two marts that sum them up."""

from decimal import Decimal

import numpy as np
import pandas as pd

from .configuration import Configuration


def compute_tiers(features: pd.DataFrame, configuration: Configuration) -> pd.DataFrame:
    """Tier columns indexed like the features; `tier` of the snapshot is its `candidate_tier`."""
    from_revenue = features["gross_margin_to_date"].isna()
    margin = features["gross_margin_to_date"].where(~from_revenue, features["net_amount_to_date"])
    lifetime_value = margin + features["tier_discount_amount_to_date"]
    # Decimals compare exactly, so ties are ties; float64 holds their ranks without loss.
    rank = lifetime_value.map(lambda amount: int(amount * 100)).rank(method="average", ascending=False)
    top_share = (rank - 0.5) / len(features)

    ladder = configuration.ladder
    steps = {
        "frequency_tier": [features["order_count_30d"] >= t.minimum_orders_per_month for t in ladder],
        "order_value_tier": [features["average_order_value_90d"] >= t.minimum_average_order_value for t in ladder],
        "lifetime_value_tier": [top_share <= t.maximum_lifetime_value_top_share for t in ladder],
    }
    places = {}
    for criterion, reached in steps.items():
        reached[-1] = pd.Series(True, index=features.index)  # everyone reaches the lowest tier
        places[criterion] = np.argmax(np.column_stack(reached), axis=1)
    # With the places of one customer sorted best first, k criteria reach the k-th of them.
    candidate = np.sort(np.column_stack(list(places.values())), axis=1)[:, configuration.required_criteria - 1]

    names = np.array([t.name for t in ladder], dtype="object")
    tiers = pd.DataFrame(
        {
            "lifetime_value": lifetime_value,
            "is_lifetime_value_from_revenue": from_revenue.astype("int64"),
            "lifetime_value_top_share": top_share,
            **{criterion: names[place] for criterion, place in places.items()},
            "candidate_tier": names[candidate],
            "tier": names[candidate],
            "tier_rank": candidate + 1,
        },
        index=features.index,
    )
    return tiers


def _sum_or_none(amounts: pd.Series) -> Decimal | None:
    """Sum of what is known; None when nothing is."""
    known = [amount for amount in amounts if amount is not None and amount == amount]
    return sum(known, Decimal(0)) if known else None


def tier_distribution(features: pd.DataFrame, tiers: pd.DataFrame) -> pd.DataFrame:
    """Customers, net amount and gross margin (90 days) per region, business type and tier that occurs."""
    rows = []
    grouped = features.assign(tier=tiers["tier"]).groupby(["region_code", "business_type", "tier"])
    for (region, business_type, tier), group in grouped:
        rows.append(
            {
                "region_code": region,
                "business_type": business_type,
                "tier": tier,
                "customer_count": len(group),
                "net_amount_90d": _sum_or_none(group["net_amount_90d"]),
                "gross_margin_90d": _sum_or_none(group["gross_margin_90d"]),
            }
        )
    return pd.DataFrame(rows)


def tier_value_contribution(features: pd.DataFrame, tiers: pd.DataFrame, configuration: Configuration) -> pd.DataFrame:
    """Per tier of the ladder, best first: customers, net amount, gross margin, shares, shares summed from the top."""
    rows = []
    for step in configuration.ladder:
        group = features[tiers["tier"] == step.name]
        rows.append(
            {
                "tier": step.name,
                "customer_count": len(group),
                "net_amount": sum(group["net_amount_90d"], Decimal(0)),
                "gross_margin": _sum_or_none(group["gross_margin_90d"]),
            }
        )
    frame = pd.DataFrame(rows)
    for amount, prefix in (
        ("customer_count", "customer"),
        ("net_amount", "net_amount"),
        ("gross_margin", "gross_margin"),
    ):
        values = frame[amount].astype("float64")
        total = values.sum() if values.notna().any() else np.nan
        frame[f"{prefix}_share"] = values / total if total != 0 else np.nan
        frame[f"cumulative_{prefix}_share"] = values.fillna(0).cumsum() / total if total != 0 else np.nan
    return frame
