"""Potential, first version: room in more categories, growth, acceptance of new products, and one index of them.

Formulas: docs/definitions.md. Category headroom is a conditional quantile of spend among peers that leaves the customer
out (wallet as conditional quantile: Rosset, Perlich et al.); acceptance is a beta-binomial mean.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

MODEL_VERSION = "simple-1"

PEER_QUANTILE = 0.8
SMALLEST_PEER_GROUP = 20
ACCEPTANCE_PRIOR_TRIED = 1.0
ACCEPTANCE_PRIOR_REFUSED = 9.0
GROWTH_HISTORY_DAYS = 180

PARTS = {"headroom": "headroom_share", "growth": "growth_share", "acceptance": "new_product_acceptance_180d"}


def quantile_among_others(values: np.ndarray, quantile: float) -> np.ndarray:
    """For each element of `values` (shape n >= 2, any unit) the quantile of the other n - 1, linearly interpolated.

    Same result as `numpy.quantile(numpy.delete(values, i), quantile)` for every i, in one sort.
    """
    count = len(values)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    position = np.empty(count, dtype=np.int64)
    position[order] = np.arange(count)
    place = quantile * (count - 2)
    low = int(np.floor(place))
    high = min(low + 1, count - 2)
    below = ordered[low + (low >= position)]
    above = ordered[high + (high >= position)]
    return below + (above - below) * (place - low)


def category_headroom(customers: pd.DataFrame, spend: pd.DataFrame) -> pd.Series:
    """Spend that peers' top fifth reaches beyond the customer's own, summed over categories (CNY in 90 days).

    customers: customer_id (unique), business_type, region_code, of customers with an order in 90 days.
    spend: customer_id, category_id, spend_90d.
    Returns a float series by customer_id. Peers are the others of the same business type and region, where at least
    20 others exist, else of the same business type, else all.
    """
    return headroom_among(customers, spend, [["business_type", "region_code"], ["business_type"], []])["headroom"]


def headroom_among(customers: pd.DataFrame, spend: pd.DataFrame, keys: list[list[str]]) -> pd.DataFrame:
    """The same among the others that are equal in the first of `keys` (columns of customers) with at least 20 of them.

    Returns headroom (NaN where nobody else is there) and level (place of the key that served, -1 for none) by customer_id. A
    customer without a value in a column of a key has no peers by that key.
    """
    customers = customers.reset_index(drop=True)
    place = pd.Series(customers.index, index=customers["customer_id"].to_numpy())
    spend = spend[spend["customer_id"].isin(place.index)]
    row = place.loc[spend["customer_id"]].to_numpy()
    category = pd.factorize(spend["category_id"], sort=True)[0]
    amount = spend["spend_90d"].to_numpy(dtype=np.float64)

    left = np.ones(len(customers), dtype=bool)
    headroom = np.zeros(len(customers))
    level = np.full(len(customers), -1)
    for number, key in enumerate(keys):
        groups = customers.groupby(key, sort=True).indices.values() if key else [np.arange(len(customers))]
        group_of = np.full(len(customers), -1)
        for name, members in enumerate(groups):
            group_of[members] = name
        buyers = _buyers_by_group(group_of[row], category)
        for name, members in enumerate(groups):
            others = len(members) - 1
            wanted = left[members]
            if not wanted.any() or (key and others < SMALLEST_PEER_GROUP) or others < 1:
                continue
            for bought in buyers.get(name, []):
                if _leaves_no_room(amount[bought], others):
                    continue
                own = np.zeros(len(members))
                own[np.searchsorted(members, row[bought])] = amount[bought]
                room = quantile_among_others(own, PEER_QUANTILE) - own
                headroom[members[wanted]] += np.maximum(room[wanted], 0.0)
            level[members[wanted]] = number
            left[members] = False
    headroom[left] = np.nan
    return pd.DataFrame({"headroom": headroom, "level": level}, index=customers["customer_id"].to_numpy())


def _buyers_by_group(group: np.ndarray, category: np.ndarray) -> dict[int, list[np.ndarray]]:
    """Per group, one array of positions for each category that it buys, categories in ascending order.

    A group buys few of thousands of categories, and most customers few of those: a table of all is mostly zeros.
    """
    order = np.lexsort((category, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-2) | np.diff(category[order], prepend=-1))
    buyers: dict[int, list[np.ndarray]] = {}
    for positions in np.split(order, starts[1:]):
        if len(positions):
            buyers.setdefault(int(group[positions[0]]), []).append(positions)
    return buyers


def _leaves_no_room(amounts: np.ndarray, others: int) -> bool:
    """Whether so few spend anything in a category that the quantile of any `others` is 0, and nobody is below it."""
    highest = min(int(np.floor(PEER_QUANTILE * (others - 1))) + 1, others - 1)
    return len(amounts) < others - highest and bool((amounts >= 0).all())


def potential(features: pd.DataFrame, spend: pd.DataFrame, weights: dict[str, float]) -> pd.DataFrame:
    """Parts and index of the potential of every customer.

    features: one row per customer: customer_id, business_type, region_code, order_count_90d, net_amount_90d,
        net_amount_prior_90d, days_since_first_order, category_count_90d (NaN
        when products have no categories), new_product_offered_count_180d, new_product_tried_count_180d
        (NaN when no launch is known).
    spend: category spend (see `category_headroom`).
    weights: of headroom, growth and acceptance; parts that are unknown give their weight to the others.
    Returns customer_id, category_headroom_90d (CNY, 2 decimals), growth_rate_90d, the shares of PARTS in [0, 1] and
    potential_index in [0, 1]; NaN where unknown. Raises KeyError when a feature is missing.
    """
    result = pd.DataFrame({"customer_id": features["customer_id"].to_numpy()})
    net = features["net_amount_90d"].to_numpy(dtype=np.float64)
    prior = features["net_amount_prior_90d"].to_numpy(dtype=np.float64)
    offered = features["new_product_offered_count_180d"].to_numpy(dtype=np.float64)
    tried = features["new_product_tried_count_180d"].to_numpy(dtype=np.float64)

    if features["category_count_90d"].notna().any():
        buying = features.loc[features["order_count_90d"] > 0, ["customer_id", "business_type", "region_code"]]
        headroom = category_headroom(buying, spend).reindex(features["customer_id"]).to_numpy()
    else:
        headroom = np.full(len(features), np.nan)
    headroom = np.round(headroom, 2)
    positive_net = np.maximum(net, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        result["category_headroom_90d"] = headroom
        result["headroom_share"] = np.where(headroom + positive_net > 0, headroom / (headroom + positive_net), np.nan)
        is_grown_up = (features["days_since_first_order"].to_numpy() >= GROWTH_HISTORY_DAYS) & (prior > 0)
        result["growth_rate_90d"] = np.where(is_grown_up, net / prior - 1.0, np.nan)
        result["growth_share"] = np.where(is_grown_up, positive_net / (positive_net + prior), np.nan)
        result["new_product_acceptance_180d"] = np.where(
            offered > 0,
            (ACCEPTANCE_PRIOR_TRIED + tried) / (ACCEPTANCE_PRIOR_TRIED + ACCEPTANCE_PRIOR_REFUSED + offered),
            np.nan,
        )
        known_weight = np.zeros(len(features))
        total = np.zeros(len(features))
        for part, column in PARTS.items():
            share = result[column].to_numpy()
            is_known = ~np.isnan(share)
            known_weight += np.where(is_known, weights[part], 0.0)
            total += np.where(is_known, weights[part] * np.nan_to_num(share), 0.0)
        result["potential_index"] = np.where(known_weight > 0, total / known_weight, np.nan)
    return result
