"""Positions of equal values, found together: comparing all rows with each value in turn takes as long as both multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd


def positions_by_value(values: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
    """Each distinct value, in ascending order, with the positions at which it stands, ascending as well."""
    if not len(values):
        return
    code, distinct = pd.factorize(values, sort=True)
    ends = np.cumsum(np.bincount(code))
    yield from zip(distinct, np.split(np.argsort(code, kind="stable"), ends[:-1]), strict=True)
