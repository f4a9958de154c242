"""Business types are free text in many systems: thousands of them take room and time in proportion to the customers."""

from __future__ import annotations

import tracemalloc

import numpy as np

from orchestration.predictive import defection
from orchestration.predictive.grouping import positions_by_value
from orchestration.predictive.growth import seasonal_index
from orchestration.predictive.open_days import OpenDays
from orchestration.predictive.potential_parts import fit_bands, size_bands
from orchestration.predictive.spend_blocks import BLOCKS, SpendBlocks

TYPES = 500


class Compared(np.ndarray):
    """An array that counts how often it is compared as a whole."""

    times = 0

    def __eq__(self, other: object) -> np.ndarray:  # type: ignore[override]
        Compared.times += 1
        return super().__eq__(other)


def test_the_clock_of_thousands_of_small_types_takes_little_more_than_their_orders() -> None:
    random = np.random.default_rng(1)
    orders = random.poisson(1.0, (2_000, 365)).astype(float)
    large = random.poisson(60.0, (1, 365)).astype(float)
    tracemalloc.start()
    try:
        shares = OpenDays(np.concatenate([orders, large]), 0).shares
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()
    # A type that can be judged is judged as if it were alone; the others follow all customers.
    assert (shares[-1] == OpenDays(large, 0).shares[0]).all()
    assert (shares[:-1] == OpenDays(orders.sum(axis=0, keepdims=True) + large, 0).shares[0]).all()


def test_customers_are_not_compared_with_every_business_type_in_turn() -> None:
    random = np.random.default_rng(2)
    names = np.array([f"type {number % TYPES}" for number in range(50 * TYPES)], dtype=object)
    amount = random.gamma(2.0, 500.0, len(names))
    blocks = SpendBlocks(
        customer_id=np.arange(len(names), dtype=np.uint64),
        business_type=names.view(Compared),
        net=random.gamma(2.0, 50.0, (len(names), BLOCKS)),
        orders=np.ones((len(names), BLOCKS)),
        days_since_first_order=np.full(len(names), 400),
        days_since_last_order=np.zeros(len(names), dtype=np.int64),
    )
    Compared.times = 0
    bands = fit_bands(blocks.business_type, amount)
    found = size_bands(blocks.business_type, amount, bands)
    index = seasonal_index(np.log(blocks.net), blocks)
    kind = (np.arange(len(names)) % TYPES).view(Compared)
    season = defection._season(kind, np.ones(len(names), dtype=bool), amount, amount[::-1])
    assert Compared.times < 10

    own = np.arange(7, len(names), TYPES)
    assert bands is not None and len(bands["types"]) == TYPES
    assert bands["types"]["type 7"] == [float(f"{bound:.6g}") for bound in np.quantile(amount[own], [0.25, 0.5, 0.75])]
    assert found[own].tolist() == [1 + sum(bound <= one for bound in bands["types"]["type 7"]) for one in amount[own]]
    logs = np.log(blocks.net[own])
    assert (index[own] == np.median(logs - logs.mean(axis=1, keepdims=True), axis=0)).all()
    assert (season[own] == np.median(amount[own] / amount[::-1][own])).all()


def test_positions_are_found_for_every_value_in_ascending_order() -> None:
    found = [
        (value, places.tolist()) for value, places in positions_by_value(np.array(["b", "a", "b", "乙"], dtype=object))
    ]
    assert found == [("a", [1]), ("b", [0, 2]), ("乙", [3])]
    assert list(positions_by_value(np.array([], dtype=object))) == []
