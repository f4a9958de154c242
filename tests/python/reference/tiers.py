"""Lifetime value, tiers of the criteria, candidate tier with its band, and the two marts that sum up the tier in force."""

from decimal import Decimal

import numpy as np
import pandas as pd

from .configuration import Configuration, Policy, Tier

CRITERIA = ("frequency_tier", "order_value_tier", "lifetime_value_tier")


def compute_tiers(
    features: pd.DataFrame,
    scores: pd.DataFrame,
    configuration: Configuration,
    served: dict[int, tuple[Decimal, str]] | None = None,
) -> pd.DataFrame:
    """Tier columns of the policy, indexed like the features. Ranks are counted from 1, the best.

    served: predicted margin and model by customer, where a promoted model serves that day.
    """
    predicted = [(served or {}).get(customer, (Decimal("0.00"), "none")) for customer in features.index]
    policy, ladder = configuration.policy, configuration.ladder
    from_revenue = features["gross_margin_to_date"].isna()
    margin = features["gross_margin_to_date"].where(~from_revenue, features["net_amount_to_date"])
    ahead = pd.Series([amount for amount, _ in predicted], index=features.index, dtype="object")
    lifetime_value = margin + features["tier_discount_amount_to_date"] + ahead
    group = features["region_code"] if policy.percentile_scope == "region" else pd.Series("", index=features.index)
    # Decimals compare exactly, so ties are ties; float64 holds their ranks without loss.
    measures = pd.DataFrame(
        {
            "orders": features["order_count_30d"].astype("float64"),
            "value": features["average_order_value_90d"].astype("float64"),
            "lifetime_value_share": _top_share(lifetime_value.map(lambda amount: int(amount * 100)), group),
            "score_share": _top_share(scores["total_score"], group),
        }
    )
    places = _places(measures, ladder, 0.0)
    names = np.array([t.name for t in ladder], dtype="object")
    candidate = _candidate(places, policy)
    return pd.DataFrame(
        {
            "lifetime_value": lifetime_value,
            "predicted_margin_365d": ahead,
            "lifetime_value_model": [model for _, model in predicted],
            "is_lifetime_value_from_revenue": from_revenue.astype("int64"),
            "lifetime_value_top_share": measures["lifetime_value_share"],
            "score_top_share": measures["score_share"],
            **{name: names[places[:, column]] for column, name in enumerate((*CRITERIA, "score_tier"))},
            "candidate_tier": names[candidate],
            "candidate_rank": candidate + 1,
            "strict_rank": _candidate(_places(measures, ladder, policy.criteria_band), policy) + 1,
            "lenient_rank": _candidate(_places(measures, ladder, -policy.criteria_band), policy) + 1,
        },
        index=features.index,
    )


def _top_share(values: pd.Series, group: pd.Series) -> pd.Series:
    ranked = values.groupby(group)
    return (ranked.rank(method="average", ascending=False) - 0.5) / ranked.transform("size")


def _places(measures: pd.DataFrame, ladder: tuple[Tier, ...], margin: float) -> np.ndarray:
    """Per customer and criterion (three and the score) the first step reached, thresholds harder by the margin."""

    def minimum(bound: float) -> float:
        return round(bound * (1 + margin), 9)

    def largest(share: float) -> float:
        return round(share * (1 - margin), 9)

    reached = {
        "orders": [measures["orders"] >= minimum(t.minimum_orders_per_month) for t in ladder],
        "value": [measures["value"] >= minimum(t.minimum_average_order_value) for t in ladder],
        "lifetime_value_share": [
            measures["lifetime_value_share"] <= largest(t.maximum_lifetime_value_top_share) for t in ladder
        ],
        "score_share": [measures["score_share"] <= largest(t.maximum_score_top_share) for t in ladder],
    }
    places = []
    for steps in reached.values():
        steps[-1] = pd.Series(True, index=measures.index)  # everyone reaches the lowest tier
        places.append(np.argmax(np.column_stack(steps), axis=1))
    return np.column_stack(places)


def _candidate(places: np.ndarray, policy: Policy) -> np.ndarray:
    if policy.candidate_rule == "score":
        return places[:, 3]
    # With the places of one customer sorted best first, k criteria reach the k-th of them.
    return np.sort(places[:, :3], axis=1)[:, policy.required_criteria - 1]


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
        frame[f"{prefix}_share"] = values / total if total > 0 else np.nan
        summed = values.fillna(0).cumsum().where(values.notna().cummax())
        frame[f"cumulative_{prefix}_share"] = summed / total if total > 0 else np.nan
    return frame
