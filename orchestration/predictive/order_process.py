"""When customers order and when they stop: BG/NBD, MBG/NBD and their regular variants, by maximum likelihood.

A customer orders at a rate that is Gamma(r, alpha) distributed over customers and stops after an order with a probability that is
Beta(a, b) distributed. BG/NBD (Fader, Hardie, Lee 2005): nobody stops before the first repeat order. MBG/NBD (Batislam et al.
2007): one may stop after the very first order too. Regular variants BG/CNBD-k and MBG/CNBD-k (Reutterer, Platzer, Schröder 2020):
gaps are Erlang-k, that is a customer waits for k events of the rate before each order; k = 1 is the Poisson case.

x: number of orders after the first; t_x: time from the first to the last order; T: time from the first order to now, in one
unit of time, which is then the unit of alpha and of all horizons. Formulas: docs/definitions.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import betaln, digamma, expit, gammaln

Array = np.ndarray

PARAMETERS = ("r", "alpha", "a", "b")
# Nodes of the integral over the probability to stop, fewest and most, and rows that are worked on at a time.
_FEWEST_NODES, _MOST_NODES = 24, 192
_CHUNK = 1 << 12
# Bounds of the logarithms of the parameters: a parameter that reaches one is not told apart from 0 or infinity by the data.
_BOUND = 14.0


@dataclass(frozen=True)
class Histories:
    """Distinct histories, sorted, and how many customers have each: all that the likelihood needs."""

    x: Array
    t_x: Array
    T: Array
    count: Array

    @property
    def customer_count(self) -> int:
        return int(self.count.sum())


@dataclass(frozen=True)
class OrderModel:
    """A fitted model. errors: standard errors by parameter, None where the data do not identify one (also: at a bound).

    log_likelihood leaves out what depends on k and the gaps alone, so it compares models of one k only.
    """

    stops_at_start: bool
    k: int
    r: float
    alpha: float
    a: float
    b: float
    errors: dict[str, float | None]
    log_likelihood: float
    customer_count: int
    history_count: int
    converged: bool

    @property
    def name(self) -> str:
        return model_name(self.stops_at_start, self.k)

    def to_parameters(self) -> dict[str, Any]:
        """As an artifact holds it."""
        return asdict(self)


def model_name(stops_at_start: bool, k: int) -> str:
    """bg_nbd, mbg_nbd, or with Erlang gaps bg_cnbd_2, mbg_cnbd_3 ..."""
    kind = "mbg" if stops_at_start else "bg"
    return f"{kind}_nbd" if k == 1 else f"{kind}_cnbd_{k}"


def group_histories(x: Array, t_x: Array, T: Array) -> tuple[Histories, Array]:
    """Distinct histories of customers, and for every customer the place of its own.

    Raises ValueError for histories that cannot be: negative or missing numbers, t_x after T, x = 0 with t_x > 0 or the reverse.
    """
    x, t_x, T = (np.asarray(values, dtype=np.float64) for values in (x, t_x, T))
    is_valid = (x >= 0) & (x == np.floor(x)) & (t_x >= 0) & (t_x <= T) & ((x == 0) == (t_x == 0)) & np.isfinite(T)
    if not is_valid.all():
        row = int(np.argmin(is_valid))
        raise ValueError(f"no history of a customer: x = {x[row]:g}, t_x = {t_x[row]:g}, T = {T[row]:g}")
    order = np.lexsort((T, t_x, x))
    x, t_x, T = x[order], t_x[order], T[order]
    is_new = np.ones(len(x), dtype=bool)
    is_new[1:] = (x[1:] != x[:-1]) | (t_x[1:] != t_x[:-1]) | (T[1:] != T[:-1])
    first = np.flatnonzero(is_new)
    place = np.empty(len(x), dtype=np.int64)
    place[order] = np.cumsum(is_new) - 1
    count = np.diff(np.append(first, len(x)))
    return Histories(x[first], t_x[first], T[first], count.astype(np.float64)), place


class _Likelihood:
    """Log likelihood of grouped histories and its gradient, in the logarithms of r, alpha, a and b.

    With d = 1 where one may stop at the start, else 0, and s = r + k x, the likelihood of one history is
        alpha^r G(s) / G(r) * B(a, b + x + d) / B(a, b) * (alpha + T)^-s * [S + R]
    S = sum over j < k of (s)_j / j! * u^j with u = (T - t_x) / (alpha + T): still ordering, j events into the next gap.
    R = a / (b + x + d - 1) * ((alpha + T) / (alpha + t_x))^s: stopped after the last order; 0 where x + d = 0.
    Sums run over sorted rows by numpy alone, so they do not depend on threads or on the order of the customers.
    """

    def __init__(self, histories: Histories, stops_at_start: bool, k: int) -> None:
        self.histories, self.k = histories, k
        self.d = 1.0 if stops_at_start else 0.0
        # What depends on x alone is computed once per distinct x.
        self.distinct_x, self.place = np.unique(histories.x, return_inverse=True)
        self.count_by_x = np.bincount(self.place, weights=histories.count)
        self.total = float(histories.count.sum())
        self.elapsed = histories.T - histories.t_x

    def log_parts(self, r: float, alpha: float, a: float, b: float) -> tuple[Array, Array, Array, Array]:
        """log S, log R, d S / d r and the mean of j under S, by history."""
        s = r + self.k * self.histories.x
        end = alpha + self.histories.T
        u = self.elapsed / end
        term = np.ones_like(s)
        total, slope, weighted = term.copy(), np.zeros_like(s), np.zeros_like(s)
        change = np.zeros_like(s)
        for j in range(1, self.k):
            change = (change * (s + j - 1) + term) * u / j
            term = term * (s + j - 1) * u / j
            total += term
            slope += change
            weighted += j * term
        chance = self.distinct_x + self.d
        with np.errstate(divide="ignore", invalid="ignore"):
            log_odds = np.where(chance > 0, np.log(a) - np.log(b + chance - 1), -np.inf)
        log_r = log_odds[self.place] + s * np.log1p(self.elapsed / (alpha + self.histories.t_x))
        return np.log(total), log_r, slope / total, weighted / total

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Mean of minus the log likelihood over customers, and its gradient."""
        r, alpha, a, b = np.exp(theta)
        h, k, d, count = self.histories, self.k, self.d, self.histories.count
        log_s, log_r, slope_r, mean_j = self.log_parts(r, alpha, a, b)
        alive = expit(log_s - log_r)
        log_sum = np.where(log_s > log_r, log_s, log_r) + np.log1p(np.exp(-np.abs(log_s - log_r)))
        s, end = r + k * h.x, alpha + h.T
        log_end = np.log(end)
        gap = np.log1p(self.elapsed / (alpha + h.t_x))

        by_x = self.count_by_x
        s_x, x_d = r + k * self.distinct_x, self.distinct_x + d
        fixed = self.total * (r * np.log(alpha) - gammaln(r) - betaln(a, b))
        of_x = np.sum(by_x * (gammaln(s_x) + betaln(a, b + x_d)))
        value = fixed + of_x + np.sum(count * (log_sum - s * log_end))

        stopped = count * (1.0 - alive)
        stopped_by_x = np.bincount(self.place, weights=stopped, minlength=len(by_x))
        d_r = self.total * (np.log(alpha) - digamma(r)) + np.sum(by_x * digamma(s_x))
        d_r += np.sum(count * (alive * slope_r - log_end)) + np.sum(stopped * gap)
        d_alpha = self.total * r / alpha - np.sum(count * (s + alive * mean_j) / end)
        d_alpha -= np.sum(stopped * s * self.elapsed / (end * (alpha + h.t_x)))
        d_a = self.total * digamma(a + b) - np.sum(by_x * digamma(a + b + x_d)) + np.sum(stopped_by_x) / a
        d_b = self.total * (digamma(a + b) - digamma(b)) + np.sum(by_x * (digamma(b + x_d) - digamma(a + b + x_d)))
        with np.errstate(divide="ignore", invalid="ignore"):
            d_b -= np.sum(np.where(x_d > 0, stopped_by_x / (b + x_d - 1), 0.0))
        gradient = np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])
        return -value / self.total, -gradient / self.total


def fit_order_model(histories: Histories, stops_at_start: bool, k: int = 1) -> OrderModel:
    """Maximum likelihood by a quasi-Newton method on the logarithms of the parameters, with standard errors.

    The standard errors are those of the logarithms, from the second derivatives there, times the parameter (delta method).
    """
    from orchestration.predictive.maximum_likelihood import maximise

    likelihood = _Likelihood(histories, stops_at_start, k)
    orders = float(np.sum(histories.count * histories.x))
    rate = k * max(orders, 1.0) / max(float(np.sum(histories.count * histories.T)), 1e-9)
    starts = [np.log([r, r / rate, a, b]) for r, a, b in ((0.7, 0.7, 2.0), (2.0, 0.3, 6.0))]
    found = maximise(likelihood.value_and_gradient, starts, _BOUND, likelihood.total)
    r, alpha, a, b = (float(value) for value in np.exp(found.theta))
    errors = {
        name: None if error is None else error * value
        for name, error, value in zip(PARAMETERS, found.errors, (r, alpha, a, b), strict=True)
    }
    return OrderModel(
        stops_at_start=stops_at_start,
        k=k,
        r=r,
        alpha=alpha,
        a=a,
        b=b,
        errors=errors,
        log_likelihood=found.log_likelihood,
        customer_count=histories.customer_count,
        history_count=len(histories.x),
        converged=found.converged,
    )


def log_likelihood(model: OrderModel, histories: Histories) -> float:
    """Log likelihood of the histories under the model's parameters; see `OrderModel` on what it leaves out."""
    theta = np.log([model.r, model.alpha, model.a, model.b])
    likelihood = _Likelihood(histories, model.stops_at_start, model.k)
    return -likelihood.value_and_gradient(theta)[0] * likelihood.total


def probability_alive(model: OrderModel, histories: Histories) -> Array:
    """Probability that a customer has not stopped by T."""
    likelihood = _Likelihood(histories, model.stops_at_start, model.k)
    log_s, log_r, _, _ = likelihood.log_parts(model.r, model.alpha, model.a, model.b)
    return expit(log_s - log_r)


def probability_no_order(model: OrderModel, histories: Histories, days: float) -> Array:
    """Probability that no order comes in (T, T + days], be it that the customer stopped or that the gap lasts on."""
    s = model.r + model.k * histories.x
    end, later = model.alpha + histories.T, model.alpha + histories.T + days
    elapsed = histories.T - histories.t_x
    # Given that the customer orders on: fewer than k events in all of the gap, over fewer than k events so far.
    so_far, in_all = np.ones_like(s), np.ones_like(s)
    term_so_far, term_in_all = np.ones_like(s), np.ones_like(s)
    for j in range(1, model.k):
        term_so_far = term_so_far * (s + j - 1) * elapsed / end / j
        term_in_all = term_in_all * (s + j - 1) * (elapsed + days) / later / j
        so_far += term_so_far
        in_all += term_in_all
    gap_lasts = np.exp(s * np.log(end / later)) * in_all / so_far
    return 1.0 - probability_alive(model, histories) * (1.0 - gap_lasts)


def expected_orders(model: OrderModel, histories: Histories, horizons: list[float]) -> Array:
    """Expected number of orders in (T, T + t] for each t of `horizons`: an array of histories x horizons.

    Given the probability p to stop, the orders of a customer who still orders add up to (1 - E[(1 - p)^M]) / p, where M is
    how many there would be without stopping. That has a closed form, and p is Beta(a, b + x + d): Gauss-Jacobi nodes,
    the same for all customers of one x. It is exact for any a > 0, where the textbook form with 2F1 breaks down at a = 1.
    """
    alive = probability_alive(model, histories)
    result = np.empty((len(histories.x), len(horizons)))
    d = 1.0 if model.stops_at_start else 0.0
    for rows in _chunks_of_one_x(histories.x):
        x = float(histories.x[rows.start])
        s, end = model.r + model.k * x, model.alpha + histories.T[rows]
        elapsed = (histories.T[rows] - histories.t_x[rows]) / end
        for column, horizon in enumerate(horizons):
            expected = result[rows, column]
            for count, chosen in _by_node_count(s * horizon / end / (model.k * (model.b + x + d))):
                p, weight = beta_nodes(model.a, model.b + x + d, count)
                ahead = (horizon / end)[chosen]
                if model.k == 1:
                    lasting = -np.expm1(-s * np.log1p(p[None, :] * ahead[:, None]))
                else:
                    lasting = 1.0 - _expected_power(model.k, s, elapsed[chosen], ahead, p)
                expected[chosen] = np.sum(weight * lasting / p, axis=1)
            expected *= alive[rows]
    return result


def discounted_orders(model: OrderModel, histories: Histories, horizon: float, rate: float) -> Array:
    """Expected orders in (T, T + horizon], each worth exp(-rate * its distance from T); rate per unit of time.

    By parts: the integral of exp(-rate s) dE(s) = exp(-rate h) E(h) + rate * integral of exp(-rate s) E(s) ds, the last by three
    Gauss-Legendre nodes in the root of s, since E rises steeply at first and is smooth then: within 0.05 %.
    """
    node, weight = np.polynomial.legendre.leggauss(3)
    root = (node + 1.0) / 2.0
    times = horizon * root * root
    expected = expected_orders(model, histories, [*times.tolist(), horizon])
    inner = np.sum(expected[:, :-1] * (weight * np.exp(-rate * times) * root)[None, :], axis=1) * horizon
    return np.exp(-rate * horizon) * expected[:, -1] + rate * inner


@lru_cache(maxsize=4096)
def beta_nodes(a: float, b: float, count: int) -> tuple[Array, Array]:
    """Nodes in (0, 1) and weights that sum to 1, of the Gauss quadrature of a Beta(a, b) expectation (Golub and Welsch 1969).

    count: 2 or more.
    """
    from scipy.linalg import eigvalsh_tridiagonal

    alpha, beta = b - 1.0, a - 1.0
    n = np.arange(count, dtype=np.float64)
    m = 2.0 * n + alpha + beta
    with np.errstate(divide="ignore", invalid="ignore"):
        diagonal = (beta * beta - alpha * alpha) / (m * (m + 2.0))
        side = 4.0 * n * (n + alpha) * (n + beta) * (n + alpha + beta) / (m * m * (m * m - 1.0))
    # Written out where the general form is 0 / 0.
    diagonal[0] = (beta - alpha) / (alpha + beta + 2.0)
    side[1] = 4.0 * (1.0 + alpha) * (1.0 + beta) / ((2.0 + alpha + beta) ** 2 * (3.0 + alpha + beta))
    side = np.sqrt(side[1:])
    values = eigvalsh_tridiagonal(diagonal, side)
    # A weight is 1 over the sum of the squared orthonormal polynomials at its node: cheaper than eigenvectors. Where the sum
    # overflows the weight is 0.
    before, now, total = np.zeros(count), np.ones(count), np.ones(count)
    with np.errstate(over="ignore", invalid="ignore"):
        for j in range(count - 1):
            before, now = now, ((values - diagonal[j]) * now - (side[j - 1] * before if j else 0.0)) / side[j]
            total += now * now
    weight = np.where(np.isfinite(total), 1.0 / total, 0.0)
    # Far in the tail of a Beta near 0 a node may round to 0; its function value there is the limit anyway.
    return np.clip((1.0 + values) / 2.0, 1e-300, 1.0), weight / np.sum(weight)


def _by_node_count(spread: Array) -> Iterator[tuple[int, Array]]:
    """How many nodes each row needs, and the rows that need as many.

    spread: by how much the integrand falls over the width of the distribution of p. A multiple of it in nodes keeps the relative
    error near one millionth, up to the largest count. The choice looks at the row alone, never at the other rows.
    """
    count, left = _FEWEST_NODES, np.ones(len(spread), dtype=bool)
    while left.any():
        chosen = left if count >= _MOST_NODES else left & (spread <= count / 6.0)
        if chosen.any():
            yield count, np.flatnonzero(chosen)
        left, count = left & ~chosen, 2 * count


def _expected_power(k: int, s: float, u: Array, v: Array, p: Array) -> Array:
    """E[(1 - p)^M] by history and node, M = orders of someone who never stops, j events of k into the gap at T.

    u = elapsed / (alpha + T), v = horizon / (alpha + T). (1 - p)^floor(n / k) is a sum over the k-th roots of unity w of
    c_w (z w)^n with z = (1 - p)^(1 / k), and the events to come are negative binomial with a known generating function.
    """
    p = np.maximum(p, 1e-9)
    z = np.exp(np.log1p(-np.minimum(p, 1.0 - 1e-12)) / k)
    norm = np.ones_like(u)
    term = np.ones_like(u)
    coefficients = [term]
    for j in range(1, k):
        term = term * (s + j - 1) * u / j
        coefficients.append(term)
        norm = norm + term
    total = np.zeros((len(u), len(p)))
    # A root and its conjugate add up to twice the real part.
    for h in range(k // 2 + 1):
        twice = 1.0 if h == 0 or 2 * h == k else 2.0
        cosine, sine = float(np.cos(2 * np.pi * h / k)), float(np.sin(2 * np.pi * h / k))
        # |base| is at least 1 + (1 - max(cosine, 0)) v: rows in which its power is nothing beside 1 are left out.
        rows = np.flatnonzero(s * np.log1p((1.0 - max(cosine, 0.0)) * v) < 40.0) if h else np.arange(len(u))
        ahead = v[rows, None]
        if h == 0 or 2 * h == k:
            point = z * cosine
            base = 1.0 + (1.0 - point)[None, :] * ahead
            power = np.exp(-s * np.log(base))
        else:
            point = z * (cosine + 1j * sine)
            real, imaginary = 1.0 + (1.0 - z * cosine)[None, :] * ahead, -(z * sine)[None, :] * ahead
            size = np.exp(-0.5 * s * np.log(real * real + imaginary * imaginary))
            angle = -s * np.arctan2(imaginary, real)
            base, power = real + 1j * imaginary, size * (np.cos(angle) + 1j * np.sin(angle))
        share = sum(point**-rest for rest in range(k)) / k
        step = point[None, :] / base
        poly = np.zeros_like(step) + coefficients[-1][rows, None]
        for coefficient in coefficients[-2::-1]:
            poly = poly * step + coefficient[rows, None]
        total[rows] += twice * np.real(share[None, :] * poly * power)
    return total / norm[:, None]


def _chunks_of_one_x(x: Array) -> Iterator[slice]:
    """Slices of sorted rows that share their x, none longer than a chunk."""
    starts = np.flatnonzero(np.append(True, x[1:] != x[:-1])[: len(x)])
    for start, end in zip(starts, [*starts[1:], len(x)], strict=False):
        for first in range(start, end, _CHUNK):
            yield slice(first, min(first + _CHUNK, end))
