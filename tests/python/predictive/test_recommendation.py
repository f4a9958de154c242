"""Recommendations as pure functions: lists against plain second computations, planted tastes, too little data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from orchestration.predictive import recommendation as subject
from orchestration.predictive import recommendation_scores
from orchestration.predictive.recommendation import (
    Choice,
    Fold,
    choose,
    compose,
    learn,
    recall_per_customer,
    recommend,
    unjudged,
)
from orchestration.predictive.recommendation_sources import Catalogue, history_of

PRODUCTS = 60
COLUMNS = ["customer_id", "product_id", "lines_28d", "lines_90d", "lines_365d", "first_age", "last_age"]


def test_the_last_places_are_new_products_and_no_product_comes_twice() -> None:
    listed = np.array([[1, 2, 3, 4, 5], [9, 2, 3, 4, 5], [1, 2, -1, -1, -1], [8, 9, -1, -1, -1]])
    new = np.array([[8, 9, 7, 6, 5], [9, 8, -1, -1, -1], [-1, -1, -1, -1, -1], [9, 8, -1, -1, -1]])
    assert compose(listed, new, 5, 2).tolist() == [
        [1, 2, 3, 8, 9],
        [2, 3, 4, 9, 8],
        [1, 2, -1, -1, -1],
        [9, 8, -1, -1, -1],
    ]


def _world(seed: int = 7, customers: int = 400) -> Fold:
    """Two tastes of thirty products each. Every customer has six staples of its taste, bought all the year, and two that it bought
    until two months ago and takes again in the outcome. Product 1 is discontinued, product 2 sold in the north alone."""
    random = np.random.default_rng(seed)
    purchases, after = [], []
    for customer in range(1, customers + 1):
        taste = customer % 2 * PRODUCTS // 2
        liked = taste + 1 + random.permutation(PRODUCTS // 2)
        for product in liked[:6]:
            purchases.append([customer, product, 2, 5, 8, 300, int(random.integers(0, 20))])
        for product in liked[6:8]:
            purchases.append([customer, product, 0, 4, 9, 300, int(random.integers(40, 70))])
            after.append([customer, product])
        after += [[customer, product] for product in liked[:3]]
        after.append([customer, liked[8]])
    people = pd.DataFrame(
        {"customer_id": range(1, customers + 1), "region_code": ["north", "north", "south", "south"] * (customers // 4)}
    )
    return _fold(people, pd.DataFrame(purchases, columns=COLUMNS), after)


def _fold(people: pd.DataFrame, purchases: pd.DataFrame, after: list[list[int]]) -> Fold:
    products = np.arange(1, PRODUCTS + 1, dtype=np.uint64)
    regions = tuple(sorted(people["region_code"].unique()))
    popularity = np.zeros((len(regions), PRODUCTS))
    recent = purchases[purchases["lines_28d"] > 0].merge(people, on="customer_id")
    for (region, product), buyers in recent.groupby(["region_code", "product_id"])["customer_id"].nunique().items():
        popularity[regions.index(region), product - 1] = buyers / people["region_code"].eq(region).sum()
    if "south" in regions:
        popularity[regions.index("south"), 1] = 0
    sellable = popularity > 0
    sellable[:, 0] = False
    catalogue = Catalogue(products, regions, sellable, popularity)
    outcome = pd.DataFrame(after, columns=["customer_id", "product_id"])
    return Fold(catalogue, history_of(people, purchases, catalogue), outcome)


@pytest.fixture(scope="module")
def world() -> Fold:
    return _world()


@pytest.fixture(scope="module")
def judged(world: Fold):
    return choose(world, _world(seed=8))


@pytest.fixture(scope="module")
def lists(world: Fold, judged) -> pd.DataFrame:
    return recommend(world.history, learn(world.history, world.catalogue), world.catalogue, judged[0])


def test_recall_is_the_share_of_the_products_bought_after_the_cut_off(world: Fold) -> None:
    random = np.random.default_rng(3)
    made = np.array([random.permutation(PRODUCTS)[:10] for _ in world.history.customer_ids])
    for target in subject.TARGETS:
        expected = []
        for row in range(len(world.history.customer_ids)):
            of_customer = slice(world.history.indptr[row], world.history.indptr[row + 1])
            products = world.history.product[of_customer] + 1
            in_use = world.history.counts[of_customer, 0] > 0
            left_out = {"all": [], "not_in_use": products[in_use], "never_bought": products}[target]
            bought = world.bought_after.query(f"customer_id == {row + 1}")["product_id"]
            wanted = set(bought) - {int(product) for product in left_out}
            expected.append(len(wanted & set((made[row] + 1).tolist())) / len(wanted) if wanted else np.nan)
        np.testing.assert_allclose(recall_per_customer(made, world, target), expected)


def test_the_lists_offer_what_was_dropped_and_new_products_of_the_own_taste(lists: pd.DataFrame, world: Fold) -> None:
    dropped = lists[lists["rank"] <= 2]
    assert (dropped["reason_code"] == "repurchase").mean() > 0.9
    own_taste = (lists["product_id"].astype(int) - 1) // (PRODUCTS // 2) == lists["customer_id"].astype(int) % 2
    # By chance half of them would be.
    assert own_taste.mean() > 0.95
    new = lists[lists["rank"] > 7]
    assert (new["order_lines_365d"] == 0).all()
    assert set(new["reason_code"]) <= {"goes_with", "popular", "similar_customers"}


def test_nothing_in_use_or_not_on_sale_is_offered_or_named(lists: pd.DataFrame, world: Fold) -> None:
    regions = dict(zip(world.history.customer_ids, world.history.region, strict=True))
    for column in ("product_id", "goes_with_product_id"):
        named = lists[lists[column] > 0]
        assert not named.empty
        region = named["customer_id"].map(regions).to_numpy()
        assert world.catalogue.sellable[region, named[column].to_numpy().astype(int) - 1].all()
    owner = np.repeat(world.history.customer_ids, np.diff(world.history.indptr))
    in_use = set(zip(owner, world.history.product + 1, strict=True)) - {
        (customer, product)
        for customer, product, count in zip(owner, world.history.product + 1, world.history.counts[:, 0], strict=True)
        if not count
    }
    assert not in_use & set(zip(lists["customer_id"], lists["product_id"], strict=True))
    assert not lists.duplicated(["customer_id", "product_id"]).any()


def test_every_method_is_judged_and_a_better_one_serves(judged) -> None:
    choice, rows = judged
    assert choice.reason == "judged"
    assert set(zip(rows["target"], rows["method"], strict=True)) == {
        (target, method) for target in subject.TARGETS for method in (*subject.METHODS, "served")
    }
    recalls = rows.set_index(["target", "method"])["recall_at_10"]
    assert "popularity" not in (choice.list_method, choice.new_method)
    assert recalls["not_in_use", choice.list_method] > recalls["not_in_use", "popularity"] + 0.3
    assert recalls.between(0, 1).all()
    assert rows["role"].tolist().count("list") == rows["role"].tolist().count("new_places") == 1


def test_the_order_of_rows_the_number_of_threads_and_the_size_of_blocks_change_nothing(
    world: Fold, judged, lists: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = np.repeat(world.history.customer_ids, np.diff(world.history.indptr))
    counts = world.history.counts
    purchases = pd.DataFrame(
        {
            "customer_id": owner,
            "product_id": world.history.product + 1,
            "lines_28d": counts[:, 0],
            "lines_90d": counts[:, 1],
            "lines_365d": counts[:, 2],
            "first_age": world.history.first_age,
            "last_age": world.history.last_age,
        }
    )
    people = pd.DataFrame(
        {
            "customer_id": world.history.customer_ids,
            "region_code": [world.catalogue.regions[number] for number in world.history.region],
        }
    )
    shuffled = history_of(
        people.sample(frac=1, random_state=1), purchases.sample(frac=1, random_state=2), world.catalogue
    )
    after = world.bought_after.sample(frac=1, random_state=3)
    with threadpool_limits(2):
        choice, rows = choose(replace(world, history=shuffled, bought_after=after), _world(seed=8))
        monkeypatch.setattr(recommendation_scores, "_CUSTOMERS_AT_ONCE", 37)
        monkeypatch.setattr(recommendation_scores, "_PRODUCTS_AT_ONCE", 7)
        again = recommend(shuffled, learn(shuffled, world.catalogue), world.catalogue, choice)
    assert choice == judged[0]
    pd.testing.assert_frame_equal(rows, judged[1], check_exact=True)
    pd.testing.assert_frame_equal(again, lists, check_exact=True)


def test_one_customer_and_one_product_give_a_named_choice_and_no_exception() -> None:
    people = pd.DataFrame({"customer_id": [5], "region_code": ["north"]})
    purchases = pd.DataFrame([[5, 2, 1, 0, 0, 3, 3]], columns=COLUMNS)
    tiny = _fold(people, purchases, [[5, 2]])
    only = Catalogue(np.array([2], dtype=np.uint64), ("north",), np.array([[True]]), np.array([[1.0]]))
    tiny = Fold(only, history_of(people, purchases, only), tiny.bought_after)

    choice, rows = choose(tiny, tiny)
    made = recommend(tiny.history, learn(tiny.history, only), only, choice)

    assert choice == unjudged("too_few_customers")
    assert set(rows["target"]) == set(subject.TARGETS)
    # One customer tells nothing of the spread of all.
    assert rows[["recall_low", "recall_high"]].isna().all(axis=None)
    # The only product is in use, so there is nothing to offer.
    assert made.empty


def test_a_customer_without_purchases_gets_what_is_popular(world: Fold) -> None:
    people = pd.DataFrame({"customer_id": [999], "region_code": ["south"]})
    stranger = history_of(people, pd.DataFrame(columns=COLUMNS), world.catalogue)
    made = recommend(stranger, learn(world.history, world.catalogue), world.catalogue, unjudged("too_few_customers"))

    assert made["method"].tolist() == ["popularity"] * 10
    best = np.argsort(-np.where(world.catalogue.sellable[1], world.catalogue.popularity[1], -1), kind="stable")[:10] + 1
    assert sorted(made["product_id"].tolist()) == sorted(best.tolist())
    assert set(made["reason_code"]) == {"popular"}


def test_nobody_who_bought_anything_is_no_exception() -> None:
    people = pd.DataFrame({"customer_id": [1, 2], "region_code": ["north", "north"]})
    for ids in (np.array([], dtype=np.uint64), np.array([3, 4], dtype=np.uint64)):
        nothing = Catalogue(ids, ("north",), np.zeros((1, len(ids)), dtype=bool), np.zeros((1, len(ids))))
        silent = history_of(people, pd.DataFrame(columns=COLUMNS), nothing)
        for choice in (unjudged("too_few_customers"), Choice("factorisation", "co_occurrence", "judged")):
            assert recommend(silent, learn(silent, nothing), nothing, choice).empty
