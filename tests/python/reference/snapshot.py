"""The reference in one call: every number of one as-of date from delivered tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pandas as pd

from .configuration import Configuration
from .decisions import decide_day, decision_columns
from .facts import build_facts
from .features import compute_features
from .machine import State
from .potential import compute_potential
from .scores import compute_scores
from .tiers import compute_tiers, tier_distribution, tier_value_contribution


@dataclass(frozen=True)
class Snapshot:
    """Frames of one as-of date; `features`, `tiers` and each of `scores` (by scoring model) have index customer_id.

    `states`: the machine's state per customer; `day`: the day number.
    """

    day: int
    features: pd.DataFrame
    scores: dict[str, pd.DataFrame]
    tiers: pd.DataFrame
    states: dict[int, State]
    distribution: pd.DataFrame
    contribution: pd.DataFrame


def compute_snapshot(
    tables: dict[str, pd.DataFrame],
    as_of: date,
    configuration: Configuration | None = None,
    previous: Snapshot | None = None,
    served: dict[int, tuple[Decimal, str]] | None = None,
) -> Snapshot:
    """Everything of one as-of date.

    tables: delivered rows by table name, all versions, columns of the landing contract; a table may be missing.
    previous: the snapshot of the stored day before, None on the first one. served: predicted margin and model by customer, where
    a promoted model serves that day; None where none does.
    Raises ValueError when no customer is scored by then.
    """
    configuration = configuration or Configuration()
    facts = build_facts(tables, as_of, configuration.zone)
    if facts.orders.empty:
        raise ValueError(f"no valid order up to {as_of}")
    features = compute_features(facts)
    features = features.join(compute_potential(facts, features, configuration.potential_weights))
    scores = {m.name: compute_scores(features, m, configuration.weights) for m in configuration.models}
    tiers = compute_tiers(features, scores[configuration.policy.scoring_model], configuration, served)
    before = previous.states if previous else {}
    decided = decide_day(facts, features, tiers, configuration, before, previous.day if previous else None)
    tiers = tiers.join(decision_columns(decided, configuration))
    return Snapshot(
        day=facts.day,
        features=features,
        scores=scores,
        tiers=tiers,
        states={customer: day.state for customer, day in decided.items()},
        distribution=tier_distribution(features, tiers),
        contribution=tier_value_contribution(features, tiers, configuration),
    )
