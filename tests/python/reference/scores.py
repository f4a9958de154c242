"""RFMP scores of one scoring model over the scored customers of a snapshot."""

import numpy as np
import pandas as pd

from .configuration import ScoringModel, Weights

COMPONENTS = ("r", "f", "m", "p")


def mid_rank(values: pd.Series) -> pd.Series:
    """(number below + half of the number equal, itself included) / n among the values that exist; NaN stays NaN."""
    return (values.rank(method="average") - 0.5) / values.notna().sum()


def compute_scores(features: pd.DataFrame, model: ScoringModel, weights: Weights) -> pd.DataFrame:
    """r, f, m, p scores, contributions, `total_score` and `score_rank`, indexed like the features.

    `p_score` is NaN where no potential is known; its contribution is then 0 and its weight goes to the others.
    """
    scores = _components(features, model)
    weight = pd.DataFrame({c: np.full(len(scores), getattr(weights, c)) for c in COMPONENTS}, index=scores.index)
    weight["p"] = weight["p"].where(scores["p_score"].notna(), 0.0)
    weight = weight.div(weight.sum(axis=1), axis=0)
    for component in COMPONENTS:
        scores[f"{component}_contribution"] = (weight[component] * scores[f"{component}_score"]).fillna(0.0)
    scores["total_score"] = scores[[f"{component}_contribution" for component in COMPONENTS]].sum(axis=1).round(12)
    scores["score_rank"] = scores["total_score"].rank(method="min", ascending=False).astype("int64")
    return scores


def _components(features: pd.DataFrame, model: ScoringModel) -> pd.DataFrame:
    days = features["days_since_last_order"].astype("float64")
    recency = 1 / (1 + days) if model.half_life_days is None else 0.5 ** (days / model.half_life_days)
    orders = features["order_count_90d"].astype("float64")
    monetary = features[model.monetary].astype("float64").where(orders > 0)
    potential = features["potential_index"].astype("float64")
    if model.normalisation == "midrank":
        columns = [mid_rank(recency), mid_rank(orders), mid_rank(monetary).fillna(0.0), mid_rank(potential)]
    else:
        columns = [recency, _of_maximum(orders), _of_maximum(monetary.fillna(0.0).clip(lower=0)), potential]
    return pd.DataFrame({f"{c}_score": column for c, column in zip(COMPONENTS, columns, strict=True)})


def _of_maximum(values: pd.Series) -> pd.Series:
    return values / values.max() if values.max() > 0 else values * 0.0
