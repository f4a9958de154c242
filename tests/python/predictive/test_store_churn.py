"""Churn in a warehouse: who really left the demo world is found, and what became known after the cut-off changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from demo_facts import LAST, WORLD, demo_facts
from scipy.stats import rankdata

from orchestration.predictive.artifacts import training_day
from orchestration.predictive.category_tree import read_tops
from orchestration.predictive.store_churn import _categories, refresh_churn
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

AS_OF = LAST - timedelta(days=40)
DAY_NUMBER = WORLD.days - 1 - 40


@pytest.fixture(scope="module")
def settings(own_warehouse: Settings) -> Settings:
    return demo_facts(own_warehouse, "churn")


@pytest.fixture
def client(settings: Settings) -> Client:
    return connect(settings, autogenerate_session_id=False)


def stored(client: Client, settings: Settings, day: date = AS_OF) -> pd.DataFrame:
    return client.query_df(
        f"SELECT * FROM {settings.database('predictive')}.churn WHERE as_of_date = {{day:Date}} ORDER BY customer_id",
        parameters={"day": day},
    )


def area_under_curve(score: pd.Series, is_positive: pd.Series) -> float:
    """P(a positive scores above a negative), ties counting half."""
    ranks, positives = rankdata(score), int(is_positive.sum())
    below = ranks[is_positive.to_numpy()].sum() - positives * (positives + 1) / 2
    return float(below / (positives * (len(score) - positives)))


def test_customers_who_left_the_demo_world_are_found_far_better_than_by_chance(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    result = stored(client, settings)
    truth = client.query_df(f"SELECT customer_id, dead_day FROM {settings.database('demo')}.customers")
    result = result.merge(truth, on="customer_id")
    result = result[(result["silence_days"] < 365) & (result["reason_code"] != "new_customer")]
    is_gone = result["dead_day"] <= DAY_NUMBER

    assert set(result["method"]) == {"trained"}
    assert len(result) > 600 and 0.1 < is_gone.mean() < 0.4
    # Margins: chance is an area of 0.5, and a precision of the share of those who left.
    assert area_under_curve(result["p_defected"], is_gone) > 0.85
    high = result["churn_risk"] == "high"
    assert is_gone[high].mean() > 2.5 * is_gone.mean()
    assert high[is_gone].mean() > 0.7


def test_the_spring_festival_makes_hardly_more_alarms_than_an_ordinary_day(client: Client, settings: Settings) -> None:
    overdue: dict[date, tuple[float, float]] = {}
    ordinary, festival = date(2026, 1, 20), date(2026, 2, 24)
    for day in (ordinary, festival):
        refresh_churn(client, settings, day.isoformat())
        number = (day - WORLD.first_date).days
        living = client.query_df(
            f"SELECT customer_id FROM {settings.database('demo')}.customers WHERE dead_day > {number} AND slip_day > {number}"
        )
        result = stored(client, settings, day).merge(living, on="customer_id")
        by_calendar = (result["silence_days"] / result["expected_gap_days"] >= 2).mean()
        overdue[day] = float(by_calendar), float((result["gap_ratio"] >= 2).mean())

    assert overdue[festival][0] > 1.3 * overdue[ordinary][0]
    assert overdue[festival][1] < 1.15 * overdue[ordinary][1]


def test_the_chance_of_no_order_in_thirty_days_holds_in_the_demo_world(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    result = stored(client, settings)
    followed = client.query_df(
        f"SELECT DISTINCT customer_id FROM {settings.database('facts')}.fct_orders WHERE is_valid = 1 "
        "AND business_date > {day:Date} AND business_date <= {day:Date} + 30",
        parameters={"day": AS_OF},
    )
    result = result[result["silence_days"] < 365]
    no_order = ~result["customer_id"].isin(followed["customer_id"])

    brier = ((result["p_no_order_30d"] - no_order) ** 2).mean()
    base = no_order.mean() * (1 - no_order.mean())
    assert brier < 0.7 * base
    assert abs(result["p_no_order_30d"].mean() - no_order.mean()) < 0.04
    by_recency = area_under_curve(result["silence_days"], no_order)
    assert area_under_curve(result["p_no_order_30d"], no_order) > by_recency + 0.01


def serve(client: Client, settings: Settings, model: str, serves_from: date) -> None:
    """A verdict as an evaluation leaves it."""
    table = f"{settings.database('predictive')}.promotions"
    row = [serves_from, "churn", model, "", serves_from]
    client.insert(table, [row], column_names=["evaluated_on", "model", "served_model", "verdict", "serves_from"])


@pytest.fixture
def verdicts(client: Client, settings: Settings) -> Iterator[None]:
    yield
    client.command(f"TRUNCATE TABLE {settings.database('predictive')}.promotions")


def test_before_a_verdict_the_model_serves_and_is_not_judged(client: Client, settings: Settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    unjudged = stored(client, settings)
    assert set(unjudged["served_model"]) == {"churn"} and not unjudged["is_judged"].any()


@pytest.mark.usefixtures("verdicts")
def test_from_its_verdict_on_a_baseline_serves_who_ordered_lately_as_the_share_of_its_tenth(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    model = stored(client, settings)
    serve(client, settings, "churn", AS_OF - timedelta(days=3))
    refresh_churn(client, settings, AS_OF.isoformat())
    promoted = stored(client, settings)
    is_active = promoted["silence_days"] < 90
    assert 0 < is_active.sum() < len(promoted)
    pd.testing.assert_frame_equal(promoted.drop(columns="is_judged"), model.drop(columns="is_judged"))
    assert (promoted["is_judged"] == is_active).all()

    serve(client, settings, "recency", AS_OF)
    for _ in range(2):
        refresh_churn(client, settings, AS_OF.isoformat())
        served = stored(client, settings)
        # What no verdict is about, and what no baseline tells, stays the model's.
        changed = ["p_no_order_30d", "served_model", "is_judged"]
        pd.testing.assert_frame_equal(served.drop(columns=changed), model.drop(columns=changed))
        assert (served["is_judged"] == is_active).all()
        assert set(served["served_model"][is_active]) == {"recency"} and set(served["served_model"][~is_active]) == {
            "churn"
        }
        assert (served["p_no_order_30d"] == model["p_no_order_30d"])[~is_active].all()

        # The same by hand: silences of 30 days before, in tenths, and who stayed away since.
        orders = client.query_df(
            f"SELECT customer_id, dateDiff('day', business_date, {{day:Date}}) AS days FROM {settings.database('facts')}.fct_orders "
            "WHERE is_valid = 1 AND business_date <= {day:Date}",
            parameters={"day": AS_OF},
        )
        before = orders[orders["days"] >= 30].groupby("customer_id")["days"].min() - 30
        before = before[before < 90]
        stayed_away = ~before.index.isin(orders["customer_id"][orders["days"] < 30])
        bounds = sorted(set(np.quantile(before, np.arange(1, 10) / 10, method="lower")))
        tenth = np.searchsorted(bounds, before)
        now = np.searchsorted(bounds, served["silence_days"][is_active])
        expected = [(stayed_away[tenth == one].sum() + 1) / ((tenth == one).sum() + 2) for one in now]
        np.testing.assert_allclose(served["p_no_order_30d"][is_active], expected, atol=1e-6)
    # The day before the verdict keeps the model, also when it is built after it.
    refresh_churn(client, settings, (AS_OF - timedelta(days=1)).isoformat())
    assert set(stored(client, settings, AS_OF - timedelta(days=1))["served_model"]) == {"churn"}


def test_dropped_categories_are_those_at_the_top_of_a_deep_tree(client, settings) -> None:
    tree = f"{settings.database('staging')}.stg_categories"
    client.command(
        f"ALTER TABLE {tree} UPDATE parent_category_id = 7 WHERE category_id = 1", settings={"mutations_sync": 2}
    )
    # More categories than a statement of the usual length can name.
    client.command(
        f"INSERT INTO {tree} SELECT * EXCEPT number REPLACE (toUInt32(1000000 + number) AS category_id, 1 AS parent_category_id) "
        f"FROM {tree} CROSS JOIN numbers(60000) AS n WHERE category_name = 'cabbage'"
    )
    assert len(read_tops(client, settings, AS_OF)) > 60_000
    bought = _categories(client, settings, AS_OF, AS_OF)
    assert len(bought) > 10 and set(bought["category_id"]) == {7}
    client.command(f"DELETE FROM {tree} WHERE category_id >= 1000000")
    client.command(
        f"ALTER TABLE {tree} UPDATE parent_category_id = NULL WHERE category_id = 1", settings={"mutations_sync": 2}
    )


@pytest.mark.usefixtures("verdicts")
def test_a_baseline_that_nobody_had_a_score_of_a_month_ago_leaves_the_model(client, settings) -> None:
    first = WORLD.first_date + timedelta(days=20)
    serve(client, settings, "order_count", first)
    refresh_churn(client, settings, first.isoformat())
    result = stored(client, settings, first)
    assert len(result) and set(result["served_model"]) == {"churn"} and not result["is_judged"].any()


@pytest.mark.usefixtures("verdicts")
@pytest.mark.parametrize("model", ["churn", "example_formula"])
def test_what_happens_after_the_cutoff_changes_no_row(client, settings, model: str) -> None:
    serve(client, settings, model, AS_OF)
    refresh_churn(client, settings, AS_OF.isoformat())
    before, artifacts = stored(client, settings), settings.database("predictive") + ".model_artifacts"
    of_the_day = f"SELECT version FROM {artifacts} WHERE trained_until = '{training_day(AS_OF)}'"
    versions = client.query(of_the_day).result_rows
    orders = f"{settings.database('facts')}.fct_orders"
    # Later orders go to other customers, earlier ones get corrections that come later, and the model is fitted again.
    client.command(f"CREATE TABLE {orders}_kept AS {orders}")
    client.command(f"INSERT INTO {orders}_kept SELECT * FROM {orders}")
    client.command(f"TRUNCATE TABLE {artifacts}")
    known = f"toDateTime64('{AS_OF + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    client.command(f"TRUNCATE TABLE {orders}")
    client.command(
        f"INSERT INTO {orders} SELECT * REPLACE (if(known_from >= {known}, 1 + cityHash64(order_id) % 1500, customer_id) AS "
        f"customer_id, if(known_from < {known} AND order_id % 3 = 0, {known}, known_to) AS known_to) FROM {orders}_kept"
    )
    client.command(
        f"INSERT INTO {orders} SELECT * REPLACE ({known} AS known_from, net_amount * 5 AS net_amount, toUInt8(0) AS is_valid) "
        f"FROM {orders}_kept WHERE known_from < {known} AND order_id % 3 = 0"
    )

    refresh_churn(client, settings, AS_OF.isoformat())

    assert client.query(of_the_day).result_rows == versions and versions
    pd.testing.assert_frame_equal(stored(client, settings), before, check_exact=True)
    # It is another day when the corrections count.
    refresh_churn(client, settings, AS_OF.isoformat(), (AS_OF + timedelta(days=1)).isoformat())
    assert not np.array_equal(stored(client, settings)["gap_ratio"], before["gap_ratio"])
    client.command(f"EXCHANGE TABLES {orders} AND {orders}_kept")
    client.command(f"DROP TABLE {orders}_kept")


def test_a_day_that_is_scored_again_in_another_month_order_comes_out_the_same(client, settings) -> None:
    refresh_churn(client, settings, AS_OF.isoformat())
    before = stored(client, settings)
    client.command(f"TRUNCATE TABLE {settings.database('predictive')}.model_artifacts")
    refresh_churn(client, settings, LAST.isoformat())

    refresh_churn(client, settings, AS_OF.isoformat())

    pd.testing.assert_frame_equal(stored(client, settings), before, check_exact=True)
