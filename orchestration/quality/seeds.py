"""Configuration seeds are judged before anything runs: a broken one stops the refresh with the row that breaks it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

from orchestration.errors import TierhouseError
from orchestration.quality.seed_types import check_types, day_fault

_COMPONENTS = {
    "score_weights": ("component", {"r", "f", "m", "p"}),
    "potential_weights": ("part", {"headroom", "growth", "acceptance"}),
}
_CHOICES = {
    ("scoring_models", "normalisation"): {"ratio_to_max", "midrank"},
    ("scoring_models", "monetary_input"): {"average_order_value", "net_amount"},
    ("scoring_models", "recency_form"): {"inverse", "half_life"},
    ("tier_policy", "is_in_force"): {"0", "1"},
    ("tier_policy", "candidate_rule"): {"standards", "score"},
    ("tier_policy", "required_criteria"): {"1", "2", "3"},
    ("tier_policy", "percentile_scope"): {"base", "region"},
    ("tier_policy", "new_customer_treatment"): {"decide", "follow", "protect", "lowest"},
    ("tier_policy", "lapsed_treatment"): {"decide", "lowest", "freeze"},
    ("tier_policy", "blocked_treatment"): {"freeze", "lowest"},
    ("tier_gates", "measure"): {"overdue_days_max", "overdue_amount", "complaint_count_90d", "has_risk_flag"},
    ("tier_benefits", "may_try_new_products"): {"0", "1"},
    ("labels", "kind"): {"policy", "scoring_model", "gate"},
    ("churn_actions", "churn_risk"): {"low", "medium", "high", "lapsed"},
}
# Whole numbers and shares of the policy with their bounds.
_RANGES: dict[str, tuple[int, int | Decimal]] = {
    "criteria_band": (0, Decimal("0.99")),
    "confirm_up_decisions": (1, 250),
    "confirm_down_decisions": (1, 250),
    "maximum_steps_down": (1, 250),
    "minimum_dwell_days": (0, 3660),
    "grace_days_after_upgrade": (0, 3660),
    "new_customer_days": (0, 3660),
    "lapsed_after_days": (1, 3660),
    "override_days_without_end": (1, 3660),
}
# What people name things by, in other seeds, in commands, and in what managers enter.
_NAMES = {"tier_standards": "tier", "tier_policy": "policy", "scoring_models": "scoring_model", "tier_gates": "gate"}
# What migration counts beside the tiers: a tier of the same name would be added to them.
_STATES = {"new", "lapsed", "blocked"}
_MINIMUMS = ["minimum_orders_per_month", "minimum_average_order_value"]
_MAXIMUMS = ["maximum_lifetime_value_top_share", "maximum_score_top_share"]

# Columns that a seed must have; `comment` may be left out.
_COLUMNS = {
    "score_weights": "valid_from component weight",
    "potential_weights": "valid_from part weight",
    "scoring_models": "valid_from scoring_model normalisation monetary_input recency_form recency_half_life_days",
    "tier_standards": f"valid_from tier tier_rank tier_label {' '.join(_MINIMUMS)} {' '.join(_MAXIMUMS)}",
    "tier_policy": "valid_from policy is_in_force candidate_rule scoring_model required_criteria percentile_scope "
    "downgrade_weekdays new_customer_treatment lapsed_treatment blocked_treatment " + " ".join(_RANGES),
    "tier_gates": "valid_from gate measure threshold best_tier",
    "tier_benefits": "valid_from tier discount_rate delivery_priority support_channel may_try_new_products",
    "labels": "valid_from kind name label label_zh",
    "churn_actions": "valid_from tier churn_risk suggested_action suggested_action_zh",
}
# Numbers that no rule below bounds: lowest, highest, whole.
_NUMBERS: dict[tuple[str, str], tuple[Decimal, int, bool]] = {
    ("scoring_models", "recency_half_life_days"): (Decimal("0.001"), 100_000, False),
    ("tier_gates", "threshold"): (Decimal(0), 10**15, False),
    ("tier_standards", "minimum_orders_per_month"): (Decimal(0), 2**32 - 1, True),
    ("tier_standards", "minimum_average_order_value"): (Decimal(0), 10**15, False),
    ("tier_benefits", "delivery_priority"): (Decimal(0), 255, True),
}

SEEDS = (
    *_COMPONENTS,
    "scoring_models",
    "tier_standards",
    "tier_policy",
    "tier_gates",
    "tier_benefits",
    "labels",
    "churn_actions",
)

Row = dict[str, str]
# The rows of each seed, with their line numbers in the file.
Seeds = dict[str, list[tuple[int, Row]]]


def check_seeds(directory: Path, as_of: date | None = None) -> None:
    """Check every configuration seed in `directory`, and that each has a version that counts on `as_of`.

    Raises TierhouseError naming file, line and fault of the first one.
    """
    check_rows({name: read_seed(directory / f"{name}.csv") for name in SEEDS}, as_of)


def check_rows(seeds: Seeds, as_of: date | None = None) -> None:
    """The same of rows that are read already."""
    for (name, column), choices in _CHOICES.items():
        for line, row in seeds[name]:
            if row.get(column) not in choices:
                _fail(name, line, f"{column} is `{row.get(column)}`, must be one of {', '.join(sorted(choices))}")
    for (name, column), (low, high, is_whole) in _NUMBERS.items():
        for line, row in seeds[name]:
            number = _number(name, line, row, column)
            if not low <= number <= high or (is_whole and number != int(number)):
                kind = "a whole number" if is_whole else "a number"
                _fail(name, line, f"{column} is `{row[column]}`, must be {kind} from {low} to {high}")
    for name, column in _NAMES.items():
        for line, row in seeds[name]:
            if not row[column] or row[column] != row[column].strip():
                _fail(name, line, f"{column} is `{row[column]}`, must be a name without spaces around it")
    for name, (column, parts) in _COMPONENTS.items():
        _check_weights(name, column, parts, seeds[name])
    _check_ladder(seeds["tier_standards"])
    _check_policies(seeds["tier_policy"])
    _check_unique("tier_gates", ["gate"], seeds["tier_gates"])
    _check_tier_names("tier_gates", "best_tier", seeds)
    _check_benefits(seeds)
    _check_churn_actions(seeds)
    _check_unique("labels", ["kind", "name"], seeds["labels"])
    _check_unique("scoring_models", ["scoring_model"], seeds["scoring_models"])
    _check_models(seeds)
    check_types(seeds, seeds)
    for name, rows in seeds.items():
        line, earliest = min(rows, key=lambda item: item[1]["valid_from"])
        if as_of and as_of.isoformat() < earliest["valid_from"]:
            fault = f"the first version begins on {earliest['valid_from']}, after the as-of date {as_of}"
            _fail(name, line, f"{fault}; let it begin earlier or refresh a later day")


def seed_notes(directory: Path) -> list[str]:
    """What is allowed and easily not meant: names that people read as they stand, ladders that move customers by themselves."""
    seeds = {name: read_seed(directory / f"{name}.csv") for name in SEEDS}
    return [*_unlabelled(seeds), *_moving_ladders(seeds)]


def _unlabelled(seeds: Seeds) -> Iterator[str]:
    _, newest = max(_versions(seeds["labels"]).items())
    labelled = {(row["kind"], row["name"]) for _, row in newest}
    for kind, name in (("policy", "tier_policy"), ("scoring_model", "scoring_models"), ("gate", "tier_gates")):
        _, rows = max(_versions(seeds[name]).items())
        for line, row in rows:
            if (kind, row[kind]) not in labelled:
                yield f"{name}.csv, line {line}: `{row[kind]}` has no row in the last version of labels.csv, and is shown as it stands"


def _moving_ladders(seeds: Seeds) -> Iterator[str]:
    """The tier machine counts in ranks, so a tier put in between moves everyone below it, unless a policy begins with it."""
    policies = _versions(seeds["tier_policy"])
    for (before, old), (begins, new) in pairwise(sorted(_versions(seeds["tier_standards"]).items())):
        ranks = {row["tier"]: row["tier_rank"] for _, row in old}
        names = {row["tier_rank"]: row["tier"] for _, row in new}
        moved = [(tier, names.get(ranks[tier], tier)) for tier in ranks if tier in names.values()]
        moved = [(tier, now) for tier, now in moved if now != tier]
        in_force = [
            {
                row["policy"]
                for _, row in policies[max(version for version in policies if version <= day)]
                if row["is_in_force"] == "1"
            }
            for day in (before, begins)
            if min(policies) <= day
        ]
        if moved and len(in_force) == 2 and in_force[0] & in_force[1]:
            yield (
                f"tier_standards.csv: on {begins} everyone in {moved[0][0]} becomes {moved[0][1]}, since a tier keeps its rank; "
                "a policy of another name from that day on decides everyone afresh (docs/state_machine.md, Another ladder)"
            )


def read_seed(path: Path) -> list[tuple[int, Row]]:
    """Rows of one seed with their line numbers in the file. Raises TierhouseError for a file without dated rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            lines = [(reader.line_num, fields) for fields in reader]
    except UnicodeDecodeError:
        raise TierhouseError(f"seed {path.name} cannot be read: it is not UTF-8 text; save it as UTF-8") from None
    except (OSError, csv.Error) as error:
        raise TierhouseError(f"seed {path.name} cannot be read: {error}") from None
    missing = [column for column in _COLUMNS.get(path.stem, "").split() if column not in header] if header else []
    if missing:
        _fail(
            path.stem, 1, f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {', '.join(header)}"
        )
    if not any(fields for _, fields in lines):
        raise TierhouseError(f"seed {path.name} has no row; restore at least one version")
    rows = []
    for line, fields in lines:
        if not fields:
            _fail(path.stem, line, "is empty, which would be loaded as a row; take it out")
        if len(fields) != len(header):
            fault = "more" if len(fields) > len(header) else "fewer"
            _fail(path.stem, line, f"has {fault} fields than the header; quote a text that holds a comma")
        row = dict(zip(header, fields, strict=True))
        rows.append((line, row))
        fault = day_fault(row["valid_from"])
        if fault:
            _fail(path.stem, line, f"valid_from is `{row['valid_from']}`, must be {fault}")
    return rows


def _versions(rows: list[tuple[int, Row]]) -> dict[str, list[tuple[int, Row]]]:
    versions = defaultdict(list)
    for line, row in rows:
        versions[row["valid_from"]].append((line, row))
    return versions


def _check_unique(name: str, key: list[str], rows: list[tuple[int, Row]]) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for line, row in rows:
        identity = (row["valid_from"], *(row[column] for column in key))
        if identity in seen:
            _fail(name, line, f"second row for {' '.join(identity)} (the first is line {seen[identity]}); keep one")
        seen[identity] = line


def _check_weights(name: str, column: str, parts: set[str], rows: list[tuple[int, Row]]) -> None:
    _check_unique(name, [column], rows)
    for valid_from, version in _versions(rows).items():
        line = version[-1][0]
        for row_line, row in version:
            if row[column] not in parts:
                _fail(name, row_line, f"{column} is `{row[column]}`, must be one of {', '.join(sorted(parts))}")
            if _number(name, row_line, row, "weight") < 0:
                _fail(name, row_line, f"weight of {row[column]} is negative")
        missing = parts - {row[column] for _, row in version}
        if missing:
            _fail(name, line, f"version {valid_from} has no row for {', '.join(sorted(missing))}")
        total = sum((_number(name, row_line, row, "weight") for row_line, row in version), Decimal(0))
        if abs(total - 1) > Decimal("1e-9"):
            _fail(name, line, f"weights of version {valid_from} sum to {total}, must sum to 1")


def _check_ladder(rows: list[tuple[int, Row]]) -> None:
    name = "tier_standards"
    _check_unique(name, ["tier"], rows)
    for valid_from, version in _versions(rows).items():
        steps = sorted(version, key=lambda item: _number(name, item[0], item[1], "tier_rank"))
        for position, (line, row) in enumerate(steps, start=1):
            if row["tier"] in _STATES:
                _fail(name, line, f"tier is `{row['tier']}`, which migration calls a state; give it another name")
            if _number(name, line, row, "tier_rank") != position:
                _fail(
                    name,
                    line,
                    f"tier_rank of {row['tier']} is {row['tier_rank']}, the ladder of {valid_from} needs {position} here",
                )
        for (_, better), (line, row) in pairwise(steps):
            for column in _MINIMUMS:
                if _number(name, line, row, column) >= _number(name, line, better, column):
                    _fail(
                        name,
                        line,
                        f"{column} of {row['tier']} must be below that of {better['tier']}: the bounds overlap",
                    )
            for column in _MAXIMUMS:
                if _number(name, line, row, column) <= _number(name, line, better, column):
                    _fail(
                        name,
                        line,
                        f"{column} of {row['tier']} must be above that of {better['tier']}: the bounds overlap",
                    )
        line, lowest = steps[-1]
        for column, bound in [*((column, 0) for column in _MINIMUMS), *((column, 1) for column in _MAXIMUMS)]:
            if _number(name, line, lowest, column) != bound:
                _fail(
                    name,
                    line,
                    f"{column} of the lowest tier {lowest['tier']} must be {bound}, or some customers fall into a gap",
                )


def _check_policies(rows: list[tuple[int, Row]]) -> None:
    name = "tier_policy"
    _check_unique(name, ["policy"], rows)
    for valid_from, version in _versions(rows).items():
        in_force = [line for line, row in version if row["is_in_force"] == "1"]
        if len(in_force) != 1:
            _fail(name, version[-1][0], f"version {valid_from} has {len(in_force)} policies in force, must have 1")
        for line, row in version:
            for column, (low, high) in _RANGES.items():
                number = _number(name, line, row, column)
                if not low <= number <= high or (column != "criteria_band" and number != int(number)):
                    _fail(name, line, f"{column} is `{row[column]}`, must be a number from {low} to {high}")
            days = (row.get("downgrade_weekdays") or "").split(",")
            if not set(days) <= set("1234567") or len(days) != len(set(days)):
                _fail(
                    name,
                    line,
                    f"downgrade_weekdays is `{row.get('downgrade_weekdays')}`, must be days like 1 or 1,4 (1 = Monday), each once",
                )


def _versions_met(other: str, name: str, valid_from: str, seeds: dict[str, list[tuple[int, Row]]]) -> list[str]:
    """Versions of the seed `other` that hold on some day on which the version `valid_from` of the seed `name` holds."""
    others = _versions(seeds[other])
    ends = min((version for version in _versions(seeds[name]) if version > valid_from), default="9999-12-31")
    met = [version for version in others if valid_from < version < ends]
    return met + ([max(version for version in others if version <= valid_from)] if min(others) <= valid_from else [])


def _check_tier_names(name: str, column: str, seeds: dict[str, list[tuple[int, Row]]]) -> None:
    """Every tier that a row names is in every version of the ladder that it meets."""
    ladders = _versions(seeds["tier_standards"])
    for line, row in seeds[name]:
        for ladder in _versions_met("tier_standards", name, row["valid_from"], seeds):
            if row[column] not in {step["tier"] for _, step in ladders[ladder]}:
                advice = f"; add a version that begins on {ladder}" if ladder > row["valid_from"] else ""
                _fail(name, line, f"{column} `{row[column]}` is not a tier of the standards of {ladder}{advice}")


def _check_tiers_named(name: str, key: list[str], rest: list[str], seeds: dict[str, list[tuple[int, Row]]]) -> None:
    """Every version of a seed has its rows, one per value of `rest`, for each tier of every ladder that it meets."""
    ladders = _versions(seeds["tier_standards"])
    for valid_from, version in _versions(seeds[name]).items():
        named = {tuple(row[column] for column in key) for _, row in version}
        more: list[tuple[str, ...]] = [(one,) for one in rest] or [()]
        for ladder in sorted(_versions_met("tier_standards", name, valid_from, seeds)):
            wanted = {(step["tier"], *one) for _, step in ladders[ladder] for one in more}
            missing = wanted - named
            if missing:
                later = f", a tier from {ladder} on; add a version that begins then" if ladder > valid_from else ""
                _fail(name, version[-1][0], f"version {valid_from} has no row for {' '.join(min(missing))}{later}")


def _check_benefits(seeds: dict[str, list[tuple[int, Row]]]) -> None:
    name = "tier_benefits"
    _check_unique(name, ["tier"], seeds[name])
    _check_tier_names(name, "tier", seeds)
    for line, row in seeds[name]:
        if not 0 <= _number(name, line, row, "discount_rate") < 1:
            _fail(name, line, f"discount_rate is `{row['discount_rate']}`, must be a share from 0 to below 1")
        _number(name, line, row, "delivery_priority")
    _check_tiers_named(name, ["tier"], [], seeds)


def _check_churn_actions(seeds: dict[str, list[tuple[int, Row]]]) -> None:
    name = "churn_actions"
    _check_unique(name, ["tier", "churn_risk"], seeds[name])
    _check_tier_names(name, "tier", seeds)
    for line, row in seeds[name]:
        if not row["suggested_action"] or not row["suggested_action_zh"]:
            _fail(name, line, f"{row['tier']} {row['churn_risk']} has no action in one of the two languages")
    _check_tiers_named(name, ["tier", "churn_risk"], sorted(_CHOICES[name, "churn_risk"]), seeds)


def _check_models(seeds: dict[str, list[tuple[int, Row]]]) -> None:
    models = _versions(seeds["scoring_models"])
    for line, policy in seeds["tier_policy"]:
        begins, model = policy["valid_from"], policy["scoring_model"]
        met = sorted(_versions_met("scoring_models", "tier_policy", begins, seeds))
        # On the day on which the policy begins there must be a version at all.
        for version in met if met and met[0] <= begins else [begins, *met]:
            if model not in {row["scoring_model"] for _, row in models.get(version, [])}:
                _fail(
                    "tier_policy", line, f"scoring_model `{model}` is not in scoring_models on {max(version, begins)}"
                )


def _number(name: str, line: int, row: Row, column: str) -> Decimal:
    try:
        number = Decimal(row.get(column) or "")
        if not number.is_finite() or abs(number) > 10**18:
            raise InvalidOperation
        return number
    except InvalidOperation:
        _fail(name, line, f"{column} is `{row.get(column)}`, must be a number")
        raise


def _fail(name: str, line: int, fault: str) -> None:
    raise TierhouseError(f"seed {name}.csv, line {line}: {fault}")
