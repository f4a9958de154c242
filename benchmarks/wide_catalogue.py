"""Recommendations of a catalogue of tens of thousands of products, without a warehouse: processor seconds, memory.

    python -m benchmarks.wide_catalogue [CUSTOMERS] [PRODUCTS] [PURCHASES]

By default the shape of Ta-Feng, a grocery data set: 32,266 customers, 24,000 products, and 700,000 pairs of a customer and a
product. Half of the purchases are of one of 150 tastes. The comparison uses 20,000 customers, the lists are made for all.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd

from orchestration.predictive.recommendation import Fold, choose, learn, recommend
from orchestration.predictive.recommendation_sources import Catalogue, history_of
from orchestration.predictive.store_recommendation import SAMPLE_CUSTOMERS

TA_FENG = 32_266, 24_000, 700_000
TASTES = 150
Result = TypeVar("Result")
LINES = ("lines_28d", "lines_90d", "lines_365d")


def main() -> None:
    """Make purchases, compare the methods, learn, recommend, print what each took."""
    asked = [int(value) for value in sys.argv[1:4]]
    customers, products, purchases = asked + list(TA_FENG[len(asked) :])
    folds = [_fold(seed, customers, products, purchases) for seed in (1, 2)]
    sampled = [_sample(fold) for fold in folds]
    made = _timed("comparison of five methods", lambda: choose(*sampled))
    model = _timed("model", lambda: learn(sampled[1].history, sampled[1].catalogue))
    lists = _timed("lists", lambda: recommend(folds[1].history, model, folds[1].catalogue, made[0]))
    print(f"{len(lists):,} rows by {made[0].list_method} and {made[0].new_method}; {model.together.nnz:,} near pairs")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def _timed(what: str, run: Callable[[], Result]) -> Result:
    started = time.process_time()
    result = run()
    print(f"{what}: {time.process_time() - started:.1f} s of processor", flush=True)
    return result


def _fold(seed: int, customers: int, products: int, purchases: int) -> Fold:
    random = np.random.default_rng(seed)
    likely = 1.0 / np.arange(1, products + 1) ** 0.85
    # Every TASTES-th product belongs to the same taste.
    drawn = random.choice(products, purchases, p=likely / likely.sum())
    customer = (random.beta(0.5, 2.5, purchases) * customers).astype(np.int64)
    is_taste = random.random(purchases) < 0.5
    product = np.where(is_taste, drawn - drawn % TASTES + customer % TASTES, drawn).clip(max=products - 1)
    pairs = pd.DataFrame({"customer_id": customer, "product_id": product + 1}).drop_duplicates(ignore_index=True)
    pairs["last_age"] = random.integers(0, 120, len(pairs))
    pairs["first_age"] = 120
    for name, youngest in zip(LINES, (0, 28, 90), strict=True):
        pairs[name] = (pairs["last_age"] >= youngest).astype(np.int64)
    known = pairs[random.random(len(pairs)) < 0.9]
    share = np.bincount(known["product_id"], minlength=products + 1)[1:] / customers
    catalogue = Catalogue(np.arange(1, products + 1, dtype=np.uint64), ("one",), share[None] > 0, share[None])
    people = pd.DataFrame({"customer_id": np.arange(customers), "region_code": "one"})
    after = pairs.drop(known.index)[["customer_id", "product_id"]]
    return Fold(catalogue, history_of(people, known, catalogue), after)


def _sample(fold: Fold) -> Fold:
    step = -(-len(fold.history.customer_ids) // SAMPLE_CUSTOMERS)
    return Fold(
        fold.catalogue,
        fold.history.of(np.arange(0, len(fold.history.customer_ids), step)),
        fold.bought_after,
    )


if __name__ == "__main__":
    main()
