"""Exact decimals as scaled integers: 12.34 at scale 2 is 1234. Floats never carry money here."""

from decimal import Decimal

import numpy as np
import pandas as pd

# The largest float below which every integer product is surely an exact int64.
_SAFE = 9.0e18


def to_scaled(values: pd.Series, scale: int) -> pd.Series:
    """Numbers, Decimals or decimal texts as nullable integers of 10^-scale units; null stays null.

    A float is taken to mean the nearest decimal of that scale (2.55 is 2.55, not 2.5499999...).
    Raises ValueError for an exact value with more decimals than the scale holds.
    """
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.astype("Int64") * 10**scale
    if pd.api.types.is_float_dtype(values.dtype):
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
        return pd.Series(np.rint(numbers * 10**scale), index=values.index).astype("Int64")
    return pd.Series([_exact(value, scale) for value in values], index=values.index, dtype="Int64")


def _exact(value: object, scale: int) -> object:
    if value is None or value is pd.NA or value != value or value == "":
        return pd.NA
    scaled = Decimal(str(value)).scaleb(scale)
    if scaled != int(scaled):
        raise ValueError(f"{value} has more than {scale} decimals")
    return int(scaled)


def multiply(left: pd.Series, right: pd.Series) -> pd.Series:
    """Exact product of two scaled integers; raises OverflowError instead of wrapping around."""
    bound = left.abs().astype("Float64") * right.abs().astype("Float64")
    if bool((bound > _SAFE).any()):
        raise OverflowError("a product of scaled integers does not fit into 64 bits")
    return left * right


def round_half_away(values: pd.Series, digits: int) -> pd.Series:
    """Drop the last `digits` decimal digits of scaled integers, rounding halves away from zero."""
    unit = 10**digits
    magnitude = (values.abs() + unit // 2) // unit
    return magnitude.where(values >= 0, -magnitude)


def to_decimal(cents: pd.Series) -> pd.Series:
    """Integer cents as Decimal with two decimals (dtype object); null becomes None."""
    return pd.Series(
        [None if value is pd.NA else Decimal(int(value)).scaleb(-2) for value in cents.astype("Int64")],
        index=cents.index,
        dtype="object",
    )
