"""Hold a mart against the reference: every number to 1e-9, money exactly, null for null."""

import math
from datetime import date
from decimal import Decimal

import pandas as pd

TOLERANCE = 1e-9


def differences(mart: pd.DataFrame, reference: pd.DataFrame, name: str) -> list[str]:
    """One line per column (or set of rows) that differs; empty when all agree. Both frames carry the key as index.

    Columns that only the mart has are not looked at.
    """
    found = []
    if not mart.index.is_unique:
        found.append(f"{name}: {int(mart.index.duplicated().sum())} rows repeat a key")
        return found
    extra, missing = mart.index.difference(reference.index), reference.index.difference(mart.index)
    for rows, fault in ((extra, "only in the mart"), (missing, "missing in the mart")):
        if len(rows):
            found.append(f"{name}: {len(rows)} rows {fault}, e.g. {list(rows[:5])}")
    keys = reference.index.intersection(mart.index)
    for column in reference.columns:
        if column not in mart.columns:
            found.append(f"{name}.{column}: no such column in the mart")
            continue
        pairs = zip(keys, mart[column].reindex(keys), reference[column].reindex(keys), strict=True)
        wrong = [(key, left, right) for key, left, right in pairs if not same(left, right)]
        if wrong:
            shown = "; ".join(f"{key}: mart {left!r}, reference {right!r}" for key, left, right in wrong[:3])
            found.append(f"{name}.{column}: {len(wrong)} of {len(keys)} rows differ: {shown}")
    return found


def rank_differences(ranks: pd.Series, scores: pd.Series, name: str) -> list[str]:
    """Ranks that no ordering of the reference scores explains, scores closer than the tolerance being a tie."""
    ordered = scores.sort_values().to_numpy()
    best = 1 + len(ordered) - ordered.searchsorted((scores + TOLERANCE).to_numpy(), side="right")
    worst = 1 + len(ordered) - ordered.searchsorted((scores - TOLERANCE).to_numpy(), side="left")
    given = ranks.reindex(scores.index).astype("float64")
    wrong = scores.index[~((given >= best) & (given <= worst))]
    return [f"{name}: {len(wrong)} ranks do not follow from the scores, e.g. {list(wrong[:5])}"] if len(wrong) else []


def same(left: object, right: object) -> bool:
    """Equal texts, dates and Decimals; numbers within the tolerance, relative or absolute; both null."""
    if is_null(left) or is_null(right):
        return is_null(left) and is_null(right)
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return left == right
    if isinstance(right, (str, date)):
        return left == right
    return math.isclose(float(left), float(right), rel_tol=TOLERANCE, abs_tol=TOLERANCE)  # type: ignore[arg-type]


def is_null(value: object) -> bool:
    """None, NaN, NaT or NA."""
    return bool(pd.isna(value))  # type: ignore[call-overload]
