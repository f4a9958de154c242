"""The parts of potential, second version, on made-up customers: planted truths are found, and what is unknown says so."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, theilslopes
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from orchestration.predictive import spend_forecast
from orchestration.predictive.acceptance import acceptance, fit_prior
from orchestration.predictive.growth import growth_slopes
from orchestration.predictive.potential import headroom_among, quantile_among_others
from orchestration.predictive.potential_parts import annual_spend, fit_bands, potential_parts, size_bands
from orchestration.predictive.spend_blocks import BLOCKS, SpendBlocks

WEIGHTS = {"headroom": 0.4, "growth": 0.35, "acceptance": 0.25}
SEASON = np.log(1 + 0.4 * np.sin(np.arange(BLOCKS) / 2))


def customers(count: int, seed: int, trend: np.ndarray | None = None, noise: float = 0.3) -> SpendBlocks:
    """Customers of two types whose log spend is a level, a season, a trend per year (default none) and chance."""
    random = np.random.default_rng(seed)
    years = np.arange(BLOCKS) / BLOCKS
    logs = random.normal(8, 1.2, (count, 1)) + SEASON + random.normal(0, noise, (count, BLOCKS))
    if trend is not None:
        logs += trend[:, None] * years
    return SpendBlocks(
        customer_id=np.arange(1, count + 1, dtype=np.uint64),
        business_type=np.where(np.arange(count) % 3 == 0, "canteen", "restaurant"),
        net=np.exp(logs),
        orders=random.poisson(6, (count, BLOCKS)).astype(float),
        days_since_first_order=np.full(count, 500),
        days_since_last_order=random.integers(0, 20, count),
    )


def test_slopes_find_who_grows_whatever_the_season() -> None:
    trend = np.random.default_rng(1).normal(0, 0.5, 600)
    slopes = growth_slopes(customers(600, 2, trend))

    found = slopes["growth_slope_52w"].to_numpy()
    assert spearmanr(found, trend)[0] > 0.75
    # The typical customer is the measure, so the slopes of all are around zero, not around the season.
    assert abs(np.median(found)) < 0.1
    is_sure = slopes["growth_slope_p_value"] < 0.05
    assert (np.sign(found[is_sure]) == np.sign(trend[is_sure])).mean() > 0.95


def test_without_growth_one_slope_in_twenty_looks_certain() -> None:
    p_values = growth_slopes(customers(1500, 3))["growth_slope_p_value"]

    assert 0.02 < (p_values < 0.05).mean() < 0.065


def test_a_slope_is_scipys_over_the_blocks_with_spend() -> None:
    spend = customers(3, 4)
    spend.net[0, [2, 7]] = 0.0
    spend.net[1, :] = 0.0
    young = replace(spend, days_since_first_order=np.array([500, 500, 9 * 28 - 1]))

    slopes = growth_slopes(young).set_index("customer_id")

    # Three customers tell no season, so nothing is divided by it.
    for place, kept in ((0, np.delete(np.arange(BLOCKS), [2, 7])), (2, np.arange(BLOCKS - 9, BLOCKS))):
        expected = theilslopes(np.log(spend.net[place, kept]), kept / BLOCKS)[0]
        assert slopes["growth_slope_52w"].iloc[place] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(slopes["growth_slope_52w"].iloc[1]) and np.isnan(slopes["growth_slope_share"].iloc[1])


def examples(seed: int, count: int = 900) -> tuple[SpendBlocks, np.ndarray]:
    """Customers and the next 90 days: growth goes on, and those silent for long order less."""
    random = np.random.default_rng(seed)
    trend = random.normal(0, 0.8, count)
    spend = customers(count, seed + 100, trend)
    silence = np.where(random.random(count) < 0.3, random.integers(60, 300, count), 3)
    blocks_silent = np.minimum(silence // 28, BLOCKS - 1)
    is_silent = np.arange(BLOCKS) >= BLOCKS - blocks_silent[:, None]
    spend = replace(spend, net=np.where(is_silent, 0.0, spend.net), days_since_last_order=silence)
    level = spend.net[:, -6:].mean(axis=1) * 90 / 28 * np.exp(trend / 4)
    return spend, level * np.where(silence > 30, 0.1, 1.0) * random.lognormal(0, 0.2, count)


def test_the_forecast_is_better_than_the_latest_ninety_days() -> None:
    parameters = spend_forecast.fit([examples(1), examples(2)])
    spend, outcome = examples(3)
    assert parameters is not None

    expected = spend_forecast.predict(spend, parameters)

    latest = spend.net[:, -3:].sum(axis=1) * 90 / 84
    assert np.abs(expected - outcome).mean() < 0.9 * np.abs(latest - outcome).mean()
    assert expected.sum() == pytest.approx(outcome.sum(), rel=0.15)


def test_the_stored_trees_forecast_what_scikit_learn_does() -> None:
    spend, outcome = examples(4)
    usual, features = spend_forecast.usual_spend(spend), spend_forecast.forecast_features(spend)
    model = HistGradientBoostingRegressor(
        loss="poisson", learning_rate=0.08, max_iter=60, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=1.0,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    with threadpool_limits(limits=1):
        model.fit(features, np.minimum(outcome / usual, 10), sample_weight=usual)

    # As they come back from the artifact.
    stored = json.loads(json.dumps(spend_forecast.fit([(spend, outcome)])))

    np.testing.assert_allclose(spend_forecast.predict(spend, stored), model.predict(features) * usual, rtol=1e-6)


def test_the_number_of_threads_changes_no_tree() -> None:
    with threadpool_limits(limits=1):
        one = spend_forecast.fit([examples(5)])
    with threadpool_limits(limits=4):
        four = spend_forecast.fit([examples(5)])

    assert one == four


def test_the_prior_of_acceptance_is_recovered() -> None:
    random = np.random.default_rng(6)
    offered = random.integers(1, 30, 20_000)
    tried = random.binomial(offered, random.beta(0.5, 6, 20_000))

    prior = fit_prior(offered, tried)

    assert prior is not None
    np.testing.assert_allclose(prior, (0.5, 6), rtol=0.1)
    assert fit_prior(offered[:99], tried[:99]) is None
    np.testing.assert_allclose(acceptance(np.array([0, 10]), np.array([0, 3]), (1.0, 9.0)), [np.nan, 4 / 20])


def test_headroom_is_read_from_peers_of_the_same_size_where_there_are_enough() -> None:
    table = pd.DataFrame(
        {
            "customer_id": range(70),
            "business_type": "hotel",
            "region_code": "north",
            "size_band": [1] * 30 + [4] * 30 + [2] * 10,
        }
    )
    amounts = np.array([10.0] * 29 + [4.0] + [1000.0] * 30 + [500.0] * 10)
    spend = pd.DataFrame({"customer_id": range(70), "category_id": 7, "spend_90d": amounts})

    found = headroom_among(
        table, spend, [["business_type", "region_code", "size_band"], ["business_type", "region_code"]]
    )

    assert found.loc[29].tolist() == [6.0, 0]
    # Ten of size 2 are too few: the type and region, the customer left out.
    assert found.loc[65, "level"] == 1
    assert found.loc[65, "headroom"] == quantile_among_others(amounts, 0.8)[65] - 500


def features_of(spend: SpendBlocks) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": spend.customer_id,
            "business_type": spend.business_type,
            "region_code": "north",
            "order_count_90d": 5,
            "net_amount_90d": spend.net[:, -3:].sum(axis=1).round(2),
            "category_count_90d": 1.0,
            "new_product_offered_count_180d": 10,
            "new_product_tried_count_180d": 1,
        }
    )


def category_spend(spend: SpendBlocks) -> pd.DataFrame:
    return pd.DataFrame(
        {"customer_id": spend.customer_id, "category_id": 7, "spend_90d": spend.net[:, -3:].sum(axis=1).round(2)}
    )


def test_the_index_weighs_the_parts_that_are_known() -> None:
    spend = customers(200, 7)
    features = features_of(spend)
    features.loc[0, ["order_count_90d", "net_amount_90d", "new_product_offered_count_180d"]] = 0
    parameters = {"bands": None, "forecast": spend_forecast.fit([examples(1)]), "prior": [1.0, 9.0]}

    result = potential_parts(features, category_spend(spend), spend, WEIGHTS, parameters)

    row = result.iloc[1]
    growth = (row["growth_slope_share"] + row["expected_growth_share"]) / 2
    expected = 0.4 * row["headroom_by_size_share"] + 0.35 * growth + 0.25 * 2 / 20
    assert row["potential_index_v2"] == pytest.approx(expected)
    assert (row["headroom_peers"], row["forecast_method"]) == ("type_region", "trained")
    # Customer 1 has no order in 90 days and was offered nothing: its growth stands alone.
    alone = result.iloc[0]
    assert alone["headroom_peers"] == "no_order_in_90_days" and np.isnan(alone["headroom_by_size_share"])
    assert alone["potential_index_v2"] == pytest.approx(
        (alone["growth_slope_share"] + alone["expected_growth_share"]) / 2
    )
    assert result["potential_index_v2"].between(0, 1).all()


def test_where_the_forecast_does_not_serve_growth_is_the_slope_and_the_latest_days_against_the_year() -> None:
    spend = customers(200, 7)
    features = features_of(spend)
    parameters = {"bands": None, "forecast": spend_forecast.fit([examples(1)]), "prior": [1.0, 9.0]}
    given = features, category_spend(spend), spend, WEIGHTS, parameters

    served, result = potential_parts(*given), potential_parts(*given, forecast_serves=False)

    assert set(served["forecast_method"]) == {"trained"} and set(result["forecast_method"]) == {"baseline_serves"}
    latest = np.maximum(features["net_amount_90d"], 0)
    usual = annual_spend(spend) * 90 / 364
    np.testing.assert_allclose(result["expected_net_amount_next_90d"], latest, atol=0.006)
    np.testing.assert_allclose(result["expected_growth_share"], latest / (latest + usual), atol=1e-4)
    changed = ["forecast_method", "expected_net_amount_next_90d", "expected_growth_share", "potential_index_v2"]
    pd.testing.assert_frame_equal(result.drop(columns=changed), served.drop(columns=changed))
    assert (result["potential_index_v2"] != served["potential_index_v2"]).all()


def test_too_little_history_is_named_and_never_a_silent_zero() -> None:
    spend = customers(10, 8)
    silent = replace(spend, **{name: getattr(spend, name)[1:] for name in spend.__dataclass_fields__})

    result = potential_parts(features_of(spend), category_spend(spend), silent, WEIGHTS, None)

    assert result["forecast_method"].tolist() == ["no_order_in_364_days"] + ["last_90_days"] * 9
    assert np.isnan(result["expected_net_amount_next_90d"].iloc[0])
    assert result["expected_net_amount_next_90d"].iloc[1] == features_of(spend)["net_amount_90d"].iloc[1]
    assert set(result["acceptance_method"]) == {"fixed"}
    assert set(result["headroom_peers"]) == {"all"}
    assert spend_forecast.fit([(spend, np.ones(10))]) is None


def test_size_bands_are_the_quartiles_of_the_training_day() -> None:
    kinds, amounts = np.array(["hotel"] * 100 + ["shop"] * 10), np.arange(110.0)
    bands = fit_bands(kinds, amounts)

    assert size_bands(kinds, amounts, bands)[[0, 30, 60, 90]].tolist() == [1, 2, 3, 4]
    # Too few shops for bounds of their own: those of all.
    assert size_bands(np.array(["shop"]), np.array([50.0]), bands).tolist() == [2]
    assert fit_bands(kinds[:10], amounts[:10]) is None


def test_parts_do_not_depend_on_the_order_of_the_rows() -> None:
    spend = customers(150, 9)
    order = np.random.default_rng(1).permutation(150)
    shuffled = replace(spend, **{name: getattr(spend, name)[order] for name in spend.__dataclass_fields__})
    parameters = {"bands": fit_bands(spend.business_type, spend.net.sum(axis=1)), "forecast": None, "prior": None}

    expected = potential_parts(features_of(spend), category_spend(spend), spend, WEIGHTS, parameters)
    found = potential_parts(features_of(shuffled), category_spend(shuffled), shuffled, WEIGHTS, parameters)

    pd.testing.assert_frame_equal(found.sort_values("customer_id", ignore_index=True), expected, check_exact=True)
