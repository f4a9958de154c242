"""Acceptance of new products as a beta-binomial rate: what customers tried of the launches that they could have seen."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

# Serves until enough customers were offered something: one in ten, as version 1 has it.
UNFITTED = (1.0, 9.0)
_FEWEST_CUSTOMERS = 100
# Beyond that many imaginary offers a prior is a constant for everybody.
_LARGEST = 1000.0


def fit_prior(offered: np.ndarray, tried: np.ndarray) -> tuple[float, float] | None:
    """Prior (tried, refused) of the rate by maximum likelihood; None with fewer than 100 customers who were offered anything.

    Customers with equal numbers are counted together, so the cost does not grow with them.
    """
    from scipy.optimize import minimize

    pairs, count = np.unique(np.column_stack([offered, tried])[offered > 0], axis=0, return_counts=True)
    if count.sum() < _FEWEST_CUSTOMERS:
        return None
    chances, successes = pairs.T.astype(np.float64)

    def loss(logs: np.ndarray) -> float:
        a, b = np.exp(logs)
        likelihood = betaln(a + successes, b + chances - successes) - betaln(a, b)
        return float(-(count * likelihood).sum() / count.sum())

    found = minimize(loss, np.log(UNFITTED), method="L-BFGS-B", bounds=[(np.log(1e-3), np.log(_LARGEST))] * 2).x
    return float(f"{np.exp(found[0]):.5g}"), float(f"{np.exp(found[1]):.5g}")


def acceptance(offered: np.ndarray, tried: np.ndarray, prior: tuple[float, float]) -> np.ndarray:
    """Posterior mean of the rate; NaN where nothing was offered."""
    a, b = prior
    return np.where(offered > 0, (a + tried) / (a + b + offered), np.nan)
