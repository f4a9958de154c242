"""The best products of each customer by each source, without a number for every customer and product.

A source knows something particular of few pairs only: of what the customer bought, and of what is near to that. Everywhere
else its score is a number of the product, plus for some the product of two vectors. So the pairs are scored one by one, and
the rest is searched from the products that can score highest on (`best_elsewhere`). The lists are those of a full table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from orchestration.predictive.one_thread import row_by_row_product
from orchestration.predictive.ranking import NOTHING, best, best_of_ragged, columns_of, scores_of, sort_keys
from orchestration.predictive.recommendation_sources import (
    FACTORISATION,
    NEIGHBOURS,
    POPULARITY,
    REPURCHASE_HALF_LIFE_DAYS,
    TIE,
    TOGETHER,
    Catalogue,
    History,
    Model,
    parts_of,
    position,
    user_factors,
)

ALL, NOT_IN_USE, NEVER_BOUGHT = "all", "not_in_use", "never_bought"
TARGETS = (ALL, NOT_IN_USE, NEVER_BOUGHT)
BLEND = "blend"

Weights = dict[str, float]

_CUSTOMERS_AT_ONCE = 4_096
_PAIRS_AT_ONCE = 4_000_000
_PRODUCTS_AT_ONCE = 256
_PRODUCTS_OF_PAIRS_AT_ONCE = 20_000
# A bound is a little larger than exact arithmetic would have it, since scores are rounded sums.
_SLACK = 1e-5


@dataclass(frozen=True)
class Shelf:
    """What one region sells. columns: of the products on sale, ascending; popularity: of every product of the catalogue there,
    float32; together and factors: of the model, for the products on sale. turns: the place of each product on sale among the
    products of the catalogue, the most popular first: sort keys hold it, since it decides between equal scores."""

    columns: np.ndarray
    popularity: np.ndarray
    together: sp.csr_matrix
    factors: np.ndarray

    @cached_property
    def turns(self) -> np.ndarray:
        turns = np.empty(len(self.popularity), dtype=np.int64)
        turns[self._by_popularity] = np.arange(len(turns))
        return turns[self.columns]

    def products_of(self, keys: np.ndarray) -> np.ndarray:
        """The products of sort keys, as columns of the catalogue; -1 where there is none."""
        turns = columns_of(keys)
        return np.where(turns < 0, -1, self._by_popularity[turns])

    @cached_property
    def _by_popularity(self) -> np.ndarray:
        return np.argsort(-self.popularity, kind="stable")


@dataclass(frozen=True)
class Pairs:
    """Pairs of a block's customers and products on sale, sorted by both. indptr, place: as in a sparse matrix, place counts in
    the columns of the shelf. purchase: which one of the history it is, -1 for none. near: the sum of what is near, 0 for none."""

    indptr: np.ndarray
    place: np.ndarray
    purchase: np.ndarray
    near: np.ndarray

    @property
    def row(self) -> np.ndarray:
        """The row of the customer of each pair."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))


@dataclass(frozen=True)
class Elsewhere:
    """Scores of pairs that a source knows nothing particular of: before + weight * product of factors + after, added up in this
    order. before, after: per product on sale."""

    before: np.ndarray
    weight: np.float32
    after: np.ndarray


@dataclass(frozen=True)
class Block:
    """Some customers of one region. history: theirs; rows: where they stand among all customers."""

    rows: np.ndarray
    history: History
    shelf: Shelf
    model: Model

    @cached_property
    def users(self) -> np.ndarray:
        """Factors of the customers, customers x FACTORS."""
        return user_factors(self.history, self.model, len(self.shelf.popularity))

    @cached_property
    def own(self) -> Pairs:
        """What the customers bought and can buy."""
        return self._pairs(None)

    @cached_property
    def near(self) -> Pairs:
        """What they bought or what is near to it, and can buy."""
        weights = self.history.matrix(np.log1p(self.history.weights()), len(self.shelf.popularity))
        return self._pairs((weights @ self.shelf.together).tocsr())

    @cached_property
    def near_products(self) -> np.ndarray:
        """Products of the factors of the pairs `near`."""
        return products_of(self, self.near)

    def pairs_of(self, cells: np.ndarray) -> Pairs:
        """Pairs that are given as row * products of the catalogue + product, ascending; the products are on sale."""
        products = len(self.shelf.popularity)
        row, place = cells // products, np.searchsorted(self.shelf.columns, cells % products)
        known = position(self.near.row * products + self.shelf.columns[self.near.place], cells)
        purchase, near = np.full(len(cells), -1), np.zeros(len(cells), dtype=np.float32)
        purchase[known >= 0], near[known >= 0] = (
            self.near.purchase[known[known >= 0]],
            self.near.near[known[known >= 0]],
        )
        return Pairs(np.searchsorted(row, np.arange(len(self.rows) + 1)), place, purchase, near)

    def _pairs(self, near: sp.csr_matrix | None) -> Pairs:
        history, columns = self.history, self.shelf.columns
        place = np.searchsorted(columns, history.product)
        place[place == len(columns)] = 0
        kept = np.flatnonzero(columns[place] == history.product) if len(columns) else np.array([], dtype=np.int64)
        indptr = np.searchsorted(kept, history.indptr)
        shape = (len(self.rows), len(columns))
        if near is None:
            return Pairs(indptr, place[kept], kept, np.zeros(len(kept), dtype=np.float32))
        near.sort_indices()
        # Which of the two know of a pair: 1 what is near, 2 the purchases. Both sides are sorted, and so is the sum.
        both = sp.csr_matrix(
            (np.ones(near.nnz, dtype=np.int8), near.indices, near.indptr), shape=shape
        ) + sp.csr_matrix((np.full(len(kept), 2, dtype=np.int8), place[kept], indptr), shape=shape)
        purchase = np.full(both.nnz, -1)
        purchase[both.data >= 2] = kept
        sums = np.zeros(both.nnz, dtype=np.float32)
        sums[both.data != 2] = near.data
        return Pairs(both.indptr, both.indices, purchase, sums)


@dataclass(frozen=True)
class Ranking:
    """What one source says of a block. keys: sort keys of the pairs; elsewhere: those of the best other products."""

    block: Block
    pairs: Pairs
    keys: np.ndarray
    elsewhere: np.ndarray

    def lists(self, target: str, count: int) -> np.ndarray:
        """Customers x count: sort keys of the best products of the target's kind; at most as many as it was ranked for."""
        keys = self.keys
        if target != ALL:
            left_out = self.pairs.purchase >= 0
            if target == NOT_IN_USE:
                left_out &= (
                    self.block.history.counts[self.pairs.purchase, 0] > 0 if len(self.block.history.product) else False
                )
            keys = np.where(left_out, NOTHING, keys)
        return best(np.hstack([best_of_ragged(keys, self.pairs.indptr, count), self.elsewhere]), count)


def blocks(history: History, model: Model, catalogue: Catalogue) -> Iterator[Block]:
    """The customers of regions where anything is on sale, region by region, so many at once that memory stays bounded."""
    for region in np.unique(history.region):
        if region == len(catalogue.regions):
            continue
        columns = np.flatnonzero(catalogue.sellable[region])
        if not len(columns):
            continue
        popularity = catalogue.popularity[region].astype(np.float32)
        shelf = Shelf(
            columns, popularity, model.together[:, columns], np.ascontiguousarray(model.item_factors[columns])
        )
        rows = np.flatnonzero(history.region == region)
        bought = np.diff(history.indptr)[rows]
        work = np.cumsum(np.minimum(bought * NEIGHBOURS, len(columns)) + bought)
        for start, end in parts_of(work, _PAIRS_AT_ONCE, _CUSTOMERS_AT_ONCE):
            yield Block(rows[start:end], history.of(rows[start:end]), shelf, model)


def rank(source: str, block: Block, count: int, weights: Weights | None = None) -> Ranking:
    """The best products of each customer by one source; of those without a purchase, `count` ones. weights: of the blend;
    without any it is the popularity."""
    if source == BLEND and not weights:
        source = POPULARITY
    wide = source in (TOGETHER, BLEND)
    pairs = block.near if wide else block.own
    if source == BLEND:
        assert weights
        scores, rest = _blend(block, pairs, weights), _blend_elsewhere(block, weights)
    else:
        scores, rest = score(source, block, pairs), _elsewhere(source, block)
    keys = sort_keys(scores, block.shelf.turns[pairs.place])
    return Ranking(block, pairs, keys, best_elsewhere(block, pairs, rest, count))


def score(source: str, block: Block, pairs: Pairs) -> np.ndarray:
    """The score of each pair by one source, float32."""
    if source == FACTORISATION:
        return block.near_products if pairs is block.near else products_of(block, pairs)
    popularity = block.shelf.popularity[block.shelf.columns[pairs.place]]
    if source == POPULARITY:
        return popularity
    if source == TOGETHER:
        return pairs.near + TIE * popularity
    history = block.history
    faded = history.weights() * np.float32(0.5) ** (history.last_age / REPURCHASE_HALF_LIFE_DAYS).astype(np.float32)
    return of_purchases(faded, pairs) + TIE * popularity


def traits(block: Block, pairs: Pairs) -> Iterator[tuple[str, np.ndarray]]:
    """What the blend weighs, one float32 number per pair each. Own purchases are 0 where there are none."""
    history = block.history
    lines = history.counts.sum(axis=1)
    gap = (history.first_age - history.last_age + 30) / np.maximum(lines, 1)
    own = {
        "lines_28d": np.log1p(history.counts[:, 0]),
        "lines_90d": np.log1p(history.counts[:, 1]),
        "lines_365d": np.log1p(history.counts[:, 2]),
        "was_bought": np.ones(len(lines)),
        "days_since": np.log1p(history.last_age),
        "gaps_since": np.log1p(history.last_age / gap),
    }
    for name, values in own.items():
        yield name, of_purchases(values, pairs)
    yield TOGETHER, _logarithm(score(TOGETHER, block, pairs))
    yield FACTORISATION, score(FACTORISATION, block, pairs)
    yield POPULARITY, _logarithm(score(POPULARITY, block, pairs))


def of_purchases(values: np.ndarray, pairs: Pairs) -> np.ndarray:
    """A number of each purchase, for pairs; 0 where there is none."""
    result = np.zeros(len(pairs.purchase), dtype=np.float32)
    is_bought = pairs.purchase >= 0
    result[is_bought] = values[pairs.purchase[is_bought]]
    return result


def products_of(block: Block, pairs: Pairs) -> np.ndarray:
    """Products of the factors of pairs, to the last digit those of `row_by_row_product`."""
    result = np.empty(len(pairs.place), dtype=np.float32)
    row = pairs.row
    for start in range(0, len(result), _PRODUCTS_OF_PAIRS_AT_ONCE):
        some = slice(start, start + _PRODUCTS_OF_PAIRS_AT_ONCE)
        left, right = block.users[row[some]], block.shelf.factors[pairs.place[some]]
        result[some] = np.einsum("nk,nk->n", left, right, optimize=False)
    return result


def best_elsewhere(block: Block, pairs: Pairs, rest: Elsewhere, count: int) -> np.ndarray:
    """Customers x count: sort keys of the best products on sale that are not in `pairs`.

    Products are taken from those that can score highest on. No product of vectors is larger than the product of their lengths
    (Cauchy and Schwarz), so who has `count` products already skips those that cannot be better.
    """
    shelf = block.shelf
    length = np.linalg.norm(shelf.factors, axis=1).astype(np.float64)
    reach = np.zeros(len(block.rows))
    if rest.weight:
        reach = np.linalg.norm(block.users, axis=1).astype(np.float64) * abs(float(rest.weight))
    offset = rest.before.astype(np.float64) + rest.after
    rounding = _SLACK * (np.abs(rest.before) + np.abs(rest.after)).max(initial=0.0)
    order = np.argsort(-(offset + length * reach.mean()), kind="stable") if len(reach) else np.array([], dtype=np.int64)
    known = sp.csr_matrix(
        (np.ones(len(pairs.place), dtype=bool), pairs.place, pairs.indptr), shape=(len(block.rows), len(shelf.columns))
    ).tocsc()[:, order]
    found = np.full((len(block.rows), count), NOTHING)
    for start in range(0, len(order), _PRODUCTS_AT_ONCE):
        some = order[start : start + _PRODUCTS_AT_ONCE]
        bound = offset[some].max() + rounding + reach * length[some].max() * (1 + _SLACK)
        rows = np.flatnonzero((found[:, -1] == NOTHING) | (bound >= scores_of(found[:, -1])))
        if not len(rows):
            continue
        scores = rest.before[None, some]
        if rest.weight:
            scores = scores + row_by_row_product(block.users[rows], shelf.factors[some].T) * rest.weight
        keys = np.broadcast_to(sort_keys(scores + rest.after[some], shelf.turns[some]), (len(rows), len(some))).copy()
        part = known[:, start : start + _PRODUCTS_AT_ONCE]
        place = np.full(len(block.rows), -1)
        place[rows] = np.arange(len(rows))
        row, column = place[part.indices], np.repeat(np.arange(len(some)), np.diff(part.indptr))
        keys[row[row >= 0], column[row >= 0]] = NOTHING
        better = np.flatnonzero((keys > found[rows, -1:]).any(axis=1))
        found[rows[better]] = best(np.hstack([found[rows[better]], keys[better]]), count)
    return found


def _elsewhere(source: str, block: Block) -> Elsewhere:
    popularity = block.shelf.popularity[block.shelf.columns]
    nothing = np.zeros(len(popularity), dtype=np.float32)
    if source == FACTORISATION:
        return Elsewhere(nothing, np.float32(1), nothing)
    return Elsewhere(popularity if source == POPULARITY else TIE * popularity, np.float32(0), nothing)


def _blend(block: Block, pairs: Pairs, weights: Weights) -> np.ndarray:
    """Log odds to be bought."""
    total = np.full(len(pairs.place), weights["constant"], dtype=np.float32)
    for name, values in traits(block, pairs):
        if weights[name]:
            total += values * np.float32(weights[name])
    return total


def _blend_elsewhere(block: Block, weights: Weights) -> Elsewhere:
    popularity = block.shelf.popularity[block.shelf.columns]
    before = np.full(len(popularity), weights["constant"], dtype=np.float32)
    before += _logarithm(TIE * popularity) * np.float32(weights[TOGETHER])
    return Elsewhere(
        before, np.float32(weights[FACTORISATION]), _logarithm(popularity) * np.float32(weights[POPULARITY])
    )


def _logarithm(values: np.ndarray) -> np.ndarray:
    return np.log(values + np.float32(1e-3))
