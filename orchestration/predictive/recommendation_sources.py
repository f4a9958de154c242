"""Where a recommendation comes from: popularity, own purchases, what belongs together, a factorisation of all purchases.

Each source gives every (customer, product) a number; larger is better. Products and customers are numbered in the order of
their ids, so no result depends on the order of rows. Formulas: docs/definitions.md, "Recommendations".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from orchestration.predictive.ranking import NOTHING, best_of_ragged, columns_of, scores_of, sort_keys

POPULARITY, REPURCHASE, TOGETHER, FACTORISATION = "popularity", "repurchase", "co_occurrence", "factorisation"
SOURCES = (POPULARITY, REPURCHASE, TOGETHER, FACTORISATION)

# A purchase of the last 28 days counts 1, of the 62 days before 1/2, of the rest of the year 1/4; own purchases also fade
# with the days since the last one.
RECENCY_WEIGHTS = np.array([1.0, 0.5, 0.25], dtype=np.float32)
REPURCHASE_HALF_LIFE_DAYS = 30.0
# Pairs that few customers bought are not believed: so many customers are added to each product's number.
TOGETHER_PRIOR_CUSTOMERS = 10.0
NEIGHBOURS = 100
FACTORS = 32
ITERATIONS = 10
REGULARISATION = 10.0
CONFIDENCE = 5.0
SEED = 20200101
# Breaks ties of the other sources by popularity; smaller than any difference that they mean.
TIE = np.float32(1e-6)

_PAIRS_AT_ONCE = 8_000_000


@dataclass(frozen=True)
class Catalogue:
    """What was on sale at a cut-off. product_ids: ascending. sellable: regions x products, on sale and sold in the region
    lately. popularity: regions x products, share of the region's buying customers who bought it lately, in [0, 1]."""

    product_ids: np.ndarray
    regions: tuple[str, ...]
    sellable: np.ndarray
    popularity: np.ndarray


@dataclass(frozen=True)
class History:
    """Purchases of some customers before a cut-off, sorted by customer and product.

    customer_ids: ascending; region: row of the catalogue for each. indptr, product: the purchases of each customer as in a
    sparse matrix. counts: purchases x 3, order lines of the last 28 days, of the 62 days before, of the rest of the year.
    first_age, last_age: days from the first and the last purchase to the cut-off.
    """

    customer_ids: np.ndarray
    region: np.ndarray
    indptr: np.ndarray
    product: np.ndarray
    counts: np.ndarray
    first_age: np.ndarray
    last_age: np.ndarray

    def matrix(self, values: np.ndarray, products: int) -> sp.csr_matrix:
        """Customers x products with one value per purchase."""
        shape = (len(self.customer_ids), products)
        return sp.csr_matrix((values.astype(np.float32), self.product, self.indptr), shape=shape)

    def weights(self) -> np.ndarray:
        """Order lines, the older the less."""
        weighted = self.counts.astype(np.float32) * RECENCY_WEIGHTS
        return weighted[:, 0] + weighted[:, 1] + weighted[:, 2]

    def of(self, rows: np.ndarray) -> History:
        """Some of the customers, `rows` in ascending order."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        kept = np.repeat(self.indptr[rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return History(
            self.customer_ids[rows],
            self.region[rows],
            indptr,
            self.product[kept],
            self.counts[kept],
            self.first_age[kept],
            self.last_age[kept],
        )

    @property
    def owner(self) -> np.ndarray:
        """The row of the customer of each purchase."""
        return np.repeat(np.arange(len(self.customer_ids)), np.diff(self.indptr))


@dataclass(frozen=True)
class Model:
    """What was learned of some customers: nearness of products (products x products, the nearest NEIGHBOURS of each),
    how many of the customers bought each product, how many customers there were, and the factors of the products."""

    together: sp.csr_matrix
    bought_by: np.ndarray
    customer_count: int
    item_factors: np.ndarray


def history_of(customers: pd.DataFrame, purchases: pd.DataFrame, catalogue: Catalogue) -> History:
    """Number customers and products, and sort.

    customers: customer_id (unique), region_code. purchases: unique customer_id and product_id, lines_28d, lines_90d,
    lines_365d (each without the shorter window), first_age, last_age. Other customers' purchases are left out, and so are
    products that the catalogue does not know.
    """
    customers = customers.sort_values("customer_id", ignore_index=True)
    ids = customers["customer_id"].to_numpy(np.uint64)
    regions = {name: number for number, name in enumerate(catalogue.regions)}
    region = customers["region_code"].map(regions).fillna(len(catalogue.regions)).to_numpy(np.int64)
    row = position(ids, purchases["customer_id"].to_numpy(np.uint64))
    column = position(catalogue.product_ids, purchases["product_id"].to_numpy(np.uint64))
    known = np.flatnonzero((row >= 0) & (column >= 0))
    order = known[np.lexsort((column[known], row[known]))]
    counts = purchases[["lines_28d", "lines_90d", "lines_365d"]].to_numpy(np.int64)[order]
    return History(
        customer_ids=ids,
        region=region,
        indptr=np.searchsorted(row[order], np.arange(len(ids) + 1)),
        product=column[order].astype(np.int32),
        counts=counts,
        first_age=purchases["first_age"].to_numpy(np.int64)[order],
        last_age=purchases["last_age"].to_numpy(np.int64)[order],
    )


def learn(history: History, catalogue: Catalogue) -> Model:
    """Learn the nearness of products, and their factors, from the purchases of the customers in `history`."""
    products = len(catalogue.product_ids)
    bought = history.matrix(np.ones(len(history.product)), products)
    bought_by = np.asarray(bought.sum(axis=0)).ravel().astype(np.float32)
    return Model(_nearness(bought, bought_by), bought_by, len(history.customer_ids), _factorise(history, products))


def user_factors(history: History, model: Model, products: int) -> np.ndarray:
    """Factors of customers who need not have been learned from: the least squares answer to their purchases."""
    solver = _solver()
    solver.item_factors = model.item_factors
    return solver.recalculate_user(np.arange(len(history.customer_ids)), _confidence(history, products))


def _factorise(history: History, products: int) -> np.ndarray:
    if not len(history.product):
        return np.zeros((products, FACTORS), dtype=np.float32)
    solver = _solver()
    solver.fit(_confidence(history, products), show_progress=False)
    return np.asarray(solver.item_factors)


def _solver():
    from implicit.cpu.als import AlternatingLeastSquares

    return AlternatingLeastSquares(
        factors=FACTORS, regularization=REGULARISATION, iterations=ITERATIONS, random_state=SEED, num_threads=1
    )


def _confidence(history: History, products: int) -> sp.csr_matrix:
    return history.matrix(1.0 + CONFIDENCE * np.log1p(history.weights()), products)


def _nearness(bought: sp.csr_matrix, bought_by: np.ndarray) -> sp.csr_matrix:
    """Cosine of the customers of two products, shrunk. Only pairs that some customer bought take time or room, and of those so
    many products at a time that about _PAIRS_AT_ONCE customers of pairs are counted."""
    products = bought.shape[1]
    by_product = bought.T.tocsr()
    size = np.sqrt(bought_by + np.float32(TOGETHER_PRIOR_CUSTOMERS))
    work = np.cumsum(by_product @ np.diff(bought.indptr))
    nearest = np.full((products, NEIGHBOURS), NOTHING)
    for start, end in parts_of(work, _PAIRS_AT_ONCE):
        both = by_product[start:end] @ bought
        row = np.repeat(np.arange(start, end), np.diff(both.indptr))
        keys = sort_keys(both.data / (size[row] * size[both.indices]), both.indices)
        keys[row == both.indices] = NOTHING
        nearest[start:end] = best_of_ragged(keys, both.indptr, NEIGHBOURS)
    row, place = np.nonzero(nearest != NOTHING)
    keys = nearest[row, place]
    return sp.csr_matrix((scores_of(keys), (row, columns_of(keys))), shape=(products, products))


def parts_of(work: np.ndarray, at_once: int, most: int | None = None) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of about `at_once` of work, at least one row and at most `most` rows each. work: cumulative, per row."""
    start = 0
    while start < len(work):
        before = work[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(work, before + at_once, side="right")))
        end = min(end, len(work), start + most if most else len(work))
        yield start, end
        start = end


def position(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of each wanted id in the ascending `ids`; -1 where it is not there."""
    place = np.searchsorted(ids, wanted)
    place[place == len(ids)] = 0
    found = ids[place] == wanted if len(ids) else np.zeros(len(wanted), dtype=bool)
    return np.where(found, place, -1)
