"""The largest scores of full rows, of rows of different lengths, and of customers whose other products are only bounded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.predictive import ranking, recommendation_scores
from orchestration.predictive.one_thread import row_by_row_product
from orchestration.predictive.ranking import NOTHING, best_of_ragged, columns_of, scores_of, sort_keys, top
from orchestration.predictive.recommendation_scores import BLEND, NEVER_BOUGHT, NOT_IN_USE, TARGETS, blocks, rank
from orchestration.predictive.recommendation_sources import (
    FACTORISATION,
    NEIGHBOURS,
    POPULARITY,
    REPURCHASE,
    SOURCES,
    TIE,
    TOGETHER,
    Catalogue,
    History,
    Model,
    history_of,
    learn,
    parts_of,
    user_factors,
)

COLUMNS = ["customer_id", "product_id", "lines_28d", "lines_90d", "lines_365d", "first_age", "last_age"]
SCORES = st.sampled_from([-2.0, -0.0, 0.0, 0.5, 0.5, 3.0])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(SCORES, min_size=4, max_size=4), min_size=1, max_size=6),
    st.integers(1, 6),
    st.integers(0, 2**24 - 1),
)
def test_the_top_is_the_sorted_order_with_the_lower_column_first_among_equals(
    rows: list[list[float]], count: int, mask: int
) -> None:
    scores = np.array(rows, dtype=np.float32)
    allowed = np.array([bool(mask >> place & 1) for place in range(scores.size)]).reshape(scores.shape)

    found = top(scores, allowed, count)

    for row in range(len(scores)):
        order = sorted(np.flatnonzero(allowed[row]), key=lambda column: (-scores[row, column], column))[:count]
        assert found[row].tolist() == [*order, *[-1] * (count - len(order))]


@settings(deadline=None)
@given(st.lists(st.lists(SCORES, max_size=9), max_size=8), st.integers(1, 6), st.integers(1, 20))
def test_rows_of_any_length_have_the_same_top_however_many_are_done_at_once(
    rows: list[list[float]], count: int, at_once: int
) -> None:
    lengths = [len(row) for row in rows]
    scores = np.array([score for row in rows for score in row], dtype=np.float32)
    columns = np.array([column for length in lengths for column in range(length)], dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_CELLS_AT_ONCE", at_once)
        found = best_of_ragged(sort_keys(scores, columns), np.concatenate([[0], np.cumsum(lengths, dtype=int)]), count)

    assert found.shape == (len(rows), count)
    for row, listed in zip(rows, found, strict=True):
        order = sorted(range(len(row)), key=lambda column: (-row[column], column))[:count]
        assert columns_of(listed).tolist() == [*order, *[-1] * (count - len(order))]
        assert scores_of(listed[listed != NOTHING]).tolist() == [row[column] for column in order]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 20), st.integers(1, 5))
def test_rows_are_cut_into_runs_that_hold_each_row_once(work: list[int], at_once: int, most: int) -> None:
    runs = list(parts_of(np.cumsum(np.array(work, dtype=np.int64)), at_once, most))

    assert [row for start, end in runs for row in range(start, end)] == list(range(len(work)))
    for start, end in runs:
        assert end - start == 1 or (sum(work[start:end]) <= at_once and end - start <= most)


def _world(seed: int, products: int, customers: int, regions: int) -> tuple[History, Catalogue, Model]:
    """Purchases by popularity; a few customers bought nothing, a few are of a region that bought nothing lately."""
    random = np.random.default_rng(seed)
    likely = 1.0 / np.arange(1, products + 1)
    purchases = [
        [customer, product + 1, *random.integers(0, 3, 3), 300, int(random.integers(0, 90))]
        for customer in range(customers)
        for product in random.choice(products, random.integers(0, min(products, 12) + 1), False, likely / likely.sum())
    ]
    names = [*(f"region {number}" for number in range(regions)), "silent"]
    people = pd.DataFrame({"customer_id": range(customers), "region_code": random.choice(names, customers)})
    popularity = np.round(likely * random.random((regions, products)), 2)
    sellable = (popularity > 0) & (random.random(products) > 0.1)
    catalogue = Catalogue(np.arange(1, products + 1, dtype=np.uint64), tuple(names[:-1]), sellable, popularity)
    history = history_of(people, pd.DataFrame(purchases, columns=COLUMNS), catalogue)
    return history, catalogue, learn(history, catalogue)


def _full_tables(
    history: History, catalogue: Catalogue, model: Model, weights: dict[str, float]
) -> dict[str, np.ndarray]:
    """Every source as a table of all customers and products, by the formulas of docs/definitions.md."""
    products = len(catalogue.product_ids)
    popularity = np.vstack([catalogue.popularity, np.zeros((1, products))]).astype(np.float32)[history.region]
    faded = history.weights() * np.float32(0.5) ** (history.last_age / 30).astype(np.float32)
    near = (history.matrix(np.log1p(history.weights()), products) @ model.together).toarray()
    tables = {
        POPULARITY: popularity,
        REPURCHASE: history.matrix(faded, products).toarray() + TIE * popularity,
        TOGETHER: near + TIE * popularity,
        FACTORISATION: row_by_row_product(user_factors(history, model, products), model.item_factors.T),
    }
    lines = history.counts.sum(axis=1)
    gap = (history.first_age - history.last_age + 30) / np.maximum(lines, 1)
    own = {
        **{f"lines_{days}d": np.log1p(history.counts[:, place]) for place, days in enumerate((28, 90, 365))},
        "was_bought": np.ones(len(lines)),
        "days_since": np.log1p(history.last_age),
        "gaps_since": np.log1p(history.last_age / gap),
    }
    weighed = {name: history.matrix(values, products).toarray() for name, values in own.items()} | {
        TOGETHER: np.log(tables[TOGETHER] + np.float32(1e-3)),
        FACTORISATION: tables[FACTORISATION],
        POPULARITY: np.log(popularity + np.float32(1e-3)),
    }
    total = np.full(popularity.shape, weights["constant"], dtype=np.float32)
    for name, values in weighed.items():
        total += values * np.float32(weights[name])
    return tables | {BLEND: total}


def _sorted_lists(scores: np.ndarray, popularity: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """The best products of each customer; of equal scores the more popular product, then the lower number; -1 pads the end."""
    lists = np.full((len(scores), count), -1)
    for row in range(len(scores)):
        columns = np.flatnonzero(allowed[row])
        best = columns[np.lexsort((columns, -popularity[row, columns], -scores[row, columns]))][:count]
        lists[row, : len(best)] = best
    return lists


@pytest.mark.parametrize(("seed", "products", "customers", "regions"), [(1, 300, 60, 3), (2, 90, 40, 1), (3, 8, 30, 2)])
@pytest.mark.parametrize("factor_weight", [2.5, -1.5, 0.0])
def test_every_list_is_that_of_a_full_table_to_the_last_digit(
    seed: int, products: int, customers: int, regions: int, factor_weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommendation_scores, "_PRODUCTS_AT_ONCE", 16)
    history, catalogue, model = _world(seed, products, customers, regions)
    weights = dict(zip(("lines_28d", "lines_90d", "lines_365d"), (0.3, -0.2, 0.1), strict=True)) | {
        "constant": -4.0,
        "was_bought": 0.5,
        "days_since": -0.4,
        "gaps_since": 0.2,
        TOGETHER: 0.7,
        FACTORISATION: factor_weight,
        POPULARITY: 0.4,
    }
    tables = _full_tables(history, catalogue, model, weights)
    sellable = np.vstack([catalogue.sellable, np.zeros((1, products), dtype=bool)])[history.region]
    popularity = np.vstack([catalogue.popularity, np.zeros((1, products))])[history.region]
    for target in TARGETS:
        allowed = sellable.copy()
        left_out = {NOT_IN_USE: history.counts[:, 0] > 0, NEVER_BOUGHT: history.counts[:, 0] >= 0}.get(target)
        if left_out is not None:
            allowed[history.owner[left_out], history.product[left_out]] = False
        for source in (*SOURCES, BLEND):
            expected = _sorted_lists(tables[source], popularity, allowed, 10)
            found = np.full(expected.shape, -1)
            for block in blocks(history, model, catalogue):
                keys = rank(source, block, 10, weights).lists(target, 10)
                products_found = found[block.rows] = block.shelf.products_of(keys)
                row, place = np.nonzero(keys != NOTHING)
                np.testing.assert_array_equal(
                    scores_of(keys[row, place]), tables[source][block.rows[row], products_found[row, place]]
                )
            np.testing.assert_array_equal(found, expected)


def test_of_products_bought_alike_the_more_popular_one_comes_first_however_high_their_score() -> None:
    popularity = np.array([[0.10, 0.13, 0.13, 0.12]])
    catalogue = Catalogue(np.arange(1, 5, dtype=np.uint64), ("north",), popularity > 0, popularity)
    people = pd.DataFrame({"customer_id": [1], "region_code": ["north"]})
    # A score of 20, where float32 is too coarse to hold a popularity beside it.
    purchases = pd.DataFrame([[1, product, 0, 80, 0, 60, 30] for product in (1, 2, 3, 4)], columns=COLUMNS)
    history = history_of(people, purchases, catalogue)
    (block,) = blocks(history, learn(history, catalogue), catalogue)

    keys = rank(REPURCHASE, block, 4).lists(NOT_IN_USE, 4)

    assert block.shelf.products_of(keys).tolist() == [[1, 2, 3, 0]]


@pytest.mark.parametrize("at_once", [1, 700, 10_000_000])
def test_the_nearest_products_are_those_of_a_full_table(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.predictive.recommendation_sources._PAIRS_AT_ONCE", at_once)
    history, _, model = _world(4, 150, 400, 1)
    bought = history.matrix(np.ones(len(history.product)), 150).toarray()
    both = bought.T @ bought
    np.fill_diagonal(both, 0)
    size = np.sqrt(bought.sum(axis=0) + np.float32(10))
    near = both / (size[:, None] * size)
    listed = top(near, near > 0, NEIGHBOURS)
    row, place = np.nonzero(listed >= 0)
    expected = sp.csr_matrix((near[row, listed[row, place]], (row, listed[row, place])), shape=near.shape)
    assert (np.diff(expected.indptr) == NEIGHBOURS).any()
    np.testing.assert_array_equal(model.together.toarray(), expected.toarray())


def test_products_that_nobody_near_bought_cost_hardly_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the scores that are sorted, and the products of factors: most of the time of a large catalogue."""
    cells: list[int] = []
    sorted_keys, multiplied = ranking.best, recommendation_scores.row_by_row_product

    def counted_best(keys: np.ndarray, count: int) -> np.ndarray:
        cells.append(keys.size)
        return sorted_keys(keys, count)

    def counted_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        cells.append(len(left) * right.shape[1])
        return multiplied(left, right)

    monkeypatch.setattr(ranking, "best", counted_best)
    monkeypatch.setattr(recommendation_scores, "best", counted_best)
    monkeypatch.setattr(recommendation_scores, "row_by_row_product", counted_product)
    random = np.random.default_rng(1)
    customers, bought, work = 300, 400, {}
    people = pd.DataFrame({"customer_id": range(customers), "region_code": "north"})
    for products in (bought, 10 * bought):
        purchases = pd.DataFrame(
            [
                [customer, product + 1, 1, 1, 1, 300, 3]
                for customer in range(customers)
                for product in random.choice(bought, 5, False)
            ],
            columns=COLUMNS,
        )
        popularity = np.full((1, products), 0.001)
        popularity[0, :bought] = 0.05
        catalogue = Catalogue(np.arange(1, products + 1, dtype=np.uint64), ("north",), popularity > 0, popularity)
        history = history_of(people, purchases, catalogue)
        cells.clear()
        model = learn(history, catalogue)
        for block in blocks(history, model, catalogue):
            for source in SOURCES:
                rank(source, block, 10).lists(NOT_IN_USE, 10)
        work[products] = sum(cells)
    assert work[10 * bought] < 1.2 * work[bought]
    assert work[10 * bought] < customers * 10 * bought
