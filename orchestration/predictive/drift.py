"""Drift of features and scores: the population stability index, with critical values whose false-alarm rate is known.

Without any change the index of two samples of n and m is about chi2 with B - 1 degrees of freedom times (1/n + 1/m) (Yurdakul
and Naranjo), so a fixed limit like 0.10 fires by chance in small samples and never in large ones. The critical value here is
that of the permutation distribution of the very counts compared, which holds at every size; chi2 stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

CODE_VERSION = "psi-2"
BINS = 10
# Share of comparisons without any change that may be called drift.
LEVEL = 0.05
DRAWS = 2000
# Samples below this say nothing with ten bins.
FEWEST = 50
_SEED = 20_240_101
# Added to each count, so that an empty bin does not make the index infinite.
_ADDED = 0.5


@dataclass(frozen=True)
class Drift:
    """Comparison of one feature. verdict: stable, drift (index above the critical value), or too_few (then the rest is None)."""

    psi: float | None
    critical_value: float | None
    critical_value_chi2: float | None
    p_value: float | None
    bin_count: int
    verdict: str


def bin_edges(values: np.ndarray) -> list[float]:
    """Inner edges of up to ten bins with equal shares of the reference; fewer where values are equal. NaN is left out.

    Where a tenth or more of the reference has its largest value, what lies above that has a bin too, and where all have one
    value, also what lies below: a feature that was the same for all and is not any more has drifted.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    # The quantiles are values of the sample: between two equal ones there is no bin.
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    below = [np.nextafter(edges[0], -np.inf)] if known.min() == known.max() else []
    return [float(edge) for edge in (*below, *edges)]


def bin_counts(values: np.ndarray, edges: list[float]) -> np.ndarray:
    """Values in each bin, an edge belonging to the bin below it; the last count is that of NaN."""
    is_known = ~np.isnan(values)
    place = np.searchsorted(np.array(edges), values[is_known], side="left")
    return np.append(np.bincount(place, minlength=len(edges) + 1), (~is_known).sum())


def category_counts(values: np.ndarray, categories: list[str]) -> np.ndarray:
    """Values in each category; the last count is that of all others."""
    counts = [int((values == category).sum()) for category in categories]
    return np.array([*counts, len(values) - sum(counts)])


def population_stability_index(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Sum over bins of (p - q) ln(p / q), counts in the last axis, half a customer added to each."""
    p, q = reference + _ADDED, current + _ADDED
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def compare(reference: np.ndarray, current: np.ndarray) -> Drift:
    """Compare the counts of two independent samples in the same bins. Bins that are empty in both do not count.

    The critical value is the 95 % point of the index when the customers are dealt anew to two samples of the same sizes, over
    2,000 deals with a fixed seed; p_value is the share of deals (the samples themselves being one) with an index at least as large.
    """
    is_used = reference + current > 0
    reference, current = reference[is_used], current[is_used]
    n, m, bins = int(reference.sum()), int(current.sum()), int(is_used.sum())
    if min(n, m) < FEWEST:
        return Drift(None, None, None, None, bins, "too_few")
    if bins < 2:
        return Drift(0.0, 0.0, 0.0, 1.0, bins, "stable")
    index = float(population_stability_index(reference, current))
    random = np.random.Generator(np.random.PCG64(_SEED))
    dealt = random.multivariate_hypergeometric(reference + current, n, size=DRAWS, method="marginals")
    by_chance = np.sort(population_stability_index(dealt, reference + current - dealt))
    critical = float(by_chance[int(np.ceil((1 - LEVEL) * (DRAWS + 1))) - 1])
    # Deals that equal the samples must not count as smaller because of the last digit.
    p_value = (1 + int((by_chance >= index * (1 - 1e-12)).sum())) / (DRAWS + 1)
    return Drift(
        psi=index,
        critical_value=critical,
        critical_value_chi2=float(chdtri(bins - 1, LEVEL) * (1 / n + 1 / m)),
        p_value=p_value,
        bin_count=bins,
        verdict="drift" if p_value <= LEVEL else "stable",
    )


def holm(p_values: list[float | None]) -> list[float | None]:
    """P-values of a family after Holm: at a level of 5 % one family in twenty has a false alarm at all. None stays None."""
    known = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[place] = largest
    return adjusted
