"""Growth as a robust slope: Theil-Sen over the logarithm of seasonally adjusted weekly net spend (Sen 1968, Mann 1945)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from orchestration.predictive.grouping import positions_by_value
from orchestration.predictive.spend_blocks import BLOCK_DAYS, BLOCKS, YEAR_DAYS, SpendBlocks

# Blocks with spend that a slope needs.
_FEWEST_BLOCKS = 8
# Customers with a full year behind them who tell the season of their business type.
_FEWEST_STEADY = 20
_CHUNK = 20_000


def growth_slopes(spend: SpendBlocks) -> pd.DataFrame:
    """Slope of each customer's spend over 52 weeks, in log points per year, beyond what is typical of the business type.

    Weekly spend is the mean of a four-week block: a customer who orders twice a month has no weekly series. Blocks without positive
    spend and those before the first order do not count. Returns customer_id, growth_slope_52w and growth_slope_p_value (Mann-Kendall,
    two-sided), NaN with fewer than eight blocks; and growth_slope_share in [0, 1]: the part of spend now in spend now and 90 days
    ago at that slope, 0.5 when flat.
    """
    weeks = BLOCK_DAYS / 7
    begins = (BLOCKS - np.arange(BLOCKS)) * BLOCK_DAYS
    is_whole = spend.days_since_first_order[:, None] + 1 >= begins
    is_known = (spend.net > 0) & is_whole
    logs = np.where(is_known, np.log(np.where(is_known, spend.net, 1.0) / weeks), np.nan)
    logs = logs - seasonal_index(logs, spend)
    slope, p_value = _theil_sen(logs)
    share = 1.0 / (1.0 + np.exp(-slope * 90 / YEAR_DAYS))
    return pd.DataFrame(
        {
            "customer_id": spend.customer_id,
            "growth_slope_52w": np.round(slope, 6),
            "growth_slope_p_value": np.round(p_value, 6),
            "growth_slope_share": np.round(share, 6),
        }
    )


def seasonal_index(logs: np.ndarray, spend: SpendBlocks) -> np.ndarray:
    """What each block is to the mean block, in logarithms, for each customer: the median over steady customers of the business type.

    Steady: a year of history and spend in all blocks. Of all types where a type has fewer than 20 of them; zero where all have
    fewer. Since one year cannot tell season from growth, a slope says how much more a customer grows than is typical.
    """
    index = np.zeros_like(logs)
    is_steady = ~np.isnan(logs).any(axis=1) & (spend.days_since_first_order + 1 >= YEAR_DAYS)
    shape = logs[is_steady] - logs[is_steady].mean(axis=1, keepdims=True)
    if len(shape) >= _FEWEST_STEADY:
        index[:] = np.median(shape, axis=0)
    place = np.cumsum(is_steady) - 1
    for _, members in positions_by_value(spend.business_type):
        of_kind = shape[place[members[is_steady[members]]]]
        if len(of_kind) >= _FEWEST_STEADY:
            index[members] = np.median(of_kind, axis=0)
    return index


def _theil_sen(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median slope per year over all pairs of blocks, and the p-value of its sign."""
    early, late = np.triu_indices(BLOCKS, 1)
    years = (late - early) * BLOCK_DAYS / YEAR_DAYS
    slope, p_value = np.full(len(logs), np.nan), np.full(len(logs), np.nan)
    count = (~np.isnan(logs)).sum(axis=1)
    enough = np.flatnonzero(count >= _FEWEST_BLOCKS)
    for start in range(0, len(enough), _CHUNK):
        rows = enough[start : start + _CHUNK]
        rise = logs[rows][:, late] - logs[rows][:, early]
        slope[rows] = _median(rise / years)
        n = count[rows]
        surplus = np.nansum(np.sign(rise), axis=1)
        deviation = np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
        p_value[rows] = np.minimum(1.0, 2 * ndtr(-np.maximum(np.abs(surplus) - 1, 0) / deviation))
    return slope, p_value


def _median(values: np.ndarray) -> np.ndarray:
    """Median of each row, NaN left out; `numpy.nanmedian` takes ten times as long."""
    count = (~np.isnan(values)).sum(axis=1)
    ordered = np.sort(values, axis=1)
    row = np.arange(len(values))
    return np.asarray((ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2)
