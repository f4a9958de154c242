"""Net spend in four-week blocks: the series that growth and the forecast of spend are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Whole weeks, so that every block has each weekday equally often; thirteen of them are a year less a day.
BLOCK_DAYS = 28
BLOCKS = 13
YEAR_DAYS = BLOCKS * BLOCK_DAYS


@dataclass(frozen=True)
class SpendBlocks:
    """What customers spent in the 364 days that end on a day.

    customer_id: unique, shape (n,). business_type: name, shape (n,). net: CNY of each block, the oldest first, shape (n, 13);
    orders: orders in it. days_since_first_order, days_since_last_order: shape (n,).
    """

    customer_id: np.ndarray
    business_type: np.ndarray
    net: np.ndarray
    orders: np.ndarray
    days_since_first_order: np.ndarray
    days_since_last_order: np.ndarray
