"""Lifetime value as a whole: the choice of a model, what an artifact carries, fallbacks, losses, and that nothing else counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from simulated_bases import simulate_base
from threadpoolctl import threadpool_limits

from orchestration.predictive.artifacts import Artifact
from orchestration.predictive.lifetime_value import (
    Options,
    fit_lifetime_value,
    holdout_days,
    reason_not_to_fit,
    score_lifetime_value,
)
from orchestration.predictive.regularity import choose_order_model, measure_regularity, poisson_deviance

UNTIL = date(2024, 5, 31)
OPTIONS = Options()


def customers_of(count: int, seed: int, k: int = 1) -> pd.DataFrame:
    """Customers of a simulated base in days: mean margin about 30, every tenth without costs, every twentieth with a loss."""
    base = simulate_base(count, 0.9, 9.0 / k, 0.9, 7.0, seed=seed, k=k, longest=300.0, ahead=90.0)
    random = np.random.default_rng(seed)
    now = base.x + base.orders_ahead
    # The base's T lies `ahead` before the end of the training.
    frame = pd.DataFrame(
        {
            "customer_id": np.arange(count, dtype=np.uint64) * 7 + 3,
            "order_day_count": now + 1,
            "days_to_last_order": np.where(base.orders_ahead > 0, base.T + 45.0, base.t_x),
            "days_since_first_order": base.T + 90.0,
            "is_from_revenue": (np.arange(count) % 10 == 0).astype(np.uint8),
            "last_gap": base.last_gap,
            "gap_before": base.gap_before,
            "early_order_day_count": base.x + 1,
            "early_days_to_last_order": base.t_x,
        }
    )
    mean = random.gamma(3.0 * frame["order_day_count"], 1.0) / frame["order_day_count"] * random.gamma(5.0, 2.0, count)
    mean[np.arange(count) % 20 == 1] *= -0.5
    return frame.assign(value_to_date=mean * frame["order_day_count"])


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    return customers_of(3000, seed=1)


@pytest.fixture(scope="module")
def artifact(training: pd.DataFrame) -> Artifact:
    return fit_lifetime_value(training, UNTIL, 90, OPTIONS)


def test_wheat_and_morrison_find_the_k_of_simulated_gaps_whatever_the_rates() -> None:
    for k in (1, 2, 5):
        random = np.random.default_rng(k)
        rate = random.gamma(1.0, 1.0, 20_000)
        gaps = random.gamma(k, 1 / rate, (2, 20_000))
        assert measure_regularity(gaps[0], gaps[1], 50).k == pytest.approx(k, rel=0.05)


def test_regularity_is_unknown_with_few_gaps_and_large_for_clockwork() -> None:
    gaps = np.full(100, 7.0)
    assert measure_regularity(gaps[:49], gaps[:49], 50).k is None
    assert measure_regularity(np.full(100, np.nan), np.full(100, np.nan), 50).k is None
    assert measure_regularity(gaps, gaps, 50).k == 1000.0


def test_the_poisson_deviance_is_smallest_at_the_mean() -> None:
    actual = np.array([0.0, 1.0, 5.0])
    means = [poisson_deviance(actual, np.full(3, guess)).mean() for guess in (1.5, 2.0, 2.5)]
    assert means[1] == min(means)
    assert poisson_deviance(np.array([0.0, 3.0]), np.array([0.0, 3.0])) == pytest.approx([0.0, 0.0], abs=1e-8)


@pytest.mark.parametrize(("k", "expected"), [(1, 1), (4, 4)])
def test_a_regular_variant_is_used_where_gaps_are_regular_and_not_where_they_are_random(k: int, expected: int) -> None:
    base = simulate_base(8000, 2.0, 14.0 / k, 1.2, 8.0, seed=6, k=k, ahead=60.0)
    choice = choose_order_model(
        np.arange(8000), base.x, base.t_x, base.T, base.orders_ahead, 60.0, largest_k=4, most=50_000
    )

    assert choice.k == expected
    assert len(choice.trials) == 5
    assert choice.stops_at_start and choice.reason.startswith("bg_nbd does not beat mbg_nbd")
    assert ("mbg_cnbd_4 beats mbg_nbd" in choice.reason) == (k > 1)
    for trial in choice.trials:
        assert trial.seen == base.orders_ahead.sum()
    assert choice.trials[0].name == "mbg_nbd"
    assert choice.trials[0].forecast == pytest.approx(base.orders_ahead.sum(), rel=0.1)


def test_bg_nbd_is_used_only_where_it_beats_mbg_nbd_clearly() -> None:
    """In this base nobody stops after the first order, and most who stop do so soon after: MBG/NBD takes new customers for gone."""
    base = simulate_base(12_000, 0.5, 30.0, 1.0, 1.0, seed=8, stops_at_start=False, shortest=20.0, longest=120.0)
    choice = choose_order_model(
        np.arange(12_000), base.x, base.t_x, base.T, base.orders_ahead, 100.0, largest_k=1, most=50_000
    )
    assert (choice.stops_at_start, choice.k) == (False, 1)
    assert choice.reason.startswith("bg_nbd beats mbg_nbd")
    assert choice.trials[1].deviance < 0.99 * choice.trials[0].deviance


def test_the_artifact_says_what_was_learned_from_what(artifact: Artifact, training: pd.DataFrame) -> None:
    learned = artifact.parameters

    assert artifact.trained_until == UNTIL
    assert (UNTIL - artifact.trained_from).days == int(training["days_since_first_order"].max())
    assert learned["orders"]["customer_count"] == 3000
    assert all(error > 0 for error in learned["orders"]["errors"].values())
    assert 0.8 < learned["regularity"]["k"] < 1.2
    assert learned["choice"]["k"] == 1
    assert learned["value"]["margin"]["customer_count"] == 2550  # 300 of 3,000 have no costs, 150 have a loss
    assert learned["value"]["margin"]["excluded_share"] == pytest.approx(150 / 2700)
    assert learned["value"]["revenue"]["customer_count"] == 300
    assert Artifact.from_json(artifact.to_json()) == artifact


def test_scores_are_in_bounds_and_add_up(artifact: Artifact, training: pd.DataFrame) -> None:
    scores = score_lifetime_value(training, artifact, OPTIONS)

    assert scores["customer_id"].tolist() == sorted(training["customer_id"])
    assert (scores["method"] == "mbg_nbd").all()
    assert (scores["model_version"] == artifact.version).all()
    assert scores["p_alive"].between(0, 1).all() and scores["p_no_order_30d"].between(0, 1).all()
    assert (scores["p_no_order_30d"] >= 1 - scores["p_alive"] - 1e-12).all()
    margin = scores["expected_order_count_365d"] * scores["expected_order_value"]
    assert (scores["expected_margin_365d"] - margin).abs().max() < 0.006 * scores[
        "expected_order_count_365d"
    ].max() + 0.01
    gain = scores["expected_order_value"] > 0
    assert (scores.loc[gain, "residual_value"] >= scores.loc[gain, "expected_margin_365d"] * 0.9).all()
    loss = scores["value_method"] == "shrunk_mean"
    assert loss.sum() == 150
    assert scores.loc[loss, "expected_order_value"].min() < 0
    assert (scores["value_method"] == "gamma_gamma").sum() == 2850


def test_scores_move_by_the_customers_own_history_alone(artifact: Artifact, training: pd.DataFrame) -> None:
    everyone = score_lifetime_value(training, artifact, OPTIONS).set_index("customer_id")
    few = training.sample(200, random_state=4)

    alone = score_lifetime_value(few, artifact, OPTIONS).set_index("customer_id")
    pd.testing.assert_frame_equal(alone, everyone.loc[alone.index], check_exact=True)


def test_the_order_of_the_rows_changes_neither_the_artifact_nor_a_score(
    artifact: Artifact, training: pd.DataFrame
) -> None:
    shuffled = training.sample(frac=1, random_state=5)

    assert fit_lifetime_value(shuffled, UNTIL, 90, OPTIONS) == artifact
    pd.testing.assert_frame_equal(
        score_lifetime_value(shuffled, artifact, OPTIONS),
        score_lifetime_value(training, artifact, OPTIONS),
        check_exact=True,
    )


def test_the_number_of_threads_changes_neither_the_artifact_nor_a_score(
    training: pd.DataFrame,
) -> None:
    few, artifacts, scores = training.head(1000), [], []
    for threads in (1, 4):
        with threadpool_limits(limits=threads):
            artifacts.append(fit_lifetime_value(few, UNTIL, 90, OPTIONS))
            scores.append(score_lifetime_value(few, artifacts[0], OPTIONS))
    assert artifacts[0] == artifacts[1]
    pd.testing.assert_frame_equal(scores[0], scores[1], check_exact=True)


def test_options_and_data_change_the_version(artifact: Artifact, training: pd.DataFrame) -> None:
    richer = training.assign(value_to_date=training["value_to_date"] + 1.0)
    assert fit_lifetime_value(richer, UNTIL, 90, OPTIONS).version != artifact.version
    assert replace(OPTIONS, annual_discount_rate=0.2).code_version != OPTIONS.code_version


def test_a_higher_discount_rate_and_a_shorter_horizon_lower_the_residual_value(
    artifact: Artifact, training: pd.DataFrame
) -> None:
    few = training[training["value_to_date"] > 0].head(50)
    values = [
        score_lifetime_value(few, artifact, replace(OPTIONS, **changes))["residual_value"].sum()
        for changes in ({}, {"annual_discount_rate": 0.3}, {"residual_days": 365}, {"annual_discount_rate": 0.0})
    ]
    assert values[3] > values[0] > values[1] and values[0] > values[2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.head(150), "150 customers, fewer than 200"),
        (lambda frame: frame.assign(order_day_count=1), "0 customers with two order days, fewer than 50"),
        (lambda frame: frame.assign(days_since_first_order=60), "61 days of orders, fewer than 90"),
    ],
)
def test_too_little_data_is_a_named_reason(training: pd.DataFrame, change, reason: str) -> None:
    assert reason_not_to_fit(change(training), OPTIONS) == reason
    with pytest.raises(ValueError, match=reason):
        fit_lifetime_value(change(training), UNTIL, 30, OPTIONS)


def test_the_fallback_is_the_customers_own_rate_and_says_why() -> None:
    customers = pd.DataFrame(
        {
            "customer_id": [2, 1],
            "order_day_count": [10, 1],
            "days_to_last_order": [99, 0],
            "days_since_first_order": [99, 0],
            "value_to_date": [500.0, -9.0],
            "is_from_revenue": [0, 1],
        }
    )
    scores = score_lifetime_value(customers, None, OPTIONS, "2 customers, fewer than 200")

    assert scores["customer_id"].tolist() == [1, 2]
    assert set(scores["method"]) == {"historical_rate"} and set(scores["model_version"]) == {"none"}
    assert set(scores["reason"]) == {"2 customers, fewer than 200"}
    assert scores["expected_order_count_365d"].tolist() == pytest.approx([365 / 90, 36.5])
    assert scores["expected_margin_365d"].tolist() == pytest.approx([-36.5, 1825.0])
    assert scores[["p_alive", "p_no_order_30d", "residual_value"]].isna().all(axis=None)


def test_no_customers_give_no_rows(artifact: Artifact, training: pd.DataFrame) -> None:
    for model in (artifact, None):
        scores = score_lifetime_value(training.head(0), model, OPTIONS, "nobody")
        assert len(scores) == 0 and "residual_value" in scores


def test_new_customers_leave_no_holdout_and_the_model_of_both_dropouts_is_taken(training: pd.DataFrame) -> None:
    new = training.assign(early_order_day_count=0, early_days_to_last_order=0)
    choice = fit_lifetime_value(new, UNTIL, 90, OPTIONS).parameters["choice"]

    assert (choice["stops_at_start"], choice["k"], choice["trials"]) == (True, 1, [])
    assert "too few customers" in choice["reason"]


def test_the_holdout_is_at_most_a_third_of_the_history() -> None:
    assert [holdout_days(days, OPTIONS) for days in (2, 90, 269, 270, 900)] == [1, 30, 89, 90, 90]
