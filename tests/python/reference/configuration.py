"""What the seeds configure, as plain values: weights, tier ladder, scoring models. Defaults are the shipped seeds."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Weights:
    """Weight of each component of the score; they sum to 1."""

    r: float = 0.30
    f: float = 0.25
    m: float = 0.30
    p: float = 0.15


@dataclass(frozen=True)
class PotentialWeights:
    """Weight of each share in `potential_index`; those of the shares that exist are rescaled to sum to 1."""

    headroom: float = 0.40
    growth: float = 0.35
    acceptance: float = 0.25


@dataclass(frozen=True)
class Tier:
    """One step of the ladder: lower bounds of orders per month and CNY per order, upper bounds of the top shares."""

    name: str
    minimum_orders_per_month: float
    minimum_average_order_value: float
    maximum_lifetime_value_top_share: float
    maximum_score_top_share: float


@dataclass(frozen=True)
class Policy:
    """How tiers are decided. `candidate_rule` is `standards` or `score`, `percentile_scope` `base` or `region`."""

    name: str = "standards"
    candidate_rule: str = "standards"
    scoring_model: str = "ratio_to_max"
    required_criteria: int = 2
    percentile_scope: str = "base"
    criteria_band: float = 0.10
    confirm_up_decisions: int = 1
    confirm_down_decisions: int = 3
    maximum_steps_down: int = 1
    minimum_dwell_days: int = 56
    grace_days_after_upgrade: int = 56
    downgrade_weekdays: frozenset[int] = frozenset({1})
    new_customer_days: int = 30
    new_customer_treatment: str = "protect"
    lapsed_after_days: int = 90
    lapsed_treatment: str = "lowest"
    blocked_treatment: str = "freeze"
    override_days_without_end: int = 90


@dataclass(frozen=True)
class Gate:
    """No better tier than `best_tier` while `measure` is more than `threshold`."""

    measure: str
    threshold: float
    best_tier: str


GATES = (
    Gate("overdue_days_max", 15, "gold"),
    Gate("overdue_days_max", 60, "silver"),
    Gate("overdue_amount", 50_000, "gold"),
    Gate("has_risk_flag", 0, "silver"),
    Gate("complaint_count_90d", 10, "gold"),
)


@dataclass(frozen=True)
class ScoringModel:
    """How components are normalised. `half_life_days` is None for the recency form `inverse`."""

    name: str
    normalisation: str = "ratio_to_max"
    monetary: str = "average_order_value_90d"
    half_life_days: float | None = None


LADDER = (
    Tier("diamond", 15, 5000, 0.10, 0.10),
    Tier("gold", 8, 2000, 0.30, 0.30),
    Tier("silver", 3, 800, 0.70, 0.70),
    Tier("bronze", 0, 0, 1.0, 1.0),
)


@dataclass(frozen=True)
class Configuration:
    """Everything a snapshot depends on besides the delivered tables. The ladder runs from the best tier downwards."""

    zone: str = "Asia/Shanghai"
    weights: Weights = Weights()
    potential_weights: PotentialWeights = PotentialWeights()
    ladder: tuple[Tier, ...] = LADDER
    policy: Policy = Policy()
    gates: tuple[Gate, ...] = GATES
    models: tuple[ScoringModel, ...] = field(
        default=(ScoringModel("ratio_to_max"), ScoringModel("midrank", normalisation="midrank"))
    )
