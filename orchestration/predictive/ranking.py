"""The largest scores of each row, where a row may have many columns without a number for each of them.

A score and its column are packed into one integer, its sort key: larger keys are better, and among equal scores the lower
column is. So a list is an array of keys, and lists of parts merge by sorting.
"""

from __future__ import annotations

import numpy as np

NOTHING = np.iinfo(np.int64).min
_LAST_COLUMN = 0x7FFFFFFF
_LOW = np.int64(0xFFFFFFFF)


def sort_keys(scores: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Keys of float32 scores (no NaN) of these columns, both of one shape or to be broadcast. Columns are below 2 ** 31."""
    bits = (scores.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)
    # The bits of a float as a number that sorts as the float does; the column below it decides between equals.
    keys = np.where(bits >= 0, bits, bits ^ np.int32(_LAST_COLUMN)).astype(np.int64)
    keys <<= 32
    keys += _LAST_COLUMN - columns
    return keys


def columns_of(keys: np.ndarray) -> np.ndarray:
    """The columns of keys; -1 where there is none."""
    return np.where(keys == NOTHING, -1, _LAST_COLUMN - (keys & _LOW))


def scores_of(keys: np.ndarray) -> np.ndarray:
    """The scores of keys, float32; meaningless where there is none."""
    bits = (keys >> 32).astype(np.int32)
    return np.where(bits >= 0, bits, bits ^ np.int32(_LAST_COLUMN)).view(np.float32)


def best(keys: np.ndarray, count: int) -> np.ndarray:
    """Of each row the `count` largest keys, largest first; NOTHING pads the end. Reorders `keys`."""
    columns = keys.shape[1]
    if columns > count:
        keys.partition(columns - count, axis=1)
        keys = keys[:, columns - count :]
    keys = np.sort(keys, axis=1)[:, ::-1]
    if columns < count:
        keys = np.hstack([keys, np.full((len(keys), count - columns), NOTHING)])
    return keys


def top(scores: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """Of each row the columns of the `count` largest allowed float32 scores, largest first; of equal ones the lower column
    first. -1 where fewer are allowed."""
    keys = sort_keys(scores, np.arange(scores.shape[1]))
    keys[~allowed] = NOTHING
    return columns_of(best(keys, count))


def best_of_ragged(keys: np.ndarray, indptr: np.ndarray, count: int) -> np.ndarray:
    """The same for rows of different lengths, given one after the other: row i holds keys[indptr[i] : indptr[i + 1]].

    Rows of about the same length (up to twice as long) are done at once, so that padding at most doubles the work.
    """
    result = np.full((len(indptr) - 1, count), NOTHING)
    lengths = np.diff(indptr)
    widths = np.left_shift(1, np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64))
    for width in np.unique(widths[lengths > 0]):
        rows = np.flatnonzero((widths == width) & (lengths > 0))
        step = max(1, _CELLS_AT_ONCE // int(width))
        for some in np.split(rows, range(step, len(rows), step)):
            place = np.arange(lengths[some].max())
            inside = place < lengths[some, None]
            padded = keys[np.where(inside, indptr[some, None] + place, 0)]
            padded[~inside] = NOTHING
            result[some] = best(padded, count)
    return result


_CELLS_AT_ONCE = 1_000_000
