"""The published estimates on the CDNOW sample, in weeks, purchases of one day put together, calibration until 1997-09-30."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from orchestration.predictive.order_process import (
    Histories,
    expected_orders,
    fit_order_model,
    group_histories,
    log_likelihood,
    probability_alive,
    probability_no_order,
)
from orchestration.predictive.order_value import fit_value_model

SAMPLE = Path(__file__).parents[2] / "data" / "cdnow" / "transactions.csv"
END = pd.Timestamp("1997-09-30")
HALF_A_PERCENT = 0.005


@pytest.fixture(scope="module")
def purchases() -> pd.DataFrame:
    frame = pd.read_csv(SAMPLE, dtype={"master_id": str, "sample_id": str}, parse_dates=["date"])
    days = frame.groupby(["sample_id", "date"], as_index=False)["dollar"].sum()
    return days.assign(is_repeat=days.groupby("sample_id").cumcount() > 0)


@pytest.fixture(scope="module")
def customers(purchases: pd.DataFrame) -> pd.DataFrame:
    """x, t_x, T in weeks, mean repeat purchase z and purchases in the 39 weeks after, by customer."""
    calibration = purchases[purchases["date"] <= END]
    dates = calibration.groupby("sample_id")["date"]
    repeats = calibration[calibration["is_repeat"]].groupby("sample_id")["dollar"]
    first, last = dates.min(), dates.max()
    return pd.DataFrame(
        {
            "x": dates.count() - 1,
            "t_x": (last - first).dt.days / 7,
            "T": (END - first).dt.days / 7,
            "z": repeats.mean(),
            "holdout": purchases[purchases["date"] > END].groupby("sample_id")["date"].count(),
        }
    ).fillna({"holdout": 0})


@pytest.fixture(scope="module")
def histories(customers: pd.DataFrame) -> Histories:
    return group_histories(customers["x"].to_numpy(), customers["t_x"].to_numpy(), customers["T"].to_numpy())[0]


def one_history(x: int, t_x: float, T: float) -> Histories:
    return group_histories(np.array([x]), np.array([t_x]), np.array([T]))[0]


def test_the_sample_is_the_published_one(customers: pd.DataFrame) -> None:
    repeaters = customers[customers["x"] > 0]
    assert (len(customers), len(repeaters), customers["x"].sum()) == (2357, 946, 2457)
    assert customers["T"].max() == pytest.approx(38.86, abs=0.005)
    assert repeaters["z"].mean() == pytest.approx(35.08, abs=0.005)
    assert np.corrcoef(repeaters["x"], repeaters["z"])[0, 1] == pytest.approx(0.114, abs=0.0005)
    assert spearmanr(repeaters["x"], repeaters["z"]).statistic == pytest.approx(0.206, abs=0.0005)


@pytest.mark.parametrize(
    ("stops_at_start", "published", "published_log_likelihood"),
    [
        (False, (0.2426, 4.4135, 0.7929, 2.4258), -9582.43),
        (True, (0.5248, 6.1830, 0.8914, 1.6140), -9582.13),
    ],
)
def test_bg_nbd_and_mbg_nbd_give_the_published_parameters(
    histories: Histories, stops_at_start: bool, published: tuple[float, ...], published_log_likelihood: float
) -> None:
    model = fit_order_model(histories, stops_at_start)

    assert model.converged
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx(published, rel=HALF_A_PERCENT)
    assert model.log_likelihood == pytest.approx(published_log_likelihood, abs=0.01)
    assert log_likelihood(model, histories) == pytest.approx(model.log_likelihood, abs=1e-6)


def test_gamma_gamma_gives_the_published_parameters(customers: pd.DataFrame) -> None:
    repeaters = customers[customers["x"] > 0]
    model = fit_value_model(repeaters["x"].to_numpy(), repeaters["z"].to_numpy())

    assert model.converged
    assert (model.p, model.q, model.gamma) == pytest.approx((6.2488, 3.7446, 15.4477), rel=HALF_A_PERCENT)
    assert model.log_likelihood == pytest.approx(-4055.92, abs=0.01)
    assert model.mean == pytest.approx(35.17, abs=0.01)
    assert model.correlation == pytest.approx(0.114, abs=0.0005)
    assert (model.customer_count, model.excluded_share) == (946, 0.0)


def test_the_published_customer_gets_the_published_forecast(histories: Histories) -> None:
    model = fit_order_model(histories, stops_at_start=False)
    customer = one_history(2, 30.43, 38.86)

    assert expected_orders(model, customer, [39.0])[0, 0] == pytest.approx(1.226, rel=HALF_A_PERCENT)
    assert probability_alive(model, customer)[0] == pytest.approx(0.7266, rel=HALF_A_PERCENT)
    assert probability_no_order(model, customer, 4.0)[0] == pytest.approx(0.869, rel=HALF_A_PERCENT)


def test_who_bought_once_is_alive_for_certain_in_bg_nbd_and_not_in_mbg_nbd(histories: Histories) -> None:
    once = one_history(0, 0.0, 38.86)

    assert probability_alive(fit_order_model(histories, stops_at_start=False), once)[0] == 1.0
    assert 0.1 < probability_alive(fit_order_model(histories, stops_at_start=True), once)[0] < 0.9


def test_the_holdout_of_39_weeks_is_underforecast_as_published(customers: pd.DataFrame) -> None:
    histories, place = group_histories(*(customers[name].to_numpy() for name in ("x", "t_x", "T")))
    model = fit_order_model(histories, stops_at_start=False)

    assert customers["holdout"].sum() == 1882
    assert expected_orders(model, histories, [39.0])[place, 0].sum() == pytest.approx(1654, rel=HALF_A_PERCENT)
