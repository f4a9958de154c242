"""Forecasts of weekly sales: what serves, what is judged against what, the Spring Festival, too little history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from orchestration.predictive import forecast as subject
from orchestration.predictive.forecast import Path, forecast, rolling_origins, scale
from orchestration.predictive.spring_festival import _NEW_YEARS, phase_shares

LAST = date(2026, 3, 23)


def _weeks(count: int, last: date = LAST) -> list[date]:
    return [last + timedelta(weeks=place - count + 1) for place in range(count)]


def _festive(count: int, last: date = LAST, noise: float = 0.03) -> np.ndarray:
    """A steady business with a yearly wave that stocks up, closes and comes back around the Spring Festival."""
    weeks = _weeks(count, last)
    wave = np.sin(np.array([week.timetuple().tm_yday for week in weeks]) / 365.25 * 2 * np.pi)
    random = np.random.default_rng(4).normal(0, noise, 600)[:count]
    return 1e6 * np.exp(0.15 * wave + phase_shares(weeks) @ np.array([0.2, -1.2, -0.4]) + random)


def test_the_new_year_is_a_day_of_new_moon_in_china() -> None:
    # Mean new moons (Meeus), within 15 hours of the true ones; a calendar day is 24 hours long.
    for day in _NEW_YEARS:
        assert date(day.year, 1, 21) <= day <= date(day.year, 2, 20)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo("Asia/Shanghai"))
        julian = noon.astimezone(UTC).timestamp() / 86400 + 2440587.5
        moons = (julian - 2451550.09766) / 29.530588861
        assert abs(moons - round(moons)) * 29.530588861 * 24 < 12 + 15, day
    assert {day.year for day in _NEW_YEARS} == set(range(2005, 2045))


def test_the_phases_of_a_week_are_shares_of_its_days() -> None:
    # New year on Tuesday 17 February 2026.
    shares = phase_shares([date(2026, 1, 26), date(2026, 2, 9), date(2026, 2, 16), date(2026, 2, 23), date(2026, 3, 9)])
    np.testing.assert_allclose(shares * 7, [[3, 0, 0], [5, 2, 0], [0, 7, 0], [0, 1, 6], [0, 0, 0]])


def test_a_festival_that_the_history_holds_is_foreseen_where_last_year_is_wrong() -> None:
    # The festival of 2025 was three weeks earlier than that of 2026.
    last = date(2026, 1, 19)
    made = forecast(_festive(120, last), last)
    truth = _festive(128, last + timedelta(weeks=8), noise=0)[-8:]

    assert (made.method, made.verdict, made.baseline) == ("structural", "model_serves", "seasonal_naive")
    assert made.spring_festival == "learned"
    assert made.mase < made.baseline_mase
    np.testing.assert_allclose(made.path.middle, truth, rtol=0.12)
    # The week of the new year itself, of which last year's week knows nothing.
    assert made.path.middle[3] < 0.5 * made.path.middle[0]
    assert (made.path.low < made.path.middle).all() and (made.path.middle < made.path.high).all()


def test_where_a_model_does_not_beat_last_year_last_year_serves_and_says_so() -> None:
    # Every week is another level, the same one each year: nothing but the season to learn.
    season = np.random.default_rng(1).uniform(50, 500, 52)
    sales = np.tile(season, 3) * np.random.default_rng(2).normal(1, 0.01, 156)

    made = forecast(sales, LAST)

    assert (made.method, made.verdict) == ("seasonal_naive", "baseline_serves")
    assert made.mase == made.baseline_mase
    np.testing.assert_array_equal(made.path.middle, sales[-52:-44])


def test_the_error_is_scaled_by_the_change_over_a_season_and_compared_over_the_same_origins() -> None:
    assert rolling_origins(129, 60) == [121, 117, 113, 109, 105, 101]
    assert rolling_origins(76, 60) == [68, 64, 60]
    sales = _festive(129)
    errors = []
    for end in rolling_origins(129, 60):
        last_year = sales[end - 52 : end - 44]
        change = np.mean([abs(sales[week] - sales[week - 52]) for week in range(52, end)])
        errors.append(np.abs(sales[end : end + 8] - last_year).mean() / change)
    assert forecast(sales, LAST).baseline_mase == pytest.approx(np.mean(errors))
    assert scale(np.array([1.0, 4.0, 2.0])) == 2.5


def test_intervals_hold_about_four_of_five_outcomes_of_simulated_business() -> None:
    inside = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        level = np.cumsum(random.normal(0, 0.02, 128))
        sales = 1e5 * np.exp(level + random.normal(0, 0.05, 128))
        made = subject.structural(sales[:120], _weeks(128)[:120], _weeks(128)[120:])
        inside.append(np.mean((sales[120:] >= made.low) & (sales[120:] <= made.high)))
    assert 0.65 < np.mean(inside) < 0.95


@pytest.mark.parametrize(
    ("weeks", "method", "baseline", "verdict"),
    [
        (1, {"recent_mean"}, "recent_mean", "history_too_short"),
        (33, {"recent_mean"}, "recent_mean", "history_too_short"),
        (34, {"naive", "ets", "structural"}, "naive", None),
        (75, {"naive", "ets", "structural"}, "naive", None),
        (76, {"seasonal_naive", "ets", "structural"}, "seasonal_naive", None),
    ],
)
def test_a_short_history_has_a_named_fallback(weeks: int, method: set[str], baseline: str, verdict: str | None) -> None:
    made = forecast(_festive(weeks), LAST)

    assert made.method in method
    assert made.baseline == baseline
    assert made.verdict == (verdict or ("baseline_serves" if made.method == baseline else "model_serves"))
    assert made.week_count == weeks
    assert np.isfinite(made.path.middle).all() and (made.path.middle > 0).all()
    assert np.isnan(made.path.low).all() == (weeks < 3)
    assert np.isnan(made.mase) == (baseline == "recent_mean")


def _last_fit(monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], Path]) -> None:
    """The structural model as it is at the origins, changed when it is fitted to the whole history."""
    real = subject.structural

    def structural(sales: np.ndarray, past: list[date], coming: list[date]) -> Path:
        made = real(sales, past, coming)
        return change(made) if past[-1] == date(2026, 1, 19) else made

    monkeypatch.setattr(subject, "structural", structural)


def _fails(path: Path) -> Path:
    raise np.linalg.LinAlgError("Schur decomposition solver error.")


@pytest.mark.parametrize(
    "change",
    [
        _fails,
        lambda path: replace(path, middle=np.r_[path.middle[:7], np.nan]),
        # Finite, but not an amount that the table could hold: it would be stored as 0.
        lambda path: replace(path, middle=path.middle * 1e12),
    ],
)
def test_where_the_best_model_finds_no_path_the_baseline_serves_and_says_so(
    change: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _last_fit(monkeypatch, change)
    sales, last = _festive(120, date(2026, 1, 19)), date(2026, 1, 19)
    made = forecast(sales, last)
    assert (made.method, made.verdict, made.baseline) == ("seasonal_naive", "model_failed", "seasonal_naive")
    assert made.mase == made.baseline_mase and made.spring_festival == "ignored"
    np.testing.assert_array_equal(made.path.middle, sales[-52:-44])


def test_an_interval_with_an_end_that_is_no_number_is_unknown_and_the_model_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _last_fit(monkeypatch, lambda path: replace(path, high=np.r_[path.high[:7], np.inf]))
    made = forecast(_festive(120, date(2026, 1, 19)), date(2026, 1, 19))
    assert (made.method, made.verdict) == ("structural", "model_serves")
    for end in (made.path.low, made.path.high):
        assert np.isnan(end).tolist() == [False] * 7 + [True]


@pytest.mark.parametrize("sales", [np.zeros(120), np.full(120, 7.0), np.r_[np.zeros(100), np.full(40, 7.0), -5.0]])
def test_weeks_without_sales_or_below_zero_are_no_exception(sales: np.ndarray) -> None:
    made = forecast(sales, LAST)
    assert np.isfinite(made.path.middle).all()
    assert made.path.middle.max() <= 7.1


@pytest.mark.parametrize("count", [10, 60, 110])
def test_nothing_below_zero_is_foreseen_where_no_week_was_below_it(count: int) -> None:
    draw = np.random.default_rng(5)
    sales = draw.choice([0.0, 0.0, 40.0, 900.0], size=count)
    sales[[0, -1]] = 40.0
    made = forecast(sales, LAST).path
    assert min(made.middle.min(), made.low.min()) == 0 < made.high.min()
    refunded = np.r_[sales[:-3], -900.0, sales[-2:]]
    assert forecast(refunded, LAST).path.low.min() < 0


def test_weeks_before_the_first_sale_are_left_out() -> None:
    made = forecast(np.r_[np.zeros(90), _festive(40)], LAST)
    assert made.week_count == 40
    assert made.path.middle.tolist() == forecast(_festive(40), LAST).path.middle.tolist()


def test_the_number_of_threads_changes_nothing() -> None:
    made = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            made.append(forecast(_festive(80), LAST))
    assert made[0].mase == made[1].mase
    for ends in ("low", "middle", "high"):
        np.testing.assert_array_equal(getattr(made[0].path, ends), getattr(made[1].path, ends))
