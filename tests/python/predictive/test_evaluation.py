"""Measures against hand-computed values and scipy, ties and row order, intervals and verdicts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestration.predictive.evaluation import (
    BASELINE_SERVES,
    PROMOTED,
    TOO_LITTLE_DATA,
    Evaluation,
    Options,
    Origin,
    Question,
    Ranking,
    as_probability,
    brier,
    calibration,
    capture,
    evaluate,
    log_loss,
    normalised_gini,
    spearman,
)
from orchestration.predictive.evaluation_text import in_words, signed

FEW = Options(resamples=60, fewest_customers=100, fewest_of_an_outcome=10)


def test_capture_is_the_share_of_the_value_that_the_best_tenth_holds() -> None:
    actual = np.array([50.0, 10, 10, 10, 10, 2, 2, 2, 2, 2])
    score = np.arange(10, 0, -1)
    assert capture(actual, score, 0.1) == pytest.approx(0.50)
    assert capture(actual, score, 0.2) == pytest.approx(0.60)
    # A customer on the edge counts in part.
    assert capture(actual, score, 0.15) == pytest.approx(0.55)


def test_tied_scores_share_what_they_hold() -> None:
    actual, nothing = np.array([9.0, 1, 0, 0]), np.zeros(4)
    assert capture(actual, nothing, 0.25) == pytest.approx(0.25)
    assert normalised_gini(actual, nothing) == pytest.approx(0.0)
    # The two best are tied: each counts as their mean of 5.
    assert capture(actual, np.array([2, 2, 1, 0]), 0.25) == pytest.approx(0.5)


def test_gini_is_that_of_the_definition() -> None:
    actual, score = np.array([5.0, 1, 3, 1]), np.array([1.0, 4, 3, 2])

    def plain(order: np.ndarray) -> float:
        n = len(actual)
        return float((np.cumsum(actual[order]).sum() / actual.sum() - (n + 1) / 2) / n)

    assert plain(np.argsort(-score)) == pytest.approx((0.1 + 0.4 + 0.5 + 1.0 - 2.5) / 4)
    assert normalised_gini(actual, score) == pytest.approx(plain(np.argsort(-score)) / plain(np.argsort(-actual)))
    assert normalised_gini(actual, actual) == pytest.approx(1.0)


def test_gini_of_yes_or_no_is_twice_the_area_under_the_curve_less_one() -> None:
    generator = np.random.default_rng(1)
    happened = (generator.random(400) < 0.3).astype(float)
    score = np.round(generator.normal(size=400) + happened, 1)
    ones, zeros = score[happened == 1], score[happened == 0]
    area = stats.mannwhitneyu(ones, zeros).statistic / (len(ones) * len(zeros))
    assert normalised_gini(happened, score) == pytest.approx(2 * area - 1)


def test_spearman_brier_and_log_loss_are_those_of_others() -> None:
    generator = np.random.default_rng(2)
    actual, score = generator.integers(0, 5, 300).astype(float), generator.integers(0, 9, 300).astype(float)
    assert spearman(actual, score) == pytest.approx(stats.spearmanr(actual, score).statistic)
    happened, chance = np.array([1.0, 0, 1]), np.array([0.9, 0.2, 0.5])
    assert brier(happened, chance) == pytest.approx((0.01 + 0.04 + 0.25) / 3)
    assert log_loss(happened, chance) == pytest.approx(-(np.log(0.9) + np.log(0.8) + np.log(0.5)) / 3)
    assert log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(-np.log(1e-6))


def test_a_customer_drawn_twice_counts_as_two_customers() -> None:
    generator = np.random.default_rng(3)
    actual, score = generator.gamma(0.3, 100, 60), generator.integers(0, 12, 60).astype(float)
    weight = generator.integers(0, 4, 60)
    twice = np.repeat(np.arange(60), weight)
    for weighted, plain in (
        (Ranking(actual, score).capture(0.1, weight), capture(actual[twice], score[twice])),
        (Ranking(actual, score).gini(weight), Ranking(actual[twice], score[twice]).gini()),
    ):
        assert weighted == pytest.approx(plain)


def test_the_order_of_rows_changes_no_measure() -> None:
    generator = np.random.default_rng(4)
    actual, score = generator.gamma(0.3, 100, 500), generator.integers(0, 20, 500).astype(float)
    mixed = generator.permutation(500)
    for measure in (capture, normalised_gini):
        assert measure(actual[mixed], score[mixed]) == measure(actual, score)
    assert spearman(actual[mixed], score[mixed]) == pytest.approx(spearman(actual, score), abs=1e-12)
    assert calibration(actual[mixed], score[mixed]) == calibration(actual, score)


def test_calibration_by_decile_keeps_equal_predictions_together() -> None:
    predicted = np.repeat([1.0, 2.0, 4.0, 8.0, 10.0], 20)
    measured = calibration(2 * predicted + 1, predicted)
    assert measured["calibration_slope"] == pytest.approx(2.0)
    assert measured["calibration_intercept"] == pytest.approx(1.0)
    assert measured["calibration_ratio"] == pytest.approx(predicted.sum() / (2 * predicted + 1).sum())
    # Each of the five values is a fifth of the customers, around the middle of which one decile begins.
    filled = {name: value for name, value in measured.items() if "decile_" in name and not np.isnan(value)}
    deciles = [filled[f"calibration_decile_{number:02d}"] for number in (2, 4, 6, 8, 10)]
    assert deciles == pytest.approx([1 / 3, 2 / 5, 4 / 9, 8 / 17, 10 / 21])
    assert measured["calibration_decile_error"] == pytest.approx(1 - np.mean(deciles))


def test_a_score_becomes_the_share_of_yes_in_its_tenth_of_an_earlier_day() -> None:
    earlier = np.arange(100, dtype=float)
    happened = (earlier >= 50).astype(float)
    chance = as_probability(np.array([-5.0, 3.0, 97.0, 500.0]), earlier, happened)
    assert chance == pytest.approx([1 / 12, 1 / 12, 11 / 12, 11 / 12], abs=0.02)
    assert as_probability(np.array([7.0]), np.full(50, 7.0), np.r_[np.ones(10), np.zeros(40)])[0] == pytest.approx(
        11 / 52
    )


def _origins(model_noise: float, count: int = 400, days: int = 3, seed: int = 5) -> list[Origin]:
    """A baseline that sees the truth through noise of 1, a second one that sees nothing, and a model with noise of its own."""
    generator = np.random.default_rng(seed)
    customers = np.arange(1, count + 1)
    truth = generator.normal(size=count)
    origins = []
    for number in range(days):
        actual = np.exp(truth + 0.3 * generator.normal(size=count))
        scores = {
            "model": np.exp(truth + model_noise * generator.normal(size=count)),
            "seeing": truth + generator.normal(size=count),
            "blind": generator.normal(size=count),
        }
        origins.append(Origin(date(2024, 1 + number, 28), customers, actual, scores, scores["model"]))
    return origins


def _deciding(evaluation: Evaluation) -> pd.Series:
    return evaluation.rows[evaluation.rows["is_deciding"]].iloc[0]


QUESTION = Question("model", "normalised_gini", 90)


def test_a_clearly_better_model_is_promoted_and_a_like_one_is_not() -> None:
    better, like = (evaluate(QUESTION, _origins(noise), FEW) for noise in (0.3, 1.0))
    assert (better.verdict, better.served_model, better.best_baseline) == (PROMOTED, "model", "seeing")
    row = _deciding(better)
    assert row["low"] < row["value"] < row["high"]
    assert 0 < row["gain_low"] < row["gain"] < row["gain_high"]
    assert row["gain"] == pytest.approx(row["value"] - row["baseline_value"])
    assert (like.verdict, like.served_model) == (BASELINE_SERVES, "seeing")
    assert _deciding(like)["gain_low"] <= 0
    assert set(row["baseline_values"]) == {"seeing", "blind"}


def test_what_is_in_use_serves_where_the_model_loses() -> None:
    lost = evaluate(Question("model", "normalised_gini", 90, in_use="blind"), _origins(3.0), FEW)
    assert (lost.verdict, lost.served_model, lost.best_baseline) == (BASELINE_SERVES, "blind", "seeing")
    assert _deciding(lost)["comparison"] == "baseline_better"


def test_the_same_customers_in_another_order_give_the_same_evaluation() -> None:
    origins = _origins(0.8)
    generator = np.random.default_rng(6)
    mixed = []
    for origin in origins:
        order = generator.permutation(len(origin.actual))
        mixed.append(
            Origin(
                origin.day,
                origin.customer_id[order],
                origin.actual[order],
                {name: score[order] for name, score in origin.scores.items()},
                origin.predicted[order],
            )
        )
    first, second = evaluate(QUESTION, origins, FEW), evaluate(QUESTION, mixed, FEW)
    pd.testing.assert_frame_equal(first.rows, second.rows, check_exact=True)


def test_the_interval_of_a_pair_is_narrower_than_those_of_its_two_sides() -> None:
    row = _deciding(evaluate(QUESTION, _origins(0.9), FEW))
    assert row["gain_high"] - row["gain_low"] < 2 * (row["high"] - row["low"])


def test_equal_models_are_promoted_by_chance_in_few_worlds_only() -> None:
    options = Options(resamples=60, fewest_customers=100)
    verdicts = [evaluate(QUESTION, _origins(1.0, count=150, days=2, seed=seed), options).verdict for seed in range(40)]
    assert verdicts.count(PROMOTED) <= 6


def test_chances_are_judged_by_brier_where_less_is_better() -> None:
    generator = np.random.default_rng(7)
    origins = []
    for number in range(2):
        chance = generator.beta(0.5, 0.5, 600)
        happened = (generator.random(600) < chance).astype(float)
        chances = {"model": chance, "flat": np.full(600, 0.5)}
        origins.append(Origin(date(2024, 1 + number, 28), np.arange(600), happened, chances, chance, chances))
    judged = evaluate(Question("model", "brier", 30, is_yes_or_no=True), origins, FEW)
    row = _deciding(judged)
    assert judged.verdict == PROMOTED
    assert row["gain"] == pytest.approx(row["baseline_value"] - row["value"]) and row[
        "baseline_value"
    ] == pytest.approx(0.25)
    measured = judged.rows.set_index("metric")["value"]
    assert measured["calibration_ratio"] == pytest.approx(1.0, abs=0.1)
    assert measured["calibration_slope"] == pytest.approx(1.0, abs=0.1)
    assert "log_loss" in measured


@pytest.mark.parametrize(
    ("origins", "why", "why_zh"),
    [
        ([], "0 cut days, fewer than 2", "0个截止日，少于2个"),
        (_origins(0.3, days=1), "1 cut days, fewer than 2", "1个截止日，少于2个"),
        (
            _origins(0.3, count=30),
            "; 2024-01-28: 30 customers, fewer than 100",
            "；2024-01-28：30位客户，少于100位",
        ),
        (
            [Origin(one.day, one.customer_id, 0 * one.actual, one.scores, one.predicted) for one in _origins(0.3)],
            "0 customers with an outcome, fewer than 10",
            "0位客户有该结果，少于10位",
        ),
        (
            [Origin(one.day, one.customer_id, one.actual, {"blind": one.actual}, one.actual) for one in _origins(0.3)],
            "no model",
            "没有模型",
        ),
    ],
)
def test_too_little_data_is_a_verdict_with_a_reason_in_both_languages(
    origins: list[Origin], why: str, why_zh: str
) -> None:
    judged = evaluate(Question("model", "normalised_gini", 90, in_use="historical_margin"), origins, FEW)
    assert (judged.verdict, judged.served_model) == (TOO_LITTLE_DATA, "historical_margin")
    english, chinese = in_words(judged)
    assert f"too little data ({judged.reason})" in english and why in judged.reason
    assert f"数据不足（{judged.reason_zh}）" in chinese and why_zh in judged.reason_zh
    # Nothing but the model's name, which is not translated, is left in Latin letters.
    assert not re.search("[a-z]{3}", chinese.removeprefix("model"))


@pytest.mark.parametrize(
    ("question", "promoted", "lost", "unjudged"),
    [
        (
            replace(QUESTION, in_use="recency"),
            ("and serves:", "投入使用"),
            ("so days since the last order serve:", "继续使用距上次下单天数"),
            ("; days since the last order serve.", "；继续使用距上次下单天数。"),
        ),
        (
            QUESTION,
            ("and serves:", "投入使用"),
            ("so seeing serves:", "改用seeing"),
            ("; it goes on serving unjudged.", "；未经评估，暂继续使用。"),
        ),
        (
            replace(QUESTION, is_advice=True),
            ("and is promoted:", "予以采用"),
            ("so seeing is to be preferred:", "宜采用seeing"),
            ("fewer than 2).", "少于2个）。"),
        ),
    ],
)
def test_the_verdict_in_words_says_what_follows_from_it(
    question: Question, promoted: tuple[str, str], lost: tuple[str, str], unjudged: tuple[str, str]
) -> None:
    for origins, wanted in ((_origins(0.3), promoted), (_origins(3.0), lost), ([], unjudged)):
        for text, part in zip(in_words(evaluate(question, origins, FEW)), wanted, strict=True):
            assert part in text


@pytest.mark.parametrize(
    ("gain", "text"),
    [(0.0234, "+0.023"), (-0.00031, "-0.0003"), (0.00004, "+0.00004"), (-0.0, "+0.000"), (-1e-7, "+0.000")],
)
def test_a_gain_is_never_minus_zero_in_words(gain: float, text: str) -> None:
    assert signed(gain) == text


def test_losses_are_nothing_to_find() -> None:
    origins = [
        Origin(one.day, one.customer_id, np.where(one.actual < 1, -50.0, one.actual), one.scores, one.predicted)
        for one in _origins(0.3)
    ]
    measured = evaluate(QUESTION, origins, FEW).rows.set_index("metric")["value"]
    assert 0 < measured["capture_10"] <= 1 and 0 < measured["normalised_gini"] <= 1
