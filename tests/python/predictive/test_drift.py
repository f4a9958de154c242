"""The stability index: its alarms without any change are as many as promised, and a change is seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from orchestration.predictive.drift import (
    bin_counts,
    bin_edges,
    category_counts,
    compare,
    holm,
    population_stability_index,
)

RUNS = 300
# With 300 runs at 5 % the number of alarms lies between these bounds in 998 of 1,000 cases.
LOW, HIGH = binom.ppf(0.001, RUNS, 0.05), binom.ppf(0.999, RUNS, 0.05)

Sample = Callable[[np.random.Generator, int], np.ndarray]
SAMPLES: dict[str, Sample] = {
    "amounts": lambda random, size: random.lognormal(5, 1.5, size),
    "mostly zero": lambda random, size: np.where(random.random(size) < 0.6, 0.0, random.exponential(1, size)),
    "counts, some unknown": lambda random, size: np.where(random.random(size) < 0.1, np.nan, random.poisson(3, size)),
}


def drifted(reference: np.ndarray, current: np.ndarray) -> bool:
    edges = bin_edges(reference)
    return compare(bin_counts(reference, edges), bin_counts(current, edges)).verdict == "drift"


@pytest.mark.parametrize("size", [100, 500, 2000])
@pytest.mark.parametrize("kind", SAMPLES)
def test_shuffled_data_give_five_percent_of_false_alarms(kind: str, size: int) -> None:
    random = np.random.default_rng(size)
    pool = SAMPLES[kind](random, 2 * size)

    alarms = 0
    for _ in range(RUNS):
        shuffled = random.permutation(pool)
        alarms += drifted(shuffled[:size], shuffled[size:])

    assert LOW <= alarms <= HIGH


def test_the_folk_limit_would_fire_at_random_in_small_samples() -> None:
    random = np.random.default_rng(4)
    indices = []
    for _ in range(RUNS):
        sample = random.normal(size=200)
        edges = bin_edges(sample[:100])
        indices.append(
            float(population_stability_index(bin_counts(sample[:100], edges), bin_counts(sample[100:], edges)))
        )

    assert np.mean(np.array(indices) > 0.10) > 0.5


def test_the_critical_value_follows_sample_sizes_and_bins_as_chi2_does() -> None:
    random = np.random.default_rng(6)
    for size, bins in ((100, 10), (500, 10), (2000, 10), (2000, 4)):
        found = compare(random.multinomial(size, [1 / bins] * bins), random.multinomial(size, [1 / bins] * bins))
        assert found.critical_value == pytest.approx(found.critical_value_chi2, rel=0.12)


@pytest.mark.parametrize(("size", "shift"), [(100, 0.8), (2000, 0.2)])
def test_a_shift_is_seen(size: int, shift: float) -> None:
    random = np.random.default_rng(7)
    seen = [drifted(random.normal(0, 1, size), random.normal(shift, 1, size)) for _ in range(60)]

    assert np.mean(seen) > 0.9


def test_the_index_of_known_shares() -> None:
    index = population_stability_index(np.array([5000, 5000]) - 0.5, np.array([6000, 4000]) - 0.5)

    assert float(index) == pytest.approx(0.1 * np.log(6 / 5) - 0.1 * np.log(4 / 5))


def test_equal_values_share_a_bin_and_unknown_ones_have_their_own() -> None:
    values = np.array([0.0] * 70 + list(range(1, 31)) + [np.nan] * 5)
    edges = bin_edges(values)

    assert edges == [0.0, 10.0, 20.0]
    assert bin_counts(values, edges).tolist() == [70, 10, 10, 10, 5]
    assert bin_edges(np.array([3.0] * 50))[1:] == [3.0] and bin_edges(np.array([np.nan])) == []
    assert category_counts(np.array(["a", "b", "a", "c"], dtype=object), ["a", "b"]).tolist() == [2, 1, 1]


def test_few_customers_or_one_bin_are_named_not_guessed() -> None:
    assert compare(np.array([20, 20]), np.array([500, 500])).verdict == "too_few"
    assert compare(np.array([200, 0]), np.array([300, 0])).verdict == "stable"


def test_the_comparison_is_the_same_every_time() -> None:
    counts = np.array([30, 40, 50]), np.array([50, 40, 30])

    assert compare(*counts) == compare(*counts)


def test_holm_is_strict_with_the_smallest_p_value() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.9, 0.9]) == [1.0, 1.0]


@pytest.mark.parametrize("now", [1.0, 9.0])
def test_what_was_the_same_for_all_and_is_not_any_more_has_drifted(now: float) -> None:
    reference, current = np.full(200, 5.0), np.where(np.arange(200) < 40, now, 5.0)

    assert drifted(reference, current)
    assert not drifted(reference, np.full(200, 5.0))
