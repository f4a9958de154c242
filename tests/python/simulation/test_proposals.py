"""Proposed seeds: assignments by name, folders of files, and what is refused before anything is asked of a warehouse."""

import shutil
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from orchestration.errors import TierhouseError
from orchestration.project import PROJECT_DIR
from orchestration.simulation.proposal import later_versions, names, proposed_seeds, version_on
from orchestration.simulation.report import changes
from orchestration.simulation.rules import rules_on

DAY = date(2026, 1, 5)


def changed(assignments: Sequence[str] = (), **options: object) -> list[str]:
    """What a proposal changes against the shipped seeds."""
    proposal = proposed_seeds(options.pop("directory", None), assignments, DAY, **options)  # type: ignore[arg-type]
    return changes(proposed_seeds(None, [], DAY), proposal, DAY, DAY)


def test_nothing_proposed_changes_nothing() -> None:
    assert changed() == []


def test_an_assignment_changes_the_row_that_it_names() -> None:
    assert changed(["gold.minimum_orders_per_month=6", "overdue_days.threshold=20", "gold.discount_rate=0.05"]) == [
        "gold.minimum_orders_per_month 8 -> 6",
        "gold.discount_rate 0.02 -> 0.05",
        "overdue_days.threshold 15 -> 20",
    ]


def test_a_column_of_the_policy_may_be_written_without_its_table() -> None:
    assert changed(["required_criteria=3"]) == changed(["policy.required_criteria=3"])
    assert changed(["required_criteria=3"]) == ["policy.required_criteria 2 -> 3"]


def test_comments_may_be_left_out_of_proposed_seeds(tmp_path: Path) -> None:
    lines = (PROJECT_DIR / "seeds" / "score_weights.csv").read_text(encoding="utf-8").splitlines()
    text = "".join(",".join(line.split(",")[:3]) + "\n" for line in lines)
    (tmp_path / "score_weights.csv").write_text(text, encoding="utf-8")
    assert "comment" not in text
    assert changed(directory=tmp_path) == []


def test_an_assignment_goes_to_the_policy_that_is_put_in_force() -> None:
    seeds = proposed_seeds(None, ["criteria_band=0.2"], DAY, policy="score")
    bands = {row["policy"]: (row["is_in_force"], row["criteria_band"]) for row in version_on(seeds, "tier_policy", DAY)}
    assert bands == {"standards": ("0", "0.10"), "score": ("1", "0.2")}
    rules = rules_on(seeds, DAY)
    assert rules is not None and rules.policy == "score"


def test_the_same_number_in_another_spelling_changes_nothing() -> None:
    assert changed(["gold.minimum_average_order_value=2000.00", "f_weight=0.250"]) == []


def test_weights_are_scaled_only_when_asked_and_then_sum_to_one() -> None:
    seeds = proposed_seeds(None, ["f_weight=0.5"], DAY, renormalise=True)
    weights = [Decimal(row["weight"]) for row in version_on(seeds, "score_weights", DAY)]
    assert sum(weights) == 1
    assert weights[1] == Decimal("0.4")


@pytest.mark.parametrize(
    ("assignments", "line"),
    [
        (["f_weight=0.5"], "sum to 1.25, must sum to 1"),
        (["headroom_weight=0.5"], "sum to 1.10, must sum to 1"),
        (["gold.minimum_orders=6"], "near it are gold.minimum_orders_per_month"),
        (["platinum.discount_rate=0.1"], "there is no platinum.discount_rate"),
        (["gold"], "write name=value"),
        (
            ["gold=1"],
            "there is no gold; near it are gold.tier_label, gold.minimum_orders_per_month, .*gold.discount_rate",
        ),
        (["gold.min=1"], "near it are gold.tier_label, gold.minimum_orders_per_month"),
        (["threshold=1"], "near it are overdue_days.threshold, long_overdue.threshold"),
        (["gold.discount_rate="], "write name=value"),
        (["gold.minimum_orders_per_month=15"], "minimum_orders_per_month of gold must be below that of diamond"),
        (["bronze.minimum_orders_per_month=1"], "some customers fall into a gap"),
        (["gold.minimum_orders_per_month=6.5"], "must be a whole number"),
        (["gold.minimum_average_order_value=1999.999"], "at most 2 decimals"),
        (["policy.confirm_down_decisions=0"], "must be a number from 1 to 250"),
        (["policy.lapsed_treatment=punish"], "must be one of decide, freeze, lowest"),
        (["policy.scoring_model=none"], "is not in scoring_models"),
        (["f_weight=nan"], "must be a number"),
        (["risk_flag.best_tier=tin"], "is not a tier of the standards"),
        (["tier_rank=1"], "there is no tier_rank"),
    ],
)
def test_a_wrong_name_or_value_is_one_clear_line(assignments: list[str], line: str) -> None:
    with pytest.raises(TierhouseError, match=line) as error:
        proposed_seeds(None, assignments, DAY)
    assert "\n" not in str(error.value)


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TierhouseError, match=r"`gut feeling` is not in tier_policy\.csv, which has standards, score"):
        proposed_seeds(None, [], DAY, policy="gut feeling")


def test_a_folder_replaces_the_seeds_that_it_holds(tmp_path: Path) -> None:
    text = (PROJECT_DIR / "seeds" / "tier_policy.csv").read_text(encoding="utf-8")
    (tmp_path / "tier_policy.csv").write_text(
        text.replace("standards,1,standards,ratio_to_max,2", "standards,1,standards,ratio_to_max,3")
    )
    assert changed(directory=tmp_path) == ["policy.required_criteria 2 -> 3"]


def test_a_folder_without_seeds_or_with_a_strange_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TierhouseError, match="holds no CSV file"):
        proposed_seeds(tmp_path, [], DAY)
    shutil.copy(PROJECT_DIR / "seeds" / "tier_policy.csv", tmp_path / "tier_policies.csv")
    with pytest.raises(TierhouseError, match=r"tier_policies.csv is no seed"):
        proposed_seeds(tmp_path, [], DAY)


def test_the_version_of_the_day_counts_and_a_later_one_is_named(tmp_path: Path) -> None:
    text = (PROJECT_DIR / "seeds" / "tier_benefits.csv").read_text(encoding="utf-8")
    later = "".join(line.replace("1970-01-01", "2026-02-01") + "\n" for line in text.splitlines()[1:])
    (tmp_path / "tier_benefits.csv").write_text(text + later.replace("gold,0.02", "gold,0.04"))
    seeds = proposed_seeds(tmp_path, ["silver.discount_rate=0.015"], DAY)
    assert later_versions(seeds, DAY) == ["tier_benefits.csv (2026-02-01)"]
    rates = {row["tier"]: row["discount_rate"] for row in version_on(seeds, "tier_benefits", DAY)}
    assert (rates["gold"], rates["silver"]) == ("0.02", "0.015")
    rates = {row["tier"]: row["discount_rate"] for row in version_on(seeds, "tier_benefits", date(2026, 2, 1))}
    assert (rates["gold"], rates["silver"]) == ("0.04", "0.01")


def test_every_column_that_moves_a_tier_has_a_name() -> None:
    known = {name for name, _, _ in names(proposed_seeds(None, [], DAY), DAY)}
    assert {
        "f_weight",
        "acceptance_weight",
        "model.recency_form",
        "policy.downgrade_weekdays",
        "silver.maximum_score_top_share",
    } <= known
    assert {"complaints.best_tier", "bronze.discount_rate", "override_days_without_end"} <= known
    assert not {name for name in known if name.endswith((".valid_from", ".comment", ".is_in_force", ".tier_rank"))}
