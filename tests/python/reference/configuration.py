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
    """One step of the ladder: lower bounds of orders per month and CNY per order, upper bound of the top share."""

    name: str
    minimum_orders_per_month: float
    minimum_average_order_value: float
    maximum_lifetime_value_top_share: float


@dataclass(frozen=True)
class ScoringModel:
    """How components are normalised. `half_life_days` is None for the recency form `inverse`."""

    name: str
    normalisation: str = "ratio_to_max"
    monetary: str = "average_order_value_90d"
    half_life_days: float | None = None


LADDER = (
    Tier("diamond", 15, 5000, 0.10),
    Tier("gold", 8, 2000, 0.30),
    Tier("silver", 3, 800, 0.70),
    Tier("bronze", 0, 0, 1.0),
)


@dataclass(frozen=True)
class Configuration:
    """Everything a snapshot depends on besides the delivered tables. The ladder runs from the best tier downwards."""

    zone: str = "Asia/Shanghai"
    weights: Weights = Weights()
    potential_weights: PotentialWeights = PotentialWeights()
    ladder: tuple[Tier, ...] = LADDER
    required_criteria: int = 2
    models: tuple[ScoringModel, ...] = field(
        default=(ScoringModel("ratio_to_max"), ScoringModel("midrank", normalisation="midrank"))
    )
