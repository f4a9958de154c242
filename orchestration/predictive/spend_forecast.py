"""Forecast of the next 90 days' net spend: gradient boosted trees, fitted once a month, kept and applied as plain numbers.

The trees learn by what factor a customer's next 90 days differ from the usual ones (four fifths the latest 84 days, one fifth the
year), because trees cannot go beyond what they saw, and customers differ by a factor of a thousand. They are
trained on what two earlier days knew (90 and 180 days before the training day) and what followed each. The trees stand in the
artifact, so that any machine applies the very same ones; scikit-learn is needed to fit them, not to score.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from orchestration.predictive.one_thread import in_one_thread
from orchestration.predictive.spend_blocks import BLOCK_DAYS, YEAR_DAYS, SpendBlocks

CODE_VERSION = "trees-1"
HORIZON_DAYS = 90
# Days before the training day at which examples are taken; what followed each was known at the training day.
ORIGIN_OFFSETS = (90, 180)
FEWEST_EXAMPLES = 500
_TREES = 60
_LEAVES = 8
_SMALLEST_LEAF = 40
_RECENT_WEIGHT = 0.8
# Usual spend of a customer is at least this, CNY, and a factor at most that: rare orders would make factors of thousands.
_SMALLEST_USUAL = 50.0
_LARGEST_FACTOR = 10.0


def usual_spend(spend: SpendBlocks) -> np.ndarray:
    """Net spend of 90 usual days, CNY; younger customers by the days they have (28 at least for the latest, 90 for the year)."""
    net, age = np.maximum(spend.net, 0.0), spend.days_since_first_order + 1
    recent = net[:, -3:].sum(axis=1) / np.clip(age, BLOCK_DAYS, 3 * BLOCK_DAYS)
    year = net.sum(axis=1) / np.clip(age, HORIZON_DAYS, YEAR_DAYS)
    return HORIZON_DAYS * (_RECENT_WEIGHT * recent + (1 - _RECENT_WEIGHT) * year) + _SMALLEST_USUAL


def forecast_features(spend: SpendBlocks) -> np.ndarray:
    """Inputs of the trees, shape (n, features): spend in usual spends, order counts, ages, and the silence in own gaps."""
    usual = usual_spend(spend)
    ratio, orders = np.maximum(spend.net, 0.0) / usual[:, None], spend.orders
    age = np.minimum(spend.days_since_first_order, 2 * YEAR_DAYS)
    gap = np.minimum(spend.days_since_first_order, YEAR_DAYS) / np.maximum(orders.sum(axis=1), 1)
    return np.column_stack(
        [
            ratio[:, -6:],
            ratio[:, -3:].sum(axis=1),
            ratio[:, -6:-3].sum(axis=1),
            ratio.sum(axis=1),
            np.log(usual),
            orders[:, -1],
            orders[:, -3:].sum(axis=1),
            orders.sum(axis=1),
            (orders > 0).sum(axis=1),
            spend.days_since_last_order,
            age,
            spend.days_since_last_order / np.maximum(gap, 0.5),
        ]
    ).astype(np.float64)


def fit(examples: list[tuple[SpendBlocks, np.ndarray]]) -> dict[str, Any] | None:
    """Trees from (spend at an origin, net spend of the 90 days after it) pairs; None with fewer than 500 customers in all, and
    where none of them bought anything in the 90 days.

    Parameters: baseline, and trees as lists of nodes (see `_nodes`). The loss is that of Poisson with the usual spend as exposure, so
    that the sum of the forecasts is that of the spend. Same examples give the same trees, whatever the number of threads.
    """
    if sum(len(spend.customer_id) for spend, _ in examples) < FEWEST_EXAMPLES:
        return None
    from sklearn.ensemble import HistGradientBoostingRegressor

    features = np.concatenate([forecast_features(spend) for spend, _ in examples])
    usual = np.concatenate([usual_spend(spend) for spend, _ in examples])
    target = np.minimum(np.concatenate([np.maximum(outcome, 0.0) for _, outcome in examples]) / usual, _LARGEST_FACTOR)
    if not target.sum() > 0:
        return None
    regressor = HistGradientBoostingRegressor(
        loss="poisson",
        learning_rate=0.08,
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_SMALLEST_LEAF,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )
    # On a busy machine the threads of OpenMP wait for each other ten times longer than the work takes.
    model = in_one_thread("sklearn.ensemble")(regressor.fit)(features, target, sample_weight=usual)
    return {
        "baseline": float(np.ravel(model._baseline_prediction)[0]),
        "trees": [_nodes(stage[0].nodes) for stage in model._predictors],
        "examples": len(target),
    }


def predict(spend: SpendBlocks, parameters: dict[str, Any]) -> np.ndarray:
    """Expected net spend of the next 90 days, CNY."""
    features = forecast_features(spend)
    total = np.full(len(features), float(parameters["baseline"]))
    columns = np.ascontiguousarray(features.T)
    for tree in parameters["trees"]:
        total += _leaf_values(columns, tree)
    return np.exp(total) * usual_spend(spend)


def _nodes(nodes: np.ndarray) -> dict[str, list[Any]]:
    """A tree as lists, a place per node: value, feature, threshold (at most: left), left, right; a leaf has the feature -1."""
    is_leaf = nodes["is_leaf"].astype(bool)
    # Leaves hold anything in the columns of a split; values are kept to what a sum in another order does not change.
    return {
        "value": [float(f"{value:.10g}") for value in nodes["value"]],
        "feature": np.where(is_leaf, -1, nodes["feature_idx"]).tolist(),
        "threshold": np.where(is_leaf, 0.0, np.clip(nodes["num_threshold"], -1e300, 1e300)).tolist(),
        "left": np.where(is_leaf, 0, nodes["left"]).tolist(),
        "right": np.where(is_leaf, 0, nodes["right"]).tolist(),
    }


def _leaf_values(columns: np.ndarray, tree: dict[str, list[Any]]) -> np.ndarray:
    """Value of the leaf that each customer falls into; columns: features, shape (features, n)."""
    feature = np.array(tree["feature"])
    values = np.empty(columns.shape[1])
    waiting = [(0, np.arange(columns.shape[1]))]
    while waiting:
        node, rows = waiting.pop()
        if feature[node] < 0:
            values[rows] = tree["value"][node]
            continue
        goes_left = columns[feature[node], rows] <= tree["threshold"][node]
        waiting.append((tree["left"][node], rows[goes_left]))
        waiting.append((tree["right"][node], rows[~goes_left]))
    return values
