"""Potential, second version: each part measured more carefully, in a column of its own, beside the index that serves.

Formulas: docs/definitions.md. Headroom among peers of like size, growth as a robust slope and as a trained forecast,
acceptance with a fitted prior. What is fitted comes from an artifact and does not move while scoring.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from orchestration.predictive import spend_forecast
from orchestration.predictive.acceptance import UNFITTED, acceptance
from orchestration.predictive.grouping import positions_by_value
from orchestration.predictive.growth import growth_slopes
from orchestration.predictive.potential import headroom_among
from orchestration.predictive.spend_blocks import YEAR_DAYS, SpendBlocks

CODE_VERSION = f"parts-1-{spend_forecast.CODE_VERSION}"
# Peers from the closest to the widest; level -1: nobody else is there.
PEERS = {
    "type_region_size": ["business_type", "region_code", "size_band"],
    "type_region": ["business_type", "region_code"],
    "type": ["business_type"],
    "all": [],
}
SIZE_SHARES = (0.25, 0.5, 0.75)
_FEWEST_FOR_BANDS = 40


def annual_spend(blocks: SpendBlocks) -> np.ndarray:
    """Net spend of 364 days; of younger customers what their days (90 at least) would make of as many."""
    days = np.clip(blocks.days_since_first_order + 1, 90, YEAR_DAYS)
    return np.maximum(blocks.net.sum(axis=1), 0.0) * YEAR_DAYS / days


def fit_bands(business_type: np.ndarray, spend: np.ndarray) -> dict[str, Any] | None:
    """Bounds of the size bands, the quartiles of annual spend per business type; None with fewer than 40 customers.

    spend: of customers who ordered within a year. A type with fewer than 40 follows all.
    """
    if len(spend) < _FEWEST_FOR_BANDS:
        return None
    types = {
        str(kind): _quartiles(spend[members])
        for kind, members in positions_by_value(business_type)
        if len(members) >= _FEWEST_FOR_BANDS
    }
    return {"types": types, "all": _quartiles(spend)}


def size_bands(business_type: np.ndarray, spend: np.ndarray, bands: dict[str, Any] | None) -> np.ndarray:
    """1 (smallest) to 4 for each customer; None throughout where no bounds are fitted."""
    if bands is None:
        return np.full(len(spend), None, dtype=object)
    band = np.empty(len(spend), dtype=object)
    for kind, members in positions_by_value(business_type):
        band[members] = 1 + np.searchsorted(bands["types"].get(str(kind), bands["all"]), spend[members], side="right")
    return band


def potential_parts(
    features: pd.DataFrame,
    spend: pd.DataFrame,
    blocks: SpendBlocks,
    weights: dict[str, float],
    parameters: dict[str, Any] | None,
    forecast_serves: bool = True,
) -> pd.DataFrame:
    """Parts and second index of every customer.

    features: customer_id, business_type, region_code, order_count_90d, net_amount_90d, category_count_90d,
    new_product_offered_count_180d, new_product_tried_count_180d. spend: category spend, see
    `category_headroom`. blocks: of customers who ordered in the last 364 days. weights: of headroom, growth and acceptance; a part that
    is unknown gives its weight to the others. parameters: bands, forecast and prior of the artifact, each None where it could not
    be fitted. forecast_serves: false where its verdict lets the latest 90 days serve instead.
    Returns the columns of `<prefix>_predictive.potential_parts` from customer_id on; NaN where unknown.
    """
    fitted = parameters or {"bands": None, "forecast": None, "prior": None}
    ids = features["customer_id"]
    net = np.maximum(features["net_amount_90d"].to_numpy(dtype=np.float64), 0.0)
    headroom, peers = _headroom(features, spend, blocks, fitted["bands"])
    slopes = growth_slopes(blocks).set_index("customer_id").reindex(ids)

    if fitted["forecast"] is None:
        expected, method = net.copy(), "last_90_days"
    elif not forecast_serves:
        expected, method = net.copy(), "baseline_serves"
    else:
        forecast = pd.Series(spend_forecast.predict(blocks, fitted["forecast"]), index=blocks.customer_id)
        expected, method = forecast.reindex(ids).to_numpy(), "trained"
    usual = pd.Series(annual_spend(blocks) * 90 / YEAR_DAYS, index=blocks.customer_id).reindex(ids).to_numpy()
    is_silent = ~np.isin(ids.to_numpy(), blocks.customer_id)
    expected = np.round(np.where(is_silent, np.nan, expected), 2)

    offered = features["new_product_offered_count_180d"].to_numpy(dtype=np.float64)
    tried = features["new_product_tried_count_180d"].to_numpy(dtype=np.float64)
    prior = tuple(fitted["prior"]) if fitted["prior"] else UNFITTED
    with np.errstate(divide="ignore", invalid="ignore"):
        result = pd.DataFrame(
            {
                "customer_id": ids.to_numpy(),
                "category_headroom_by_size_90d": headroom,
                "headroom_by_size_share": np.where(headroom + net > 0, headroom / (headroom + net), np.nan),
                "headroom_peers": peers,
                "growth_slope_52w": slopes["growth_slope_52w"].to_numpy(),
                "growth_slope_p_value": slopes["growth_slope_p_value"].to_numpy(),
                "growth_slope_share": slopes["growth_slope_share"].to_numpy(),
                "expected_net_amount_next_90d": expected,
                "expected_growth_share": np.where(expected + usual > 0, expected / (expected + usual), np.nan),
                "forecast_method": np.where(is_silent, "no_order_in_364_days", method),
                "new_product_acceptance_fitted_180d": acceptance(offered, tried, (prior[0], prior[1])),
                "acceptance_method": "fitted" if fitted["prior"] else "fixed",
            }
        )
    growth = result[["growth_slope_share", "expected_growth_share"]].mean(axis=1).to_numpy()
    shares = {
        "headroom": result["headroom_by_size_share"].to_numpy(),
        "growth": growth,
        "acceptance": result["new_product_acceptance_fitted_180d"].to_numpy(),
    }
    known, total = np.zeros(len(features)), np.zeros(len(features))
    for part, share in shares.items():
        is_known = ~np.isnan(share)
        known += np.where(is_known, weights[part], 0.0)
        total += np.where(is_known, weights[part] * np.nan_to_num(share), 0.0)
    result["potential_index_v2"] = np.where(known > 0, total / np.where(known > 0, known, 1.0), np.nan)
    return result


def _headroom(
    features: pd.DataFrame, spend: pd.DataFrame, blocks: SpendBlocks, bands: dict[str, Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Headroom among peers of like size, CNY in whole cents, and the peers that it was read from."""
    if not features["category_count_90d"].notna().any():
        return np.full(len(features), np.nan), np.full(len(features), "no_categories", dtype=object)
    band = pd.Series(
        size_bands(blocks.business_type, annual_spend(blocks), bands), index=blocks.customer_id, dtype=object
    )
    buying = features[(features["order_count_90d"] > 0).to_numpy()]
    buying = buying[["customer_id", "business_type", "region_code"]].assign(
        size_band=band.reindex(buying["customer_id"]).to_numpy()
    )
    # Groupby leaves out rows without a band, which then fall to the wider peers.
    found = headroom_among(buying, spend, list(PEERS.values())).reindex(features["customer_id"])
    level = found["level"].fillna(-2).astype(int).to_numpy()
    names = np.array([*PEERS, "no_order_in_90_days", "nobody_else"], dtype=object)
    return np.round(found["headroom"].to_numpy(), 2), names[level]


def _quartiles(values: np.ndarray) -> list[float]:
    return [float(f"{bound:.6g}") for bound in np.quantile(values, SIZE_SHARES)]
