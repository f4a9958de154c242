"""A broken configuration seed stops the refresh with the file, the line and the fault."""

import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from orchestration.errors import TierhouseError
from orchestration.project import PROJECT_DIR
from orchestration.quality.seeds import check_seeds, seed_notes


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT_DIR / "seeds", tmp_path / "seeds"))


def test_the_shipped_seeds_are_sound(seeds: Path) -> None:
    check_seeds(seeds, date(2026, 1, 1))


@pytest.mark.parametrize(
    ("seed", "before", "after", "fault"),
    [
        ("score_weights", "r,0.30", "r,0.31", "line 5: weights of version 1970-01-01 sum to 1.01, must sum to 1"),
        ("score_weights", "r,0.30", "r,-0.30", "line 2: weight of r is negative"),
        ("score_weights", "p,0.15", "q,0.15", "line 5: component is `q`"),
        ("score_weights", "r,0.30", "r,much", "line 2: weight is `much`, must be a number"),
        ("score_weights", "1970-01-01,r", "yesterday,r", "line 2: valid_from is `yesterday`"),
        (
            "labels",
            "gate,risk_flag",
            "door,risk_flag",
            "line 9: kind is `door`, must be one of gate, policy, scoring_model",
        ),
        ("labels", "gate,risk_flag", "gate,complaints", "line 10: second row for 1970-01-01 gate complaints"),
        ("potential_weights", "growth,0.35", "growth,0.30", "weights of version 1970-01-01 sum to 0.95"),
        (
            "tier_standards",
            "gold,2",
            "gold,3",
            "line 3: tier_rank of gold is 3, the ladder of 1970-01-01 needs 2 here",
        ),
        ("tier_standards", "白银,3,800", "白银,9,800", "minimum_orders_per_month of silver must be below that of gold"),
        (
            "tier_standards",
            "0.30,0.30",
            "0.05,0.30",
            "maximum_lifetime_value_top_share of gold must be above that of diamond",
        ),
        ("tier_standards", "bronze,4", "lapsed,4", "line 5: tier is `lapsed`, which migration calls a state; give it"),
        (
            "tier_standards",
            "青铜,0,0,1.00",
            "青铜,0,0,0.90",
            "lowest tier bronze must be 1, or some customers fall into a gap",
        ),
        (
            "tier_policy",
            "1,standards,ratio_to_max",
            "1,standards,neural",
            "scoring_model `neural` is not in scoring_models",
        ),
        ("tier_policy", "ratio_to_max,2", "ratio_to_max,4", "required_criteria is `4`, must be one of 1, 2, 3"),
        (
            "tier_policy",
            "standards,1,standards",
            "standards,1,mood",
            "candidate_rule is `mood`, must be one of score, standards",
        ),
        ("tier_policy", "score,0", "score,1", "version 1970-01-01 has 2 policies in force, must have 1"),
        ("tier_policy", "base,", "city,", "percentile_scope is `city`, must be one of base, region"),
        ("tier_policy", ",protect,", ",hide,", "new_customer_treatment is `hide`, must be one of"),
        ("tier_policy", "56,56,1,", "56,56,8,", "downgrade_weekdays is `8`, must be days like 1 or 1,4 (1 = Monday)"),
        ("tier_policy", "base,0.10,", "base,1.10,", "criteria_band is `1.10`, must be a number from 0 to 0.99"),
        ("tier_gates", "15,gold", "15,platinum", "best_tier `platinum` is not a tier of the standards of 1970-01-01"),
        ("tier_gates", "overdue_days_max,15", "mood,15", "measure is `mood`, must be one of"),
        ("tier_benefits", "diamond,0.03", "diamond,3", "discount_rate is `3`, must be a share from 0 to below 1"),
        ("tier_benefits", "bronze,0.00", "gold,0.00", "second row for 1970-01-01 gold"),
        ("churn_actions", "gold,low", "gold,none", "churn_risk is `none`, must be one of high, lapsed, low, medium"),
        ("churn_actions", "gold,low", "gold,high", "second row for 1970-01-01 gold high"),
        ("churn_actions", "1970-01-01,gold,low", "2001-01-01,gold,low", "version 1970-01-01 has no row for gold low"),
        ("churn_actions", "维持日常服务", "", "diamond low has no action in one of the two languages"),
        ("scoring_models", "midrank,midrank", "midrank,zscore", "normalisation is `zscore`"),
        ("scoring_models", "inverse,30", "inverse,0", "recency_half_life_days is `0`, must be a number from 0.001 to"),
        (
            "tier_policy",
            "56,56,1,",
            '56,56,"1,1",',
            "downgrade_weekdays is `1,1`, must be days like 1 or 1,4 (1 = Monday), each",
        ),
        # What Python reads as a number or a day, and the engine refuses, rounds or takes for another one.
        (
            "tier_standards",
            "15,5000",
            "15.0,5000",
            "line 2: minimum_orders_per_month is `15.0`, must be a whole number",
        ),
        ("tier_standards", "15,5000", "1_5,5000", "line 2: minimum_orders_per_month is `1_5`, must be a whole number"),
        (
            "tier_standards",
            "3,800",
            "3,800.005",
            "line 4: minimum_average_order_value is `800.005`, must be a number with",
        ),
        (
            "tier_standards",
            "diamond,1",
            "diamond,１",
            "line 2: tier_rank is `１`, must be a whole number from 0 to 255",
        ),
        ("tier_policy", "0.10,1,3", "0.10,1.0,3", "line 2: confirm_up_decisions is `1.0`, must be a whole number"),
        ("tier_gates", "50000", "50_000", "line 4: threshold is `50_000`, must be a number"),
        ("score_weights", "r,0.30", "r,0.30 ", "line 2: weight is `0.30 `, must be a number"),
        ("score_weights", "1970-01-01,r", "19700101,r", "line 2: valid_from is `19700101`, must be a date like"),
        ("tier_benefits", "1970-01-01,gold", "1900-01-01,gold", "valid_from is `1900-01-01`, must be a date from 1970"),
        (
            "tier_policy",
            "1970-01-01,score,",
            "1970-01-01,,",
            "line 3: policy is ``, must be a name without spaces around",
        ),
        ("tier_standards", "gold,2", "gold ,2", "line 3: tier is `gold `, must be a name without spaces around it"),
        ("tier_standards", "15,5000", "nan,5000", "line 2: minimum_orders_per_month is `nan`, must be a number"),
        ("tier_standards", "15,5000", "1e400,5000", "line 2: minimum_orders_per_month is `1e400`, must be a number"),
        ("tier_standards", "15,5000", "15.5,5000", "minimum_orders_per_month is `15.5`, must be a whole number from 0"),
        ("tier_gates", "overdue_days_max,15", "overdue_days_max,long", "line 2: threshold is `long`, must be a number"),
        (
            "tier_standards",
            "minimum_orders_per_month",
            "orders",
            "line 1: lacks the column minimum_orders_per_month; it",
        ),
        ("score_weights", "r,0.30", "r", "line 2: has fewer fields than the header; quote a text that holds a comma"),
        ("score_weights", "r,0.30", "r,0,30,", "line 2: has more fields than the header"),
        (
            "score_weights",
            "\n1970-01-01,m",
            "\n\n1970-01-01,m",
            "line 4: is empty, which would be loaded as a row; take it",
        ),
        ("labels", "gate of tier_gates\n", "gate of tier_gates\n\n", "line 7: is empty"),
    ],
)
def test_a_broken_row_is_named_with_its_fault(seeds: Path, seed: str, before: str, after: str, fault: str) -> None:
    path = seeds / f"{seed}.csv"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")

    with pytest.raises(TierhouseError, match=re.escape(fault)) as raised:
        check_seeds(seeds)

    assert str(raised.value).startswith(f"seed {seed}.csv, line ")


FIVE_TIERS = """2026-07-01,diamond,1,diamond 钻石,15,5000,0.10,0.10,VIP
2026-07-01,platinum,2,platinum 铂金,10,3000,0.20,0.20,between the two
2026-07-01,gold,3,gold 黄金,8,2000,0.30,0.30,高级
2026-07-01,silver,4,silver 白银,3,800,0.70,0.70,普通
2026-07-01,bronze,5,bronze 青铜,0,0,1.00,1.00,低频
"""


def add(seeds: Path, seed: str, rows: str) -> None:
    path = seeds / f"{seed}.csv"
    path.write_text(path.read_text(encoding="utf-8") + rows, encoding="utf-8")


def next_version(seeds: Path, seed: str, old: str, new: str) -> str:
    """The rows of the first version from 2026-07-01 on, with a tier renamed."""
    lines = (seeds / f"{seed}.csv").read_text(encoding="utf-8").splitlines()[1:]
    return "".join(line.replace("1970-01-01", "2026-07-01").replace(old, new) + "\n" for line in lines)


@pytest.mark.parametrize(("seed", "rows"), [("tier_benefits", "platinum"), ("churn_actions", "platinum high")])
def test_a_tier_that_a_later_ladder_adds_needs_its_rows_from_then_on(seeds: Path, seed: str, rows: str) -> None:
    add(seeds, "tier_standards", FIVE_TIERS)
    for other in {"tier_benefits", "churn_actions"} - {seed}:
        kept = next_version(seeds, other, "diamond", "diamond")
        of_platinum = "".join(line + "\n" for line in kept.splitlines() if ",gold," in line).replace(
            ",gold,", ",platinum,"
        )
        add(seeds, other, kept + of_platinum)

    fault = f"version 1970-01-01 has no row for {rows}, a tier from 2026-07-01 on; add a version that begins then"
    with pytest.raises(TierhouseError, match=f"seed {seed}.csv, line [0-9]+: {fault}"):
        check_seeds(seeds)


def test_a_renamed_tier_asks_for_versions_of_the_seeds_that_name_it(seeds: Path) -> None:
    add(seeds, "tier_standards", next_version(seeds, "tier_standards", "diamond", "platinum"))
    with pytest.raises(TierhouseError, match="standards of 2026-07-01; add a version that begins on 2026-07-01"):
        check_seeds(seeds)

    for seed in ("tier_benefits", "churn_actions"):
        add(seeds, seed, next_version(seeds, seed, "diamond", "platinum"))
    check_seeds(seeds)


def test_the_shipped_seeds_give_nothing_to_note(seeds: Path) -> None:
    assert seed_notes(seeds) == []


def test_a_tier_put_in_between_is_said_to_move_the_customers_below_it(seeds: Path) -> None:
    add(seeds, "tier_standards", FIVE_TIERS)
    (note,) = seed_notes(seeds)
    assert note.startswith(
        "tier_standards.csv: on 2026-07-01 everyone in gold becomes platinum, since a tier keeps its rank"
    )

    add(seeds, "tier_policy", next_version(seeds, "tier_policy", "standards,1,standards", "five tiers,1,standards"))
    assert [note for note in seed_notes(seeds) if "becomes" in note] == []


def test_a_gate_without_a_label_is_noted(seeds: Path) -> None:
    add(seeds, "tier_gates", "2026-07-01,waste,complaint_count_90d,2,gold,a gate of its own\n")
    assert seed_notes(seeds) == [
        "tier_gates.csv, line 7: `waste` has no row in the last version of labels.csv, and is shown as it stands"
    ]


def test_a_version_of_the_scoring_models_holds_every_model_that_a_policy_names(seeds: Path) -> None:
    add(seeds, "scoring_models", "2026-07-01,ratio_to_max,ratio_to_max,net_amount,half_life,30,midrank is left out\n")

    fault = "line 3: scoring_model `midrank` is not in scoring_models on 2026-07-01"
    policy = seeds / "tier_policy.csv"
    policy.write_text(
        policy.read_text(encoding="utf-8").replace("score,ratio_to_max", "score,midrank"), encoding="utf-8"
    )
    with pytest.raises(TierhouseError, match=fault):
        check_seeds(seeds)


def test_two_policies_of_one_day_are_refused(seeds: Path) -> None:
    path = seeds / "tier_policy.csv"
    path.write_text(
        path.read_text(encoding="utf-8") + path.read_text(encoding="utf-8").splitlines()[-1] + "\n", encoding="utf-8"
    )

    with pytest.raises(TierhouseError, match="second row for 1970-01-01"):
        check_seeds(seeds)


def test_a_day_before_the_first_version_is_refused(seeds: Path) -> None:
    with pytest.raises(TierhouseError, match="begins on 1970-01-01, after the as-of date 1969-12-31; let it begin"):
        check_seeds(seeds, date(1969, 12, 31))


def test_the_seeds_hold_on_every_day_that_can_land(seeds: Path) -> None:
    check_seeds(seeds, date(1970, 1, 2))


def test_a_seed_of_another_encoding_is_told_to_be_saved_as_utf8(seeds: Path) -> None:
    path = seeds / "tier_policy.csv"
    path.write_bytes(path.read_bytes() + "1970-01-02,é".encode("latin-1"))

    with pytest.raises(
        TierhouseError, match=r"seed tier_policy.csv cannot be read: it is not UTF-8 text; save it as UTF-8"
    ):
        check_seeds(seeds)


def test_a_missing_seed_is_named(seeds: Path) -> None:
    (seeds / "tier_policy.csv").unlink()

    with pytest.raises(TierhouseError, match=r"seed tier_policy.csv cannot be read"):
        check_seeds(seeds)
