"""The models of orders against slow second computations, simulated customers, and the corners of the numbers."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import hyp2f1
from scipy.stats import beta, gamma
from simulated_bases import simulate_base

from orchestration.predictive.order_process import (
    Histories,
    OrderModel,
    _Likelihood,
    beta_nodes,
    discounted_orders,
    expected_orders,
    fit_order_model,
    group_histories,
    log_likelihood,
    probability_alive,
    probability_no_order,
)

KINDS = [(False, 1), (True, 1), (False, 2), (True, 3), (True, 4)]


def model_of(stops_at_start: bool, k: int, r: float, alpha: float, a: float, b: float) -> OrderModel:
    return OrderModel(stops_at_start, k, r, alpha, a, b, {}, 0.0, 0, 0, True)


def histories_of(*rows: tuple[float, float, float]) -> Histories:
    return group_histories(*np.array(rows, dtype=np.float64).T)[0]


SOME = histories_of((0, 0, 10), (0, 0, 300), (1, 5, 300), (2, 100, 110), (6, 290, 300), (25, 60, 61))


def by_integration(model: OrderModel, x: float, t_x: float, T: float) -> tuple[float, float]:
    """Likelihood of one history, and the part of it in which the customer still orders: rates and chances integrated out."""
    k, d = model.k, int(model.stops_at_start)
    elapsed = T - t_x
    rates, chances = gamma(model.r, scale=1.0 / model.alpha), beta(model.a, model.b)
    high = rates.ppf(1 - 1e-13) * (1 + x)

    def over_rates(function):
        pieces = [0.0, high / 1e4, high / 100, high / 10, high]
        return sum(quad(lambda v: function(v) * rates.pdf(v), *ends, epsrel=1e-11)[0] for ends in pairwise(pieces))

    waits = over_rates(
        lambda v: (
            v ** (k * x) * np.exp(-v * T) * sum((v * elapsed) ** j / float(np.prod(range(1, j + 1))) for j in range(k))
        )
    )
    over = over_rates(lambda v: v ** (k * x) * np.exp(-v * t_x))
    alive = waits * quad(lambda p: (1 - p) ** (x + d) * chances.pdf(p), 0, 1, epsrel=1e-11)[0]
    stopped = 0.0
    if x + d > 0:
        stopped = over * quad(lambda p: p * (1 - p) ** (x + d - 1) * chances.pdf(p), 0, 1, epsrel=1e-11)[0]
    return alive + stopped, alive


@pytest.mark.parametrize(("stops_at_start", "k"), KINDS)
@pytest.mark.parametrize("history", [(0.0, 0.0, 7.0), (1.0, 2.0, 9.0), (3.0, 6.0, 6.5)])
def test_likelihood_and_probability_alive_are_the_integrals_over_rates_and_chances(
    stops_at_start: bool, k: int, history: tuple[float, float, float]
) -> None:
    model = model_of(stops_at_start, k, 1.3, 4.0, 1.2, 2.5)
    whole, alive = by_integration(model, *history)
    one = histories_of(history)

    assert log_likelihood(model, one) == pytest.approx(np.log(whole), rel=1e-6)
    assert probability_alive(model, one)[0] == pytest.approx(alive / whole, rel=1e-6)


def by_simulation(model: OrderModel, x: float, t_x: float, T: float, ahead: float, count: int = 400_000):
    """Orders in (T, T + ahead] of customers drawn from the base, weighted by how well the history fits them."""
    random = np.random.default_rng(11)
    k, d, elapsed = model.k, int(model.stops_at_start), T - t_x
    rate, stop = random.gamma(model.r, 1 / model.alpha, count), random.beta(model.a, model.b, count)
    events = np.array([(rate * elapsed) ** j / float(np.prod(range(1, j + 1))) for j in range(k)])
    alive = rate ** (k * x) * np.exp(-rate * T) * events.sum(axis=0) * (1 - stop) ** (x + d)
    stopped = rate ** (k * x) * np.exp(-rate * t_x) * stop * (1 - stop) ** (x + d - 1) if x + d > 0 else np.zeros(count)
    # How many events of the current gap are past, then orders one by one.
    past = (random.random(count) * events.sum(axis=0) > np.cumsum(events, axis=0)).sum(axis=0)
    now, orders = np.zeros(count), np.zeros(count)
    ordering, missing = np.arange(count), k - past
    while len(ordering):
        now[ordering] += random.gamma(missing[ordering], 1 / rate[ordering])
        ordering = ordering[now[ordering] <= ahead]
        orders[ordering] += 1
        missing[ordering] = k
        ordering = ordering[random.random(len(ordering)) >= stop[ordering]]
    weight = (alive + stopped) / (alive + stopped).sum()
    chance = alive / (alive + stopped)

    def mean_and_error(values: np.ndarray) -> tuple[float, float]:
        mean = (weight * values).sum()
        return mean, float(np.sqrt((weight**2 * (values - mean) ** 2).sum()))

    return mean_and_error(chance * orders), mean_and_error(1 - chance * (orders > 0))


@pytest.mark.parametrize(("stops_at_start", "k"), KINDS)
@pytest.mark.parametrize("history", [(0.0, 0.0, 20.0), (2.0, 15.0, 20.0)])
def test_forecasts_agree_with_simulated_futures(
    stops_at_start: bool, k: int, history: tuple[float, float, float]
) -> None:
    model = model_of(stops_at_start, k, 1.1, 6.0, 0.8, 3.0)
    (orders, orders_error), (no_order, no_order_error) = by_simulation(model, *history, ahead=30.0)
    one = histories_of(history)

    assert abs(expected_orders(model, one, [30.0])[0, 0] - orders) < 4 * orders_error
    assert abs(probability_no_order(model, one, 30.0)[0] - no_order) < 4 * no_order_error
    assert orders_error < 0.03 * orders


def test_expected_orders_agree_with_the_textbook_form() -> None:
    model = model_of(False, 1, 0.24, 4.41, 0.79, 2.43)
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    for ahead in (1.0, 39.0, 400.0):
        z = ahead / (alpha + SOME.T + ahead)
        series = hyp2f1(r + SOME.x, b + SOME.x, a + b + SOME.x - 1, z)
        textbook = (
            (a + b + SOME.x - 1) / (a - 1) * (1 - (1 - z) ** (r + SOME.x) * series) * probability_alive(model, SOME)
        )
        np.testing.assert_allclose(expected_orders(model, SOME, [ahead])[:, 0], textbook, rtol=1e-5)


def test_expected_orders_have_no_gap_at_a_equal_to_one() -> None:
    near = [expected_orders(model_of(True, 1, 0.8, 8.0, a, 3.0), SOME, [365.0]) for a in (1 - 1e-9, 1.0, 1 + 1e-9)]
    np.testing.assert_allclose(near[0], near[1], rtol=1e-7)
    np.testing.assert_allclose(near[2], near[1], rtol=1e-7)


def test_discounted_orders_add_up_what_each_day_brings_and_need_no_rate() -> None:
    for model in (model_of(True, 1, 0.8, 8.0, 0.8, 3.0), model_of(True, 3, 0.8, 3.0, 0.8, 3.0)):
        days = np.arange(0, 1096.0)
        expected = np.diff(expected_orders(model, SOME, days[1:].tolist()), axis=1, prepend=0.0)
        rate = np.log(1.1) / 365
        by_day = (expected * np.exp(-rate * (days[:-1] + 0.5))).sum(axis=1)
        np.testing.assert_allclose(discounted_orders(model, SOME, 1095.0, rate), by_day, rtol=1e-3)
        np.testing.assert_allclose(
            discounted_orders(model, SOME, 1095.0, 0.0), expected_orders(model, SOME, [1095.0])[:, 0], rtol=1e-12
        )


@pytest.mark.parametrize(("stops_at_start", "k"), KINDS)
def test_the_gradient_is_the_slope_of_the_likelihood(stops_at_start: bool, k: int) -> None:
    likelihood = _Likelihood(SOME, stops_at_start, k)
    theta = np.log([0.7, 5.0, 0.6, 2.2])
    slope = [
        (likelihood.value_and_gradient(theta + step)[0] - likelihood.value_and_gradient(theta - step)[0]) / 2e-5
        for step in np.eye(4) * 1e-5
    ]
    np.testing.assert_allclose(likelihood.value_and_gradient(theta)[1], slope, rtol=1e-6)


@pytest.mark.parametrize(
    ("stops_at_start", "k", "truth"),
    [(False, 1, (0.8, 10.0, 0.8, 4.0)), (True, 1, (0.8, 10.0, 0.8, 4.0)), (True, 3, (0.9, 4.0, 1.2, 6.0))],
)
def test_simulated_bases_give_back_their_parameters_within_two_standard_errors(
    stops_at_start: bool, k: int, truth: tuple[float, ...]
) -> None:
    """On many small bases, so that no lucky seed decides: distances in standard errors must spread as a normal's do."""
    distances = []
    for seed in range(12):
        base = simulate_base(1500, *truth, seed=seed, stops_at_start=stops_at_start, k=k)
        model = fit_order_model(group_histories(base.x, base.t_x, base.T)[0], stops_at_start, k)
        assert model.converged
        fitted = (model.r, model.alpha, model.a, model.b)
        # Logarithms of positive parameters are nearer to normal than the parameters.
        for name, value, true in zip(model.errors, fitted, truth, strict=True):
            distances.append(np.log(value / true) / (model.errors[name] / value))
    inside = np.mean(np.abs(distances) < 2)
    assert inside >= 0.85
    assert 0.6 < np.sqrt(np.mean(np.square(distances))) < 1.5
    assert abs(np.mean(distances)) < 0.6


@pytest.mark.parametrize(("stops_at_start", "k"), [(True, 1), (True, 3)])
def test_forecasts_of_a_large_simulated_base_are_calibrated(stops_at_start: bool, k: int) -> None:
    truth = (0.9, 4.0, 1.2, 6.0)
    base = simulate_base(60_000, *truth, seed=5, stops_at_start=stops_at_start, k=k, ahead=100.0)
    model = model_of(stops_at_start, k, *truth)
    histories, place = group_histories(base.x, base.t_x, base.T)
    alive = probability_alive(model, histories)[place]
    expected = expected_orders(model, histories, [100.0])[place, 0]
    quiet = probability_no_order(model, histories, 100.0)[place]
    tenth = np.argsort(np.argsort(alive, kind="stable")) * 10 // len(alive)
    for part in range(10):
        rows = tenth == part
        count = rows.sum()
        for forecast, actual in (
            (alive, base.is_alive.astype(float)),
            (expected, base.orders_ahead),
            (quiet, (base.orders_ahead == 0).astype(float)),
        ):
            error = max(actual[rows].std() / np.sqrt(count), 1e-3)
            assert abs(forecast[rows].mean() - actual[rows].mean()) < 4 * error


def test_a_history_that_nobody_forecast_with_poisson_gaps_is_told_apart_by_k() -> None:
    """Ten orders a week apart, then three weeks of silence: a clockwork buyer is gone, a random one need not be."""
    silent = histories_of((10, 70, 91))
    random_buyer = probability_alive(model_of(True, 1, 1.0, 7.0, 1.0, 9.0), silent)[0]
    clockwork = probability_alive(model_of(True, 4, 4.0, 7.0, 1.0, 9.0), silent)[0]
    assert clockwork < 0.2 < 0.5 < random_buyer


@pytest.mark.parametrize(("stops_at_start", "k"), KINDS)
def test_hundreds_of_orders_and_extreme_parameters_stay_finite_and_in_bounds(stops_at_start: bool, k: int) -> None:
    heavy = histories_of(
        (0, 0, 1), (1, 1, 1), (364, 364, 364), (700, 365, 1000), (2000, 2000, 2000), (3000, 2900, 3650)
    )
    for parameters in (
        (0.05, 0.5, 0.05, 0.5),
        (5.0, 3.0, 0.02, 50.0),
        (30.0, 20.0, 0.5, 400.0),
        (0.3, 300.0, 20.0, 2.0),
    ):
        model = model_of(stops_at_start, k, *parameters)
        value, gradient = _Likelihood(heavy, stops_at_start, k).value_and_gradient(np.log(parameters))
        assert np.isfinite(value) and np.isfinite(gradient).all()
        for chance in (probability_alive(model, heavy), probability_no_order(model, heavy, 30.0)):
            assert ((chance >= 0) & (chance <= 1)).all()
        orders = expected_orders(model, heavy, [30.0, 365.0, 1095.0])
        assert (orders >= 0).all() and (np.diff(orders, axis=1) >= -1e-9).all()


def test_a_base_of_daily_buyers_converges() -> None:
    """Mean of 170 orders a customer: where others overflow or do not converge."""
    base = simulate_base(2000, 6.0, 12.0, 0.5, 300.0, seed=3)
    assert base.x.mean() > 120
    model = fit_order_model(group_histories(base.x, base.t_x, base.T)[0], True)
    assert model.converged
    assert model.r / model.alpha == pytest.approx(0.5, rel=0.1)


def test_a_base_in_which_nobody_stops_ends_at_a_bound_and_says_so() -> None:
    random = np.random.default_rng(4)
    T = np.full(500, 300.0)
    x = random.poisson(random.gamma(2.0, 0.05, 500) * T).astype(float) + 1
    model = fit_order_model(group_histories(x, T - 1e-3, T)[0], stops_at_start=False)

    assert model.a / (model.a + model.b) < 1e-3
    assert model.errors["a"] is None or model.errors["a"] > model.a
    assert 0 < model.errors["r"] < model.r and 0 < model.errors["alpha"] < model.alpha


def test_neither_the_order_of_the_customers_nor_the_company_of_others_moves_a_number() -> None:
    base = simulate_base(3000, 0.8, 10.0, 0.8, 4.0, seed=9, k=2)
    x, t_x, T = base.x, np.ceil(base.t_x), np.ceil(base.T)
    shuffled = np.random.default_rng(1).permutation(len(x))
    histories, place = group_histories(x, t_x, T)
    again, again_place = group_histories(x[shuffled], t_x[shuffled], T[shuffled])
    model = fit_order_model(histories, True, 2)

    assert fit_order_model(again, True, 2) == model
    alone = shuffled[:50]
    few, few_place = group_histories(x[alone], t_x[alone], T[alone])
    for forecast in (
        lambda h: probability_alive(model, h),
        lambda h: probability_no_order(model, h, 30.0),
        lambda h: expected_orders(model, h, [365.0])[:, 0],
        lambda h: discounted_orders(model, h, 1095.0, 0.0003),
    ):
        everyone = forecast(histories)[place]
        np.testing.assert_array_equal(forecast(again)[again_place], everyone[shuffled])
        np.testing.assert_array_equal(forecast(few)[few_place], everyone[alone])


@pytest.mark.parametrize(
    "history", [(-1, 0, 5), (0.5, 1, 5), (1, 6, 5), (0, 1, 5), (1, 0, 5), (1, np.nan, 5), (1, 1, np.inf)]
)
def test_an_impossible_history_is_named(history: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="no history of a customer: x = "):
        histories_of((1, 2, 3), history)


def test_the_nodes_of_a_beta_give_its_moments() -> None:
    shapes = ((0.05, 0.5), (1.0, 1.0), (0.4, 0.6), (0.8, 300.0), (20.0, 3.0), (0.8, 9000.0))
    for (a, b), count in product(shapes, (24, 192)):
        p, weight = beta_nodes(a, b, count)
        moment = 1.0
        for power in range(6):
            assert (weight * p**power).sum() == pytest.approx(moment, rel=1e-8)
            moment *= (a + power) / (a + b + power)
