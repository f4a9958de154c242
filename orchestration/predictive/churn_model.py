"""P(no order in the next 30 days), learned from what followed silences of like length: an empirical model of gaps.

A customer whose expected gap is E open days and who has been silent for s of them is still a customer with probability
a = 1 / (1 + exp(-(c0 - c1 * log(1 + s / E) + c2 * log(1 + gaps)))), and one who is orders in the next 30 days with probability
1 - exp(-(b * 30 / E) ** g). So P(no order) = 1 - a * (1 - exp(-(b * 30 / E) ** g)). The five numbers and the peers' gaps are
fitted by maximum likelihood on what was known at a training day, at six origins 30 days apart, and fixed in the artifact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from orchestration.predictive.open_days import OpenDays
from orchestration.predictive.order_history import OrderHistory
from orchestration.predictive.rhythm import HISTORY_DAYS, rhythm

CODE_VERSION = "gaps-1"
HORIZON_DAYS = 30
ORIGINS = 6
# Days of orders that a fit looks at: the history of the first origin, and the origins.
TRAINING_DAYS = HISTORY_DAYS + ORIGINS * HORIZON_DAYS

# Weight of the peers' gap against the own gaps, in gaps.
_PEER_WEIGHT = 3.0
# Peers are customers with a rhythm of their own; a type with fewer of them follows all.
_PEER_GAP_COUNT = 5
_FEWEST_PEERS = 30
# Customers silent for longer teach nothing about the coming month.
_LONGEST_SILENCE_DAYS = 365
_FEWEST_EXAMPLES = 300
_FEWEST_OF_AN_OUTCOME = 30
# Serves until a training day has enough examples: rounded from fits of a demo base and of Online Retail.
UNTRAINED: dict[str, Any] = {"peer_gaps": {}, "all_gap": 14.0, "alive": [3.0, 2.5, 0.5], "order": [0.8, 1.4]}
# Cells in which examples are counted before the fit, so that its cost does not grow with the customers.
_CELLS_PER_UNIT = 20


def expected_gap(rhythms: pd.DataFrame, type_names: tuple[str, ...], parameters: dict[str, Any]) -> np.ndarray:
    """Expected open days from one order day to the next: own gaps and the peers' gap, weighed as geometric mean."""
    peer = np.array([parameters["peer_gaps"].get(name, parameters["all_gap"]) for name in type_names] or [1.0])
    peer_log = np.log(peer)[rhythms["business_type"].to_numpy()]
    own, count = rhythms["own_gap_days"].to_numpy(), rhythms["gap_count"].to_numpy().astype(np.float64)
    own_log = np.log(np.where(count > 0, own, 1.0))
    return np.exp((count * own_log + _PEER_WEIGHT * peer_log) / (count + _PEER_WEIGHT))


def gap_ratio(rhythms: pd.DataFrame, gap: np.ndarray) -> np.ndarray:
    """Open days of silence that no pause of last year explains, in expected gaps."""
    silence = rhythms["silence_open_days"].to_numpy() - rhythms["pause_open_days"].to_numpy()
    return np.asarray(np.maximum(silence, 0.0) / gap)


def probabilities(
    gap: np.ndarray, ratio: np.ndarray, gap_count: np.ndarray, parameters: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """P(no order in the next 30 days), and the part of it that is defection: P(not a customer any more)."""
    alive, orders = _parts(
        np.log(gap), np.log1p(ratio), np.log1p(gap_count), [*parameters["alive"], *parameters["order"]]
    )
    return 1.0 - alive * orders, 1.0 - alive


def fit(history: OrderHistory, training_day: int) -> dict[str, Any] | None:
    """Parameters from what lies before the end of `training_day`; None where that is too little.

    history needs the order days of TRAINING_DAYS. Later days are not looked at.
    """
    history = history.until(training_day, since=training_day - TRAINING_DAYS + 1)
    if not len(history.customer_id):
        return None
    parameters = _peer_gaps(_at(history, training_day)[0], history.type_names)
    if parameters is None:
        return None
    parts, outcomes = [], []
    for origin in range(training_day - ORIGINS * HORIZON_DAYS, training_day, HORIZON_DAYS):
        rhythms, followed = _at(history, origin, HORIZON_DAYS)
        is_example = rhythms["silence_days"].to_numpy() < _LONGEST_SILENCE_DAYS
        gap = expected_gap(rhythms, history.type_names, parameters)
        ratio = gap_ratio(rhythms, gap)
        parts.append(
            np.column_stack([np.log(gap), np.log1p(ratio), np.log1p(rhythms["gap_count"].to_numpy())])[is_example]
        )
        outcomes.append((followed == 0)[is_example])
    silent = np.concatenate(outcomes)
    if len(silent) < _FEWEST_EXAMPLES or min(silent.sum(), (~silent).sum()) < _FEWEST_OF_AN_OUTCOME:
        return None
    found = _maximise(np.concatenate(parts), silent)
    return {**parameters, "alive": found[:3], "order": found[3:], "examples": len(silent), "silent": int(silent.sum())}


def _at(history: OrderHistory, day: int, ahead: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rhythms at the end of `day`, and the order days of the same customers in the days ahead."""
    before = history.until(day, since=day - HISTORY_DAYS + 1)
    clock = OpenDays(before.per_day(day - HISTORY_DAYS + 1, day), day - HISTORY_DAYS + 1)
    rhythms = rhythm(before, clock, day)
    followed = pd.Series(history.orders_between(day, day + ahead), index=history.customer_id)
    return rhythms, followed.loc[rhythms["customer_id"]].to_numpy()


def _peer_gaps(rhythms: pd.DataFrame, type_names: tuple[str, ...]) -> dict[str, Any] | None:
    settled = rhythms[rhythms["gap_count"] >= _PEER_GAP_COUNT]
    if len(settled) < _FEWEST_PEERS:
        return None
    logs = np.log(settled["own_gap_days"])
    groups = logs.groupby(settled["business_type"])
    return {
        "all_gap": _short(np.exp(logs.median())),
        "peer_gaps": {
            type_names[kind]: _short(np.exp(group.median())) for kind, group in groups if len(group) >= _FEWEST_PEERS
        },
    }


def _maximise(parts: np.ndarray, silent: np.ndarray) -> list[float]:
    """Maximum likelihood of the five numbers, from one start, over cells in which examples are counted."""
    from scipy.optimize import minimize

    cells, cell = np.unique(np.round(parts * _CELLS_PER_UNIT).astype(np.int64), axis=0, return_inverse=True)
    count = np.bincount(cell.ravel(), minlength=len(cells))
    no_order = np.bincount(cell.ravel(), weights=silent, minlength=len(cells))
    log_gap, log_ratio, log_count = (cells / _CELLS_PER_UNIT).T

    def loss(numbers: np.ndarray) -> float:
        alive, orders = _parts(log_gap, log_ratio, log_count, [*numbers[:3], *np.exp(numbers[3:])])
        order = np.clip(alive * orders, 1e-9, 1 - 1e-9)
        likelihood = (count - no_order) * np.log(order) + no_order * np.log(1 - order)
        # A weak pull to the start keeps a number finite that the data say nothing about.
        return float(-likelihood.sum() + 0.5 * ((numbers - start) ** 2).sum())

    start = np.array([*UNTRAINED["alive"], *np.log(UNTRAINED["order"])])
    bounds = [(-20, 20), (0, 20), (-5, 5), (-5, 5), (-2, 2)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return [_short(number) for number in [*found[:3], *np.exp(found[3:])]]


def _parts(
    log_gap: np.ndarray, log_ratio: np.ndarray, log_count: np.ndarray, numbers: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """P(still a customer), and P(a customer orders in the next 30 days)."""
    alive_0, alive_ratio, alive_count, rate, shape = numbers
    alive = 1.0 / (1.0 + np.exp(-(alive_0 - alive_ratio * log_ratio + alive_count * log_count)))
    orders = -np.expm1(-((rate * HORIZON_DAYS / np.exp(log_gap)) ** shape))
    return alive, orders


def _short(number: float) -> float:
    """Six significant digits: what a sum in another order changes is not kept."""
    return float(f"{number:.6g}")
