"""Gamma-Gamma against integrals, simulated customers, and what it does with losses and unknown means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma as gamma_distribution

from orchestration.predictive.order_value import (
    ValueModel,
    _Likelihood,
    expected_value,
    fit_value_model,
    log_likelihood,
)

MODEL = ValueModel(3.0, 4.0, 60.0, {}, 0.0, 0, 0.0, None, True)


def simulated_means(count: int, p: float, q: float, gamma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    orders = 1.0 + random.poisson(random.gamma(1.0, 4.0, count))
    rate = random.gamma(q, 1.0 / gamma, count)
    return orders, random.gamma(p * orders, 1.0 / rate) / orders


@pytest.mark.parametrize(("orders", "mean"), [(1, 5.0), (3, 40.0), (12, 21.0)])
def test_likelihood_and_expectation_are_integrals_over_the_rates_of_customers(orders: int, mean: float) -> None:
    rates = gamma_distribution(MODEL.q, scale=1 / MODEL.gamma)

    def density(rate: float) -> float:
        return rates.pdf(rate) * gamma_distribution(MODEL.p * orders, scale=1 / (rate * orders)).pdf(mean)

    whole = quad(density, 0, 2, epsrel=1e-10)[0]
    worth = quad(lambda rate: density(rate) * MODEL.p / rate, 0, 2, epsrel=1e-10)[0] / whole
    one = np.array([float(orders)]), np.array([mean])

    assert log_likelihood(MODEL, *one) == pytest.approx(np.log(whole), rel=1e-7)
    assert expected_value(MODEL, *one)[0] == pytest.approx(worth, rel=1e-7)


def test_the_gradient_is_the_slope_of_the_likelihood() -> None:
    likelihood = _Likelihood(*simulated_means(50, 3.0, 4.0, 60.0, seed=1))
    theta = np.log([2.0, 2.5, 40.0])
    slope = [
        (likelihood.value_and_gradient(theta + step)[0] - likelihood.value_and_gradient(theta - step)[0]) / 2e-5
        for step in np.eye(3) * 1e-5
    ]
    np.testing.assert_allclose(likelihood.value_and_gradient(theta)[1], slope, rtol=1e-6)


def test_simulated_customers_give_back_their_parameters_within_two_standard_errors() -> None:
    truth = {"p": 3.0, "q": 4.0, "gamma": 60.0}
    distances = []
    for seed in range(16):
        model = fit_value_model(*simulated_means(1500, **truth, seed=seed))
        assert model.converged
        for name, true in truth.items():
            value, error = getattr(model, name), model.errors[name]
            # q is fitted as q - 1.
            shift = 1.0 if name == "q" else 0.0
            distances.append(np.log((value - shift) / (true - shift)) / (error / (value - shift)))
    assert np.mean(np.abs(distances) < 2) >= 0.85
    assert 0.6 < np.sqrt(np.mean(np.square(distances))) < 1.5


def test_losses_and_unknown_means_are_left_out_of_the_fit_and_counted() -> None:
    orders, mean = simulated_means(400, 3.0, 4.0, 60.0, seed=2)
    bad = np.array([-20.0, 0.0, np.nan, 15.0])
    model = fit_value_model(np.append(orders, [5, 5, 5, 0]), np.append(mean, bad))

    assert model.customer_count == 400
    assert model.excluded_share == pytest.approx(4 / 404)
    assert (model.p, model.q, model.gamma) == pytest.approx(
        tuple(getattr(fit_value_model(orders, mean), name) for name in ("p", "q", "gamma"))
    )


def test_a_loss_stays_a_loss_drawn_towards_the_mean_of_all_by_as_much_as_a_gain() -> None:
    orders = np.array([1.0, 20.0, 20.0, 3.0, 0.0])
    mean = np.array([-50.0, -50.0, 0.0, np.nan, 7.0])
    expected = expected_value(MODEL, orders, mean)

    assert MODEL.mean == 60.0
    assert expected[1] < expected[0]
    assert expected[1] == pytest.approx((60 * -50 + 3 * 60) / 63)
    assert 0 < expected[2] < MODEL.mean
    assert expected[3] == expected[4] == MODEL.mean


def test_the_scale_of_money_and_the_order_of_the_customers_do_not_matter() -> None:
    orders, mean = simulated_means(800, 3.0, 4.0, 60.0, seed=3)
    model, in_fen = fit_value_model(orders, mean), fit_value_model(orders, mean * 1e6)
    turned = fit_value_model(orders[::-1], mean[::-1])

    assert turned == model
    assert in_fen.p == pytest.approx(model.p, rel=1e-3)
    assert in_fen.gamma == pytest.approx(model.gamma * 1e6, rel=1e-3)


def test_without_a_positive_mean_there_is_nothing_to_fit() -> None:
    with pytest.raises(ValueError, match="no customer has a positive mean"):
        fit_value_model(np.array([1.0, 2.0]), np.array([-1.0, np.nan]))
