"""Proposed seeds: the files of a folder, changed by assignments such as gold.minimum_orders_per_month=6, and judged as any seed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from orchestration.errors import TierhouseError
from orchestration.macros import render
from orchestration.project import PROJECT_DIR
from orchestration.quality.seed_types import check_types, column_types
from orchestration.quality.seeds import SEEDS, Row, Seeds, check_rows, read_seed

# The seeds that decide scores and tiers.
CONFIGURATION = tuple(render("configuration_seeds").strip().split(","))
_WEIGHTS = {
    "score_weights": ("component", ("r", "f", "m", "p")),
    "potential_weights": ("part", ("headroom", "growth", "acceptance")),
}


def proposed_seeds(
    directory: Path | None,
    assignments: Sequence[str],
    as_of: date,
    policy: str | None = None,
    renormalise: bool = False,
) -> Seeds:
    """The seeds of `directory` (those it lacks: of the project), with `assignments` made in them; see changed_seeds."""
    return changed_seeds(_read(directory), assignments, as_of, policy, renormalise)


def changed_seeds(
    seeds: Seeds, assignments: Sequence[str], as_of: date, policy: str | None = None, renormalise: bool = False
) -> Seeds:
    """A copy of all seeds with `assignments` made in the version that counts on `as_of`.

    assignments: `name=value`; names are listed by `names`. policy: put this one in force. renormalise: scale the weights of
    a version to a sum of 1. Raises TierhouseError, in one line, for a wrong name or value and for all that a refresh refuses.
    """
    seeds = {name: [(line, dict(row)) for line, row in rows] for name, rows in seeds.items()}
    for name in CONFIGURATION:
        rows = seeds[name]
        if not any(row["valid_from"] <= as_of.isoformat() for _, row in rows):
            raise TierhouseError(f"seed {name}.csv has no version that counts on {as_of}")
    if policy:
        _put_in_force(seeds, policy, as_of)
    for assignment in assignments:
        _assign(seeds, assignment, as_of)
    # Before the sums are taken, for which a weight has to be a number; check_rows looks at every seed.
    check_types(seeds, CONFIGURATION)
    if assignments:
        _check_sums(seeds, as_of, renormalise)
    check_rows(seeds, as_of)
    return seeds


def version_on(seeds: Seeds, name: str, day: date) -> list[Row]:
    """Rows of a seed that count on a day: the version with the latest valid_from on or before it."""
    valid_from = max((row["valid_from"] for _, row in seeds[name] if row["valid_from"] <= day.isoformat()), default="")
    return [row for _, row in seeds[name] if row["valid_from"] == valid_from]


def later_versions(seeds: Seeds, day: date) -> list[str]:
    """Seeds with a version that begins after a day, as `name.csv (date)`."""
    return [
        f"{name}.csv ({max(row['valid_from'] for _, row in rows)})"
        for name, rows in sorted(seeds.items())
        if name in CONFIGURATION
        if max(row["valid_from"] for _, row in rows) > day.isoformat()
    ]


def names(seeds: Seeds, as_of: date) -> Iterator[tuple[str, Row, str]]:
    """Every name that can be assigned, with the row and the column that it stands for.

    `f_weight`, `headroom_weight`, `policy.COLUMN` or `COLUMN` of the policy in force, `model.COLUMN` of its scoring model,
    `TIER.COLUMN` of the ladder and of the benefits, `GATE.threshold` and `GATE.best_tier`.
    """
    for seed, (column, _) in _WEIGHTS.items():
        for row in version_on(seeds, seed, as_of):
            yield f"{row[column]}_weight", row, "weight"
    policy = next((row for row in version_on(seeds, "tier_policy", as_of) if row.get("is_in_force") == "1"), None)
    if policy:
        for column in _changeable("tier_policy", "policy", "is_in_force"):
            yield f"policy.{column}", policy, column
            yield column, policy, column
        for row in version_on(seeds, "scoring_models", as_of):
            if row["scoring_model"] == policy["scoring_model"]:
                for column in _changeable("scoring_models", "scoring_model"):
                    yield f"model.{column}", row, column
    for seed, key, fixed in (
        ("tier_standards", "tier", ("tier_rank",)),
        ("tier_benefits", "tier", ()),
        ("tier_gates", "gate", ("measure",)),
    ):
        for row in version_on(seeds, seed, as_of):
            for column in _changeable(seed, key, *fixed):
                yield f"{row[key]}.{column}", row, column


def _changeable(seed: str, *fixed: str) -> list[str]:
    return [column for column in column_types(seed) if column not in ("valid_from", "comment", *fixed)]


def _read(directory: Path | None) -> Seeds:
    own = PROJECT_DIR / "seeds"
    if directory is None:
        return {name: read_seed(own / f"{name}.csv") for name in SEEDS}
    found = {path.stem for path in directory.glob("*.csv")}
    if not found:
        raise TierhouseError(f"--seeds {directory} holds no CSV file; give a folder with files such as tier_policy.csv")
    unknown = sorted(found - {path.stem for path in own.glob("*.csv")})
    if unknown:
        raise TierhouseError(
            f"--seeds {directory}: {unknown[0]}.csv is no seed; those of tiers are {', '.join(CONFIGURATION)}"
        )
    return {name: read_seed((directory if name in found else own) / f"{name}.csv") for name in SEEDS}


def _put_in_force(seeds: Seeds, policy: str, as_of: date) -> None:
    rows = version_on(seeds, "tier_policy", as_of)
    known = [row["policy"] for row in rows]
    if policy not in known:
        raise TierhouseError(f"policy `{policy}` is not in tier_policy.csv, which has {', '.join(known)}")
    for row in rows:
        row["is_in_force"] = "1" if row["policy"] == policy else "0"


def _assign(seeds: Seeds, assignment: str, as_of: date) -> None:
    name, equals, value = assignment.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not value:
        raise TierhouseError(f"--set {assignment}: write name=value, such as gold.minimum_orders_per_month=6")
    targets = {known: (row, column) for known, row, column in names(seeds, as_of)}
    if name not in targets:
        halves = set(name.split("."))
        sharing = [one for one in targets if halves & set(one.split("."))]
        near = difflib.get_close_matches(name, targets, n=3) if len(halves) == 2 or not sharing else []
        near = near or sharing
        hint = f"near it are {', '.join(near)}" if near else f"known are {', '.join(_examples(targets))} ..."
        raise TierhouseError(f"--set {assignment}: there is no {name}; {hint}")
    row, column = targets[name]
    row[column] = value


def _examples(targets: dict[str, tuple[Row, str]]) -> list[str]:
    """One name of each kind."""
    seen: dict[str, str] = {}
    for name in targets:
        seen.setdefault(name.split(".")[0] if "." in name else "", name)
    return list(seen.values())


def _check_sums(seeds: Seeds, as_of: date, renormalise: bool) -> None:
    for seed, (column, _) in _WEIGHTS.items():
        rows = version_on(seeds, seed, as_of)
        weights = [Decimal(row["weight"]) for row in rows]
        total = sum(weights, Decimal(0))
        if abs(total - 1) <= Decimal("1e-9"):
            continue
        if not renormalise or total <= 0:
            parts = ", ".join(f"{row[column]} {row['weight']}" for row in rows)
            raise TierhouseError(
                f"the weights {parts} sum to {total}, must sum to 1; set the others too, or add --renormalise"
            )
        scaled = [round(weight / total, 9) for weight in weights]
        # What rounding leaves goes to the largest, so that the printed numbers can be published as they are.
        largest = max(range(len(scaled)), key=lambda place: scaled[place])
        scaled[largest] += 1 - sum(scaled, Decimal(0))
        for row, weight in zip(rows, scaled, strict=True):
            row["weight"] = f"{weight.normalize():f}"
