"""Weekly net sales of the coming eight weeks, one series at a time: a model only where it beats the seasonal naive forecast.

Methods are compared by their mean absolute scaled error over rolling origins. Definitions: docs/definitions.md, "Sales forecast".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from orchestration.predictive.one_thread import in_one_thread
from orchestration.predictive.spring_festival import phase_shares

MODEL_VERSION = "forecast-2"

HORIZON_WEEKS = 8
SEASON_WEEKS = 52
# Older weeks describe another business, and would cost time.
HISTORY_WEEKS = 4 * SEASON_WEEKS
ORIGINS = 6
ORIGIN_STEP_WEEKS = 4
INTERVAL = 0.8
_NORMAL = 1.2815515655446004
# Amounts are stored as Decimal(18, 2), which takes anything from here on, or without an end, for 0.
_TOO_LARGE = 1e16
# A series that is shorter gets the mean of its last weeks; one that is longer than the second can be judged by the season.
SHORTEST_FOR_MODELS = 34
SHORTEST_FOR_SEASON = 76
SHORTEST_TRAINING = 18
RECENT_WEEKS = 8

SEASONAL_NAIVE, NAIVE, ETS, STRUCTURAL, RECENT_MEAN = "seasonal_naive", "naive", "ets", "structural", "recent_mean"


@dataclass(frozen=True)
class Path:
    """A forecast per week: middle (the median), and the ends of the interval that holds INTERVAL of the outcomes; NaN ends
    where there is too little to tell, or the method knows none."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """What serves for one series, and how it did.

    verdict: model_serves (it beats the baseline), baseline_serves, model_failed (the model that beats it finds no path from the
    whole history, so the baseline serves), or history_too_short. mase, baseline_mase: mean absolute scaled
    error over the origins, NaN where nothing could be judged; interval_coverage: share of the outcomes of the origins inside
    the interval of the method. spring_festival: '' when none touches the coming weeks, else learned (the history of a structural
    model holds one) or ignored.
    """

    method: str
    baseline: str
    verdict: str
    path: Path
    mase: float
    baseline_mase: float
    interval_coverage: float
    origin_count: int
    week_count: int
    spring_festival: str


_Method = Callable[[np.ndarray, list[date], list[date]], Path]


@in_one_thread()
def forecast(sales: np.ndarray, last_monday: date) -> Forecast:
    """Forecast the HORIZON_WEEKS weeks after the one that starts on `last_monday`.

    sales: net sales of consecutive weeks, the last of them that of `last_monday`, CNY. Weeks before the first sale are left
    out. Raises ValueError without any week.
    """
    # As it loads it has its warnings shown always, so it loads before they are ignored.
    import statsmodels.tools.sm_exceptions  # noqa: F401

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A model that did not converge is judged by what it foresees, like any other.
        warnings.simplefilter("ignore")
        return _forecast(np.asarray(sales, dtype=np.float64), last_monday)


def _forecast(sales: np.ndarray, last_monday: date) -> Forecast:
    if not len(sales):
        raise ValueError("a forecast needs at least one week")
    sold = np.flatnonzero(sales)
    sales = sales[sold[0] if len(sold) else len(sales) - 1 :][-HISTORY_WEEKS:]
    count = len(sales)
    weeks = [last_monday + timedelta(weeks=place - count + 1) for place in range(count + HORIZON_WEEKS)]
    past, coming = weeks[:count], weeks[count:]
    if count < SHORTEST_FOR_MODELS:
        path = _not_below_history(_recent_mean(sales), sales)
        nothing = float("nan")
        return Forecast(
            RECENT_MEAN,
            RECENT_MEAN,
            "history_too_short",
            path,
            nothing,
            nothing,
            nothing,
            0,
            count,
            _festival("", past, coming),
        )
    is_seasonal = count >= SHORTEST_FOR_SEASON
    baseline = SEASONAL_NAIVE if is_seasonal else NAIVE
    origins = rolling_origins(count, SEASON_WEEKS + HORIZON_WEEKS if is_seasonal else SHORTEST_TRAINING)
    methods: dict[str, _Method] = {
        baseline: seasonal_naive if is_seasonal else naive,
        ETS: exponential_smoothing,
        STRUCTURAL: structural,
    }
    if _festival(STRUCTURAL, past, coming) == "learned":
        # However well it did in quiet weeks, it cannot foresee the closed ones that are known to come.
        del methods[ETS]
    errors, inside = {}, {}
    for name, method in methods.items():
        errors[name], inside[name] = _judge(method, sales, weeks, origins)
    best = baseline
    for name in methods:
        if errors[name] < errors[best]:
            best = name
    verdict = "baseline_serves" if best == baseline else "model_serves"
    served = _path(methods[best], sales, past, coming)
    if served is None:
        best, verdict = baseline, "model_failed"
        served = _not_below_history(methods[baseline](sales, past, coming), sales)
    return Forecast(
        method=best,
        baseline=baseline,
        verdict=verdict,
        path=served,
        mase=errors[best],
        baseline_mase=errors[baseline],
        interval_coverage=inside[best],
        origin_count=len(origins),
        week_count=count,
        spring_festival=_festival(best, past, coming),
    )


def rolling_origins(count: int, shortest: int) -> list[int]:
    """How many weeks are known at each origin: up to ORIGINS, the last one HORIZON_WEEKS before the end, none with fewer than
    `shortest` weeks."""
    ends = [count - HORIZON_WEEKS - ORIGIN_STEP_WEEKS * place for place in range(ORIGINS)]
    return [end for end in ends if end >= shortest]


def scale(known: np.ndarray) -> float:
    """What errors are divided by: the mean absolute change over a season within the known weeks, over a week where less than
    half a season can be compared."""
    lag = SEASON_WEEKS if len(known) >= 1.5 * SEASON_WEEKS else 1
    return float(np.abs(known[lag:] - known[:-lag]).mean())


def seasonal_naive(sales: np.ndarray, past: list[date], coming: list[date]) -> Path:
    """The same weeks a year before; the interval from the changes over a year in the history."""
    middle = sales[len(sales) - SEASON_WEEKS : len(sales) - SEASON_WEEKS + len(coming)]
    return _around(middle, sales[SEASON_WEEKS:] - sales[:-SEASON_WEEKS], np.ones(len(coming)))


def naive(sales: np.ndarray, past: list[date], coming: list[date]) -> Path:
    """The last week again; the interval grows with the square root of the weeks ahead."""
    return _around(np.full(len(coming), sales[-1]), np.diff(sales), np.sqrt(np.arange(1, len(coming) + 1)))


def exponential_smoothing(sales: np.ndarray, past: list[date], coming: list[date]) -> Path:
    """Level and damped trend (statsmodels ETSModel), of the logarithm where all weeks are positive."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    values, back = _scaled(sales)
    fitted = ETSModel(pd.Series(values), error="add", trend="add", damped_trend=True).fit(disp=0)
    frame = fitted.get_prediction(len(values), len(values) + len(coming) - 1).summary_frame(alpha=1 - INTERVAL)
    return Path(*(back(frame[name].to_numpy()) for name in ("mean", "pi_lower", "pi_upper")))


def structural(sales: np.ndarray, past: list[date], coming: list[date]) -> Path:
    """A level that wanders (statsmodels UnobservedComponents), the phases of the Spring Festival that the history holds, and a
    yearly wave where it holds two years; of the logarithm where all weeks are positive."""
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    values, back = _scaled(sales)
    traits = _traits([*past, *coming], with_season=len(sales) >= 2 * SEASON_WEEKS)
    known = traits[: len(past)]
    # A phase that never came has no size yet.
    traits = traits[:, np.abs(known).sum(axis=0) > 0]
    known, ahead = traits[: len(past)], traits[len(past) :]
    used = {"exog": known} if traits.shape[1] else {}
    fitted = UnobservedComponents(values, level="local level", mle_regression=False, **used).fit(disp=0, maxiter=50)
    made = fitted.get_forecast(len(coming), **({"exog": ahead} if used else {}))
    ends = made.conf_int(alpha=1 - INTERVAL)
    return Path(back(made.predicted_mean), back(ends[:, 0]), back(ends[:, 1]))


def _recent_mean(sales: np.ndarray) -> Path:
    recent = sales[-RECENT_WEEKS:]
    spread = recent.std(ddof=1) * np.sqrt(1 + 1 / len(recent)) * _NORMAL if len(recent) > 2 else np.nan
    middle = np.full(HORIZON_WEEKS, recent.mean())
    return Path(middle, middle - spread, middle + spread)


def _judge(method: _Method, sales: np.ndarray, weeks: list[date], origins: list[int]) -> tuple[float, float]:
    """Mean absolute scaled error and share inside the interval over all origins; infinite where the method fails at any."""
    errors, inside = [], []
    for end in origins:
        known, outcome = sales[:end], sales[end : end + HORIZON_WEEKS]
        path = _path(method, known, weeks[:end], weeks[end : end + HORIZON_WEEKS])
        if path is None:
            return float("inf"), float("nan")
        # Where nothing ever changed, any error is infinitely many times the usual one.
        error = np.abs(path.middle - outcome).mean()
        errors.append(error / scale(known) if error else 0.0)
        inside.append(((outcome >= path.low) & (outcome <= path.high)).mean())
    mean = float(np.mean(errors))
    return (mean if np.isfinite(mean) else float("inf")), float(np.mean(inside))


def _path(method: _Method, sales: np.ndarray, past: list[date], coming: list[date]) -> Path | None:
    """What a method foresees; None where its fit fails or its middle is no amount. An interval with such an end is left out."""
    try:
        path = method(sales, past, coming)
    except (ValueError, ArithmeticError):
        return None
    middle, low, high = (np.abs(values) < _TOO_LARGE for values in (path.middle, path.low, path.high))
    if not middle.all():
        return None
    return _not_below_history(
        Path(path.middle, *(np.where(low & high, values, np.nan) for values in (path.low, path.high))), sales
    )


def _not_below_history(path: Path, sales: np.ndarray) -> Path:
    """The path, ending at 0 where no known week was below it: sums of sales are negative only by refunds."""
    if sales.min() < 0:
        return path
    return Path(*(np.maximum(values, 0.0) for values in (path.middle, path.low, path.high)))


def _around(middle: np.ndarray, changes: np.ndarray, growth: np.ndarray) -> Path:
    """An interval as wide as past changes were, around their zero."""
    half = _NORMAL * np.sqrt(np.mean(changes**2)) * growth if len(changes) else np.full(len(middle), np.nan)
    return Path(middle, middle - half, middle + half)


def _scaled(sales: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Values to model and the way back. Sums are divided by their size, since optimisers expect numbers near one."""
    if (sales > 0).all():
        return np.log(sales), np.exp
    size = np.abs(sales).mean() or 1.0
    return sales / size, lambda values: values * size


def _traits(weeks: list[date], with_season: bool) -> np.ndarray:
    traits = [phase_shares(weeks)]
    if with_season:
        angle = np.array([week.timetuple().tm_yday for week in weeks]) / 365.25 * 2 * np.pi
        traits.append(np.column_stack([np.sin(angle), np.cos(angle)]))
    return np.hstack(traits)


def _festival(method: str, past: list[date], coming: list[date]) -> str:
    ahead = phase_shares(coming).sum(axis=0) > 0
    if not ahead.any():
        return ""
    return "learned" if method == STRUCTURAL and (phase_shares(past).sum(axis=0) > 0)[ahead].all() else "ignored"
