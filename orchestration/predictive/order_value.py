"""What an order is worth: Gamma-Gamma (Fader and Hardie 2013), by maximum likelihood, and each customer's expectation.

An order of a customer is worth Gamma(p, nu), and nu differs between customers as Gamma(q, gamma). A mean over n orders is drawn
towards the mean of all the more, the fewer orders it has. Only positive means can be fitted: the others are counted, and
their expectation is the same weighted mean, continued below 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

from orchestration.predictive.maximum_likelihood import maximise

Array = np.ndarray

_BOUND = 14.0


@dataclass(frozen=True)
class ValueModel:
    """A fitted Gamma-Gamma model. q > 1, so that the mean of all exists.

    excluded_share: share of the customers whose mean was 0, negative or missing. correlation: Pearson, between the number of orders
    and their mean; the model takes it for 0.
    """

    p: float
    q: float
    gamma: float
    errors: dict[str, float | None]
    log_likelihood: float
    customer_count: int
    excluded_share: float
    correlation: float | None
    converged: bool

    @property
    def mean(self) -> float:
        """Expected value of an order of a customer of whom nothing is known."""
        return self.p * self.gamma / (self.q - 1.0)

    def to_parameters(self) -> dict[str, Any]:
        """As an artifact holds it."""
        return asdict(self)


class _Likelihood:
    """Of means over n orders, in the logarithms of p, q - 1 and gamma. Customers are sorted, so their order does not count."""

    def __init__(self, orders: Array, mean: Array) -> None:
        order = np.lexsort((mean, orders))
        self.n, self.mean = orders[order], mean[order]
        self.distinct_n, count = np.unique(self.n, return_counts=True)
        self.count = count.astype(np.float64)
        self.total = float(len(self.n))
        self.log_sum = np.log(self.n * self.mean)
        self.fixed = float(np.sum(np.log(self.mean)))

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Mean of minus the log likelihood over customers, and its gradient."""
        p, gamma = float(np.exp(theta[0])), float(np.exp(theta[2]))
        above = float(np.exp(theta[1]))
        q = 1.0 + above
        pn = p * self.distinct_n
        log_rate = np.log(gamma + self.n * self.mean)
        value = np.sum(self.count * (gammaln(pn + q) - gammaln(pn) - gammaln(q) + q * np.log(gamma))) - self.fixed
        value += np.sum(p * self.n * self.log_sum - (p * self.n + q) * log_rate)
        d_p = np.sum(self.count * self.distinct_n * (digamma(pn + q) - digamma(pn)))
        d_p += np.sum(self.n * (self.log_sum - log_rate))
        d_q = np.sum(self.count * (digamma(pn + q) - digamma(q) + np.log(gamma))) - np.sum(log_rate)
        d_gamma = self.total * q / gamma - np.sum((p * self.n + q) / (gamma + self.n * self.mean))
        return -float(value) / self.total, -np.array([d_p * p, d_q * above, d_gamma * gamma]) / self.total


def fit_value_model(orders: Array, mean: Array) -> ValueModel:
    """Fit Gamma-Gamma on customers with a positive mean. orders: number of orders behind a mean; mean: money, NaN where unknown.

    Raises ValueError without any positive mean over at least one order.
    """
    orders, mean = np.asarray(orders, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    is_counted = (orders > 0) & (mean > 0)
    if not is_counted.any():
        raise ValueError("no customer has a positive mean order value")
    likelihood = _Likelihood(orders[is_counted], mean[is_counted])
    middle = float(np.exp(np.sum(np.log(likelihood.mean)) / likelihood.total))
    found = maximise(
        likelihood.value_and_gradient,
        [np.array([np.log(p), np.log(above), np.log(middle * above / p)]) for p, above in ((3.0, 2.0), (1.0, 1.0))],
        _BOUND + max(0.0, float(np.log(middle))),
        likelihood.total,
    )
    p, above, gamma = (float(value) for value in np.exp(found.theta))
    scale = {"p": p, "q": above, "gamma": gamma}
    return ValueModel(
        p=p,
        q=1.0 + above,
        gamma=gamma,
        errors={
            name: None if error is None else error * scale[name]
            for name, error in zip(scale, found.errors, strict=True)
        },
        log_likelihood=found.log_likelihood,
        customer_count=int(is_counted.sum()),
        excluded_share=float(1.0 - is_counted.sum() / len(orders)),
        correlation=_correlation(likelihood.n, likelihood.mean),
        converged=found.converged,
    )


def log_likelihood(model: ValueModel, orders: Array, mean: Array) -> float:
    """Log likelihood of positive means under the model's parameters."""
    likelihood = _Likelihood(np.asarray(orders, dtype=np.float64), np.asarray(mean, dtype=np.float64))
    theta = np.log([model.p, model.q - 1.0, model.gamma])
    return -likelihood.value_and_gradient(theta)[0] * likelihood.total


def expected_value(model: ValueModel, orders: Array, mean: Array) -> Array:
    """Expected value of the next order: p (gamma + n mean) / (p n + q - 1); the mean of all where n is 0 or the mean unknown.

    That is w * mean + (1 - w) * mean of all with w = p n / (p n + q - 1), also for a mean of 0 or below, where the model
    itself is silent: a loss stays a loss, drawn towards the mean of all.
    """
    orders, mean = np.asarray(orders, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    known = np.where(np.isnan(mean), 0.0, orders)
    weight = model.p * known / (model.p * known + model.q - 1.0)
    return weight * np.nan_to_num(mean) + (1.0 - weight) * model.mean


def _correlation(n: Array, mean: Array) -> float | None:
    """Pearson's correlation; None where one of the two does not vary."""
    n, mean = n - np.sum(n) / len(n), mean - np.sum(mean) / len(mean)
    scale = float(np.sqrt(np.sum(n * n) * np.sum(mean * mean)))
    return float(np.sum(n * mean)) / scale if scale > 0 else None
