"""The search for a maximum: known answers, bounds, later starts, and what it says when there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.predictive.maximum_likelihood import NoMaximum, maximise


def normal(theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Minus the log likelihood per case of a mean 1.5 and a mean -2, with variances 4 and 1."""
    distance = (theta - np.array([1.5, -2.0])) / np.array([2.0, 1.0])
    return float(distance @ distance / 2), distance / np.array([2.0, 1.0])


def test_the_maximum_of_a_normal_likelihood_and_its_standard_errors_are_exact() -> None:
    found = maximise(normal, [np.zeros(2)], bound=10.0, count=100.0)

    assert found.converged
    assert found.theta == pytest.approx([1.5, -2.0], abs=1e-5)
    assert found.errors == pytest.approx([0.2, 0.1], rel=1e-5)
    assert found.log_likelihood == pytest.approx(0.0, abs=1e-6)


def test_a_parameter_at_its_bound_has_no_standard_error_and_the_others_keep_theirs() -> None:
    found = maximise(normal, [np.zeros(2)], bound=1.0, count=100.0)

    assert found.converged
    assert found.theta.tolist() == [1.0, -1.0]
    assert found.errors == [None, None]
    assert maximise(normal, [np.zeros(2)], bound=1.8, count=100.0).errors == [pytest.approx(0.2, rel=1e-5), None]


def test_a_later_start_is_used_where_an_earlier_one_leads_nowhere() -> None:
    def with_a_hole(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return (np.nan, np.full(2, np.nan)) if theta[0] > 5 else normal(theta)

    found = maximise(with_a_hole, [np.array([8.0, 0.0]), np.zeros(2)], bound=10.0, count=100.0)
    assert found.theta == pytest.approx([1.5, -2.0], abs=1e-5)
    with pytest.raises(NoMaximum, match="no finite maximum"):
        maximise(with_a_hole, [np.array([8.0, 0.0])], bound=10.0, count=100.0)


def test_a_parameter_that_does_not_matter_has_no_standard_error_and_leaves_the_others_theirs() -> None:
    def flat(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return float(theta[0] ** 2 / 2), np.array([theta[0], 0.0])

    assert maximise(flat, [np.ones(2)], bound=10.0, count=100.0).errors == [pytest.approx(0.1, rel=1e-5), None]
