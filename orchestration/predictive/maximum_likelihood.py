"""Maximum of a likelihood in a few unbounded parameters, and the standard errors at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestration.predictive.one_thread import in_one_thread

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


class NoMaximum(Exception):
    """The search ended nowhere: the likelihood has no finite maximum that it could find."""


@dataclass(frozen=True)
class Maximum:
    """theta: the parameters there. errors: their standard errors, None where the data do not identify one."""

    theta: np.ndarray
    errors: list[float | None]
    log_likelihood: float
    converged: bool


@in_one_thread()
def maximise(objective: Objective, starts: Sequence[np.ndarray], bound: float, count: float) -> Maximum:
    """The maximum that the first start which converges leads to, else the best of all starts.

    objective: mean of minus the log likelihood over `count` cases, and its gradient. Parameters stay within plus and minus `bound`;
    one that ends there has no standard error. Raises NoMaximum when no start led to finite parameters.
    """
    from scipy.optimize import minimize

    best: Any = None
    converged = False
    for start in starts:
        found = minimize(
            objective,
            np.clip(start, -bound, bound),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-bound, bound)] * len(start),
            options={"ftol": 1e-13, "gtol": 1e-8, "maxiter": 500, "maxcor": 20},
        )
        if not (np.isfinite(found.fun) and np.all(np.isfinite(found.x))):
            continue
        converged = bool(np.all(np.abs(objective(found.x)[1][_is_inside(found.x, bound)]) < 1e-5))
        if best is None or converged or found.fun < best.fun:
            best = found
        if converged:
            break
    if best is None:
        raise NoMaximum("the likelihood has no finite maximum")
    theta = np.asarray(best.x)
    return Maximum(
        theta, _errors(objective, theta, _is_inside(theta, bound), count), -float(best.fun) * count, converged
    )


def _is_inside(theta: np.ndarray, bound: float) -> np.ndarray:
    return np.abs(theta) < bound - 1e-6


def _errors(objective: Objective, theta: np.ndarray, is_inside: np.ndarray, count: float) -> list[float | None]:
    """Square roots of the diagonal of the inverse information, over the parameters inside the bounds.

    Where the information cannot be inverted, the parameter that the data say least about is taken as known, and gets no error.
    """
    inside = np.flatnonzero(is_inside)
    information = np.empty((len(inside), len(inside)))
    for row, place in enumerate(inside):
        step = np.zeros_like(theta)
        step[place] = 1e-4
        slope = (objective(theta + step)[1] - objective(theta - step)[1]) / 2e-4
        information[row] = slope[inside] * count
    information = (information + information.T) / 2.0
    errors: list[float | None] = [None] * len(theta)
    if not np.all(np.isfinite(information)):
        return errors
    kept = np.arange(len(inside))
    while len(kept):
        part = information[np.ix_(kept, kept)]
        # An error of more than a factor of e^7 is no error but ignorance.
        if np.linalg.eigvalsh(part)[0] > 0 and np.all(np.diag(np.linalg.inv(part)) < 49.0):
            for place, variance in zip(inside[kept], np.diag(np.linalg.inv(part)), strict=True):
                errors[place] = float(np.sqrt(variance))
            break
        kept = np.delete(kept, int(np.argmin(np.diag(part))))
    return errors
