"""Potential of version 1: category headroom against peers, growth, acceptance of new products, and their index."""

import numpy as np
import pandas as pd

from .configuration import PotentialWeights
from .facts import Facts
from .features import within
from .tables import as_float

PEERS_NEEDED = 20
PEER_QUANTILE = 0.8


def compute_potential(facts: Facts, features: pd.DataFrame, weights: PotentialWeights) -> pd.DataFrame:
    """Predictive columns, indexed like the features; floats, NaN for null."""
    net = features["net_amount_90d"].astype("float64")
    prior = features["net_amount_prior_90d"].astype("float64")
    headroom = category_headroom(facts, features).round(2)  # money, so whole cents; no half cent can occur here
    potential = pd.DataFrame({"category_headroom_90d": headroom}, index=features.index)

    # A negative net amount (refunds above sales) must not push the share out of [0, 1]; nothing of nothing is null.
    whole = headroom + net.clip(lower=0)
    potential["headroom_share"] = headroom / whole.where(whole > 0)

    has_growth = (features["days_since_first_order"] >= 180) & (prior > 0)
    grown = net.clip(lower=0)
    potential["growth_rate_90d"] = (net / prior.where(has_growth)) - 1
    potential["growth_share"] = grown / (grown + prior.where(has_growth))

    offered = features["new_product_offered_count_180d"]
    tried = features["new_product_tried_count_180d"]
    potential["new_product_acceptance_180d"] = ((1 + tried) / (1 + 9 + offered)).where(offered > 0)

    shares = potential[["headroom_share", "growth_share", "new_product_acceptance_180d"]].to_numpy()
    exists = ~np.isnan(shares)
    weight = np.array([weights.headroom, weights.growth, weights.acceptance]) * exists
    with np.errstate(invalid="ignore"):
        potential["potential_index"] = np.where(exists, shares * weight, 0).sum(axis=1) / weight.sum(axis=1)
    return potential


def category_headroom(facts: Facts, features: pd.DataFrame) -> pd.Series:
    """CNY per customer: what the top fifth of the peers spends more, summed over categories. NaN where undefined."""
    headroom = pd.Series(np.nan, index=features.index)
    lines = within(facts.lines, facts.day, 90)
    lines = lines[lines["category_id"].notna()]
    active = features.index[features["order_count_90d"] > 0]
    if not facts.products["category_id"].notna().any() or len(active) < 2:
        return headroom
    spend = lines.assign(cny=as_float(lines["value"]) / 100).pivot_table(
        index="customer_id", columns="category_id", values="cny", aggfunc="sum", fill_value=0.0
    )
    spend = spend.reindex(active, fill_value=0.0).astype("float64")
    kinds = features.loc[active, ["business_type", "region_code"]]
    # From the widest group to the narrowest; a narrower one overrides where it has enough others.
    for keys in ([], ["business_type"], ["business_type", "region_code"]):
        groups = [kinds] if not keys else [group for _, group in kinds.groupby(keys)]
        for members in groups:
            if keys and len(members) - 1 < PEERS_NEEDED:
                continue
            own = spend.loc[members.index].to_numpy()
            of_others = np.column_stack([quantile_of_others(column) for column in own.T]) if own.size else own
            headroom[members.index] = np.maximum(0, of_others - own).sum(axis=1)
    return headroom


def quantile_of_others(values: np.ndarray) -> np.ndarray:
    """For each of n >= 2 values the 80 % quantile (linear interpolation) of the n - 1 others."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    place = PEER_QUANTILE * (len(values) - 2)
    low, share = int(np.floor(place)), place - np.floor(place)
    high = min(low + 1, len(values) - 2)
    own_place = np.arange(len(values))
    # Without the value at own_place, everything above it moves down by one.
    at_low = ranked[np.where(own_place <= low, low + 1, low)]
    at_high = ranked[np.where(own_place <= high, high + 1, high)]
    result = np.empty(len(values))
    result[order] = at_low + share * (at_high - at_low)
    return result
