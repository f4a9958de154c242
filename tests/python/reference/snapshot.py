"""The reference in one call: every number of one as-of date from delivered tables."""

from dataclasses import dataclass
from datetime import date

import pandas as pd

from .configuration import Configuration
from .facts import build_facts
from .features import compute_features
from .potential import compute_potential
from .scores import compute_scores
from .tiers import compute_tiers, tier_distribution, tier_value_contribution


@dataclass(frozen=True)
class Snapshot:
    """Frames of one as-of date; `features`, `tiers` and each of `scores` (by scoring model) have index customer_id."""

    features: pd.DataFrame
    scores: dict[str, pd.DataFrame]
    tiers: pd.DataFrame
    distribution: pd.DataFrame
    contribution: pd.DataFrame


def compute_snapshot(
    tables: dict[str, pd.DataFrame], as_of: date, configuration: Configuration | None = None
) -> Snapshot:
    """Everything of one as-of date.

    tables: delivered rows by table name, all versions, columns of the landing contract; a table may be missing.
    Raises ValueError when no customer is scored by then.
    """
    configuration = configuration or Configuration()
    facts = build_facts(tables, as_of, configuration.zone)
    if facts.orders.empty:
        raise ValueError(f"no valid order up to {as_of}")
    features = compute_features(facts)
    features = features.join(compute_potential(facts, features, configuration.potential_weights))
    tiers = compute_tiers(features, configuration)
    return Snapshot(
        features=features,
        scores={m.name: compute_scores(features, m, configuration.weights) for m in configuration.models},
        tiers=tiers,
        distribution=tier_distribution(features, tiers),
        contribution=tier_value_contribution(features, tiers, configuration),
    )
