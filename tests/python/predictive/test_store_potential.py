"""Potential in a warehouse: who grows in the demo world is found, the forecast holds, and nothing after the cut-off counts."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from demo_facts import LAST, WORLD, demo_facts
from scipy.stats import spearmanr

from orchestration.predictive.store_potential import is_promoted, refresh_potential_parts
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

AS_OF = LAST - timedelta(days=90)
DAY_NUMBER = WORLD.days - 1 - 90
WEIGHTS = {"headroom": 0.4, "growth": 0.35, "acceptance": 0.25}


@pytest.fixture(scope="module")
def settings(own_warehouse: Settings) -> Settings:
    return demo_facts(own_warehouse, "potential")


@pytest.fixture
def client(settings: Settings) -> Client:
    return connect(settings, autogenerate_session_id=False)


def inputs(client: Client, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Features and spend of AS_OF, as the features layer would have them."""
    facts, day = settings.database("facts"), f"toDate('{AS_OF}')"
    features = client.query_df(
        f"SELECT customer_id, types.business_type AS business_type, 'north' AS region_code, "
        f"countIf(business_date > {day} - 90) AS order_count_90d, "
        f"toFloat64(sumIf(net_amount, business_date > {day} - 90)) AS net_amount_90d, "
        f"toFloat64(sumIf(net_amount, business_date > {day} - 180 AND business_date <= {day} - 90)) AS net_amount_prior_90d, "
        "toFloat64(1) AS category_count_90d, 0 AS new_product_offered_count_180d, 0 AS new_product_tried_count_180d "
        f"FROM {facts}.fct_orders AS orders INNER JOIN {settings.database('staging')}.stg_customers AS types "
        f"USING (customer_id) WHERE is_valid = 1 AND known_to > toDateTime('2199-01-01') AND business_date <= {day} "
        "GROUP BY customer_id, business_type ORDER BY customer_id"
    )
    spend = features[["customer_id"]].assign(category_id=1, spend_90d=features["net_amount_90d"])
    return features, spend, WEIGHTS


def stored(client: Client, settings: Settings) -> pd.DataFrame:
    return client.query_df(f"SELECT * FROM {settings.database('predictive')}.potential_parts ORDER BY customer_id")


def test_who_grows_in_the_demo_world_is_found_better_than_by_two_windows(client: Client, settings: Settings) -> None:
    features, *_ = given = inputs(client, settings)
    refresh_potential_parts(client, settings, AS_OF.isoformat(), given)
    truth = client.query_df(
        f"SELECT customer_id, growth_per_year, slip_day, dead_day FROM {settings.database('demo')}.customers"
    )
    result = stored(client, settings).merge(truth, on="customer_id").merge(features, on="customer_id")
    result = result[(result["slip_day"] > DAY_NUMBER) & (result["dead_day"] > DAY_NUMBER)]
    result = result[result["growth_slope_52w"].notna() & (result["net_amount_prior_90d"] > 0)]

    by_slope = spearmanr(result["growth_slope_52w"], result["growth_per_year"])[0]
    by_windows = spearmanr(result["net_amount_90d"] / result["net_amount_prior_90d"], result["growth_per_year"])[0]
    # Chance is 0; a margin of 0.3 is six standard errors of it.
    assert len(result) > 300
    assert by_slope > 0.3 and by_slope > by_windows + 0.1


def test_the_forecast_is_closer_to_what_followed_than_the_latest_ninety_days(
    client: Client, settings: Settings
) -> None:
    features, *_ = given = inputs(client, settings)
    refresh_potential_parts(client, settings, AS_OF.isoformat(), given)
    followed = client.query_df(
        f"SELECT customer_id, toFloat64(sum(net_amount)) AS followed FROM {settings.database('facts')}.fct_orders "
        f"WHERE is_valid = 1 AND business_date > toDate('{AS_OF}') GROUP BY customer_id"
    )
    result = stored(client, settings).merge(features, on="customer_id").merge(followed, on="customer_id", how="left")
    result = result[result["expected_net_amount_next_90d"].notna()]
    expected = result["expected_net_amount_next_90d"].astype(float)
    outcome = result["followed"].fillna(0.0)

    assert set(result["forecast_method"]) == {"trained"}
    latest = result["net_amount_90d"]
    assert (expected - outcome).abs().mean() < (latest - outcome).abs().mean()
    assert spearmanr(expected, outcome)[0] > spearmanr(latest, outcome)[0]
    assert spearmanr(expected, outcome)[0] > 0.7


def test_what_happens_after_the_cutoff_changes_no_part_and_no_model(client: Client, settings: Settings) -> None:
    given = inputs(client, settings)
    refresh_potential_parts(client, settings, AS_OF.isoformat(), given)
    before, artifacts = stored(client, settings), f"{settings.database('predictive')}.model_artifacts"
    versions = client.query(f"SELECT version FROM {artifacts}").result_rows
    orders = f"{settings.database('facts')}.fct_orders"
    known = f"toDateTime64('{AS_OF + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    client.command(f"CREATE TABLE {orders}_other AS {orders}")
    client.command(
        f"INSERT INTO {orders}_other SELECT * REPLACE (if(known_from >= {known}, 1 + cityHash64(order_id) % 1500, customer_id) "
        f"AS customer_id, if(known_from >= {known}, net_amount * 7, net_amount) AS net_amount) FROM {orders}"
    )
    client.command(f"EXCHANGE TABLES {orders} AND {orders}_other")
    client.command(f"TRUNCATE TABLE {artifacts}")

    refresh_potential_parts(client, settings, AS_OF.isoformat(), given)

    assert client.query(f"SELECT version FROM {artifacts}").result_rows == versions and versions
    pd.testing.assert_frame_equal(stored(client, settings), before, check_exact=True)
    client.command(f"EXCHANGE TABLES {orders} AND {orders}_other")
    client.command(f"DROP TABLE {orders}_other")


def test_the_prior_of_acceptance_is_fitted_to_the_launches_of_the_training_day(
    client: Client, settings: Settings
) -> None:
    refresh_potential_parts(client, settings, LAST.isoformat(), inputs(client, settings))
    parameters = client.query(
        f"SELECT parameters FROM {settings.database('predictive')}.model_artifacts ORDER BY trained_until DESC LIMIT 1"
    ).result_rows[0][0]

    # The one launch was tried by everybody who ordered after it, so the rate is high, whatever the prior was before.
    tried, refused = json.loads(parameters)["prior"]
    assert tried / (tried + refused) > 0.4


def test_from_its_verdict_on_the_latest_ninety_days_serve_instead_of_the_forecast(client, settings) -> None:
    given, table = inputs(client, settings), f"{settings.database('predictive')}.promotions"
    for served, serves_from, method in (
        ("net_sales_of_90_days", AS_OF + timedelta(days=1), "trained"),
        ("net_sales_of_90_days", AS_OF, "baseline_serves"),
        ("spend_forecast", AS_OF, "trained"),
    ):
        client.command(f"TRUNCATE TABLE {table}")
        columns = ["evaluated_on", "model", "served_model", "verdict", "serves_from"]
        client.insert(table, [[serves_from, "spend_forecast", served, "", serves_from]], column_names=columns)
        refresh_potential_parts(client, settings, AS_OF.isoformat(), given)
        rows = stored(client, settings)
        of_the_day = rows[rows["as_of_date"].dt.date == AS_OF]
        assert set(of_the_day["forecast_method"]) == {method, "no_order_in_364_days"}
    client.command(f"TRUNCATE TABLE {table}")


def test_version_two_serves_only_while_the_latest_evaluation_says_so(client: Client, settings: Settings) -> None:
    table = f"{settings.database('predictive')}.promotions"
    rows = [
        (date(2026, 1, 31), "potential", "potential", "better"),
        (date(2026, 3, 31), "potential", "simple-1", "not better"),
    ]
    client.insert(table, rows, column_names=["evaluated_on", "model", "served_model", "verdict"])

    served = [is_promoted(client, settings, day) for day in ("2026-01-30", "2026-01-31", "2026-03-30", "2026-03-31")]

    assert served == [False, True, True, False]
    client.command(f"TRUNCATE TABLE {table}")
    assert not is_promoted(client, settings, "2026-03-31")
