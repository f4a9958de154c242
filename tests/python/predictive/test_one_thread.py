"""Sums come out the same on any number of threads, and a row's product whoever else is in the block."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from orchestration.predictive.one_thread import in_one_thread, row_by_row_product


@pytest.mark.parametrize("count", [1, 5, 191, 192, 193, 1000])
def test_a_row_of_a_product_is_the_same_in_any_block(count: int) -> None:
    random = np.random.default_rng(count)
    left = random.normal(size=(count, 32)).astype(np.float32)
    right = random.normal(size=(32, 501)).astype(np.float32)
    whole = row_by_row_product(left, right)
    np.testing.assert_allclose(whole, left.astype(np.float64) @ right, atol=1e-4)
    for start, end in ((0, 1), (count // 3, count), (count - 1, count)):
        np.testing.assert_array_equal(row_by_row_product(left[start:end], right), whole[start:end])


def test_a_product_without_rows_has_none() -> None:
    assert row_by_row_product(np.empty((0, 4), np.float32), np.ones((4, 3), np.float32)).shape == (0, 3)


def test_linear_algebra_runs_in_one_thread_and_in_as_many_as_before_afterwards() -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info()}

    with threadpool_limits(2):
        assert in_one_thread()(threads)() == {1}
        assert threads() == {2}
