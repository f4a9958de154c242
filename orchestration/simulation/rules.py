"""The rules of one policy on one day, taken from seeds and put into SQL: relations with literal rows, typed as the seeds' tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from orchestration.macros import render
from orchestration.quality.seed_types import column_types
from orchestration.quality.seeds import Row, Seeds
from orchestration.simulation.proposal import CONFIGURATION, version_on

Value = str | Decimal


@dataclass(frozen=True)
class Rules:
    """What counts for one policy on one day. Each part is the rows of a seed, without dates and comments."""

    policy: str
    policies: list[Row]
    weights: list[Row]
    models: list[Row]
    standards: list[Row]
    gates: list[Row]
    potential: list[Row]
    benefits: list[Row]

    @property
    def policy_row(self) -> Row:
        """The row of the policy."""
        return self.policies[0]

    @property
    def candidate_rule(self) -> str:
        """`standards` or `score`."""
        return self.policy_row["candidate_rule"]

    @property
    def tiers(self) -> list[str]:
        """Tiers of the ladder, best first."""
        return [row["tier"] for row in sorted(self.standards, key=lambda row: int(row["tier_rank"]))]

    def discount_rates(self) -> list[float]:
        """Discount rate of each tier of the ladder, best first; 0 for one without a row."""
        rates = {row["tier"]: float(row["discount_rate"]) for row in self.benefits}
        return [rates.get(tier, 0.0) for tier in self.tiers]

    def has_same(self, other: Rules, *parts: str) -> bool:
        """Whether parts of the rules (names of fields) say the same; 0.30 is 0.3."""
        return all(_content(getattr(self, part)) == _content(getattr(other, part)) for part in parts)

    def decides_as(self, other: Rules) -> bool:
        """Whether all that moves a tier is the same."""
        return self.has_same(other, "policies", "weights", "models", "standards", "gates", "potential")


def rules_on(seeds: Seeds, day: date, policy: str | None = None) -> Rules | None:
    """Rules of a policy (default: the one in force) on a day; None when the day has no version or no such policy."""
    rows = version_on(seeds, "tier_policy", day)
    chosen = [row for row in rows if row["policy"] == policy or (policy is None and row["is_in_force"] == "1")]
    if not chosen:
        return None
    models = version_on(seeds, "scoring_models", day)
    return Rules(
        policy=chosen[0]["policy"],
        policies=chosen,
        weights=version_on(seeds, "score_weights", day),
        models=[row for row in models if row["scoring_model"] == chosen[0]["scoring_model"]],
        standards=version_on(seeds, "tier_standards", day),
        gates=version_on(seeds, "tier_gates", day),
        potential=version_on(seeds, "potential_weights", day),
        benefits=version_on(seeds, "tier_benefits", day),
    )


def config_version_sql(seeds: Seeds, day: date) -> str:
    """SQL expression of the configuration version that a day built with these seeds has."""
    return render("config_version", [relation(name, version_on(seeds, name, day)) for name in CONFIGURATION])


def relation(seed: str, rows: Sequence[Row]) -> str:
    """Rows of a seed as a relation, with the columns and types of the seed's table."""
    types = column_types(seed)
    structure = ", ".join(f"{column} {kind}" for column, kind in types.items())
    lines = ", ".join(f"({', '.join(literal(row.get(column, '')) for column in types)})" for row in rows)
    empty = ", ".join(f"defaultValueOfTypeName({literal(kind)}) AS {column}" for column, kind in types.items())
    return f"(SELECT * FROM values({literal(structure)}, {lines}))" if rows else f"(SELECT {empty} WHERE false)"


def literal(text: str) -> str:
    """A text as a literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _content(rows: list[Row]) -> list[tuple[tuple[str, Value], ...]]:
    fixed = ("valid_from", "comment", "is_in_force")
    return sorted(
        (tuple(sorted((name, _value(value)) for name, value in row.items() if name not in fixed)) for row in rows),
        key=str,
    )


def _value(value: Any) -> Value:
    try:
        return Decimal(value).normalize()
    except InvalidOperation:
        return str(value)
