"""Lifetime value in a warehouse: sums in the engine against pandas, what became known later, and one model for one month."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from scipy.stats import rankdata
from simulated_bases import simulate_base
from test_store_artifacts import create_predictive_tables

from orchestration.landing.generator import World, make_world
from orchestration.predictive.lifetime_value import OPTIONS
from orchestration.predictive.order_histories import from_facts
from orchestration.predictive.store_lifetime_value import (
    model_of_day,
    read_customers,
    read_training,
    refresh_lifetime_value,
)
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

START = date(2024, 1, 1)
AS_OF = date(2024, 7, 10)
UNTIL = date(2024, 6, 30)
CUSTOMERS = 600
FOREVER = pd.Timestamp("2200-01-01", tz="UTC")


def order_rows(seed: int = 1) -> pd.DataFrame:
    """Periods of orders: some order twice a day, some orders get a refund later, some fall away, some customers have no costs."""
    random = np.random.default_rng(seed)
    rows = []
    for customer in range(1, CUSTOMERS + 1):
        rate, stop = random.gamma(1.0, 1 / 9.0), random.beta(0.9, 7.0)
        day = float(random.integers(0, 150))
        while day < 230:
            for _ in range(1 + int(random.random() < 0.1)):
                rows.append((customer, int(day)))
            if random.random() < stop:
                break
            day += random.exponential(1 / rate) + 1
    frame = pd.DataFrame(rows, columns=["customer_id", "day"]).sample(frac=1, random_state=3, ignore_index=True)
    count = len(frame)
    frame["order_id"] = np.arange(1, count + 1)
    frame["business_date"] = [START + timedelta(days=int(day)) for day in frame["day"]]
    # Shanghai's day ends at 16:00 UTC.
    frame["known_from"] = pd.to_datetime(frame["business_date"]).dt.tz_localize("Asia/Shanghai") + pd.Timedelta(hours=9)
    frame["known_to"] = FOREVER
    frame["net_amount"] = np.round(random.gamma(2.0, 60.0, count), 2)
    frame["cost_amount"] = np.round(frame["net_amount"] * random.uniform(0.5, 1.15, count), 2)
    frame["tier_discount_amount"] = np.where(frame["order_id"] % 7 == 0, 3.25, 0.0)
    frame["is_cost_known"] = (frame["customer_id"] % 10 != 0).astype(int)
    frame.loc[frame["is_cost_known"] == 0, "cost_amount"] = 0.0
    frame["is_valid"] = 1
    later = frame[frame["order_id"] % 9 == 0].copy()
    moment = later["known_from"] + pd.to_timedelta(random.integers(0, 60, len(later)), unit="D")
    frame.loc[later.index, "known_to"] = moment
    later["known_from"] = moment
    later["net_amount"] = np.round(later["net_amount"] / 2, 2)
    later.loc[later["order_id"] % 27 == 0, "is_valid"] = 0
    return pd.concat([frame, later], ignore_index=True).drop(columns="day")


def write(client: Client, settings: Settings, rows: pd.DataFrame) -> None:
    facts = settings.database("facts")
    client.command(f"CREATE DATABASE IF NOT EXISTS {facts}")
    client.command(f"DROP TABLE IF EXISTS {facts}.fct_orders")
    client.command(
        f"CREATE TABLE {facts}.fct_orders (customer_id UInt64, order_id UInt64, business_date Date, "
        "known_from DateTime64(3, 'UTC'), known_to DateTime64(3, 'UTC'), net_amount Decimal(18, 2), "
        "cost_amount Decimal(38, 7), tier_discount_amount Decimal(18, 2), is_cost_known UInt8, is_valid UInt8) "
        "ENGINE = MergeTree ORDER BY (customer_id, business_date, order_id, known_from)"
    )
    amounts = ["net_amount", "cost_amount", "tier_discount_amount"]
    text = rows.assign(**{name: rows[name].map(lambda value: f"{value:.2f}") for name in amounts})
    client.command(
        f"CREATE OR REPLACE TABLE {facts}.incoming (customer_id UInt64, order_id UInt64, business_date Date, "
        "known_from DateTime64(3, 'UTC'), known_to DateTime64(3, 'UTC'), net_amount String, cost_amount String, "
        "tier_discount_amount String, is_cost_known UInt8, is_valid UInt8) ENGINE = MergeTree ORDER BY order_id"
    )
    order = [
        "customer_id",
        "order_id",
        "business_date",
        "known_from",
        "known_to",
        *amounts,
        "is_cost_known",
        "is_valid",
    ]
    client.insert_df(f"{facts}.incoming", text[order])
    client.command(f"INSERT INTO {facts}.fct_orders SELECT * FROM {facts}.incoming")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return order_rows()


@pytest.fixture
def settings(own_warehouse: Settings, rows: pd.DataFrame) -> Settings:
    settings = replace(own_warehouse, prefix="clv")
    client = connect(settings, autogenerate_session_id=False)
    client.command("DROP DATABASE IF EXISTS clv_predictive")
    client.command("CREATE DATABASE clv_predictive")
    create_predictive_tables(client, settings)
    write(client, settings, rows)
    return settings


@pytest.fixture
def client(settings: Settings) -> Client:
    return connect(settings, autogenerate_session_id=False)


def known_orders(rows: pd.DataFrame, as_of: date, known_until: date) -> pd.DataFrame:
    cutoff = pd.Timestamp(known_until + timedelta(days=1), tz="Asia/Shanghai")
    is_known = (rows["known_from"] < cutoff) & (rows["known_to"] >= cutoff)
    return rows[is_known & (rows["is_valid"] == 1) & (rows["business_date"] <= as_of)]


@pytest.mark.parametrize("known_until", [AS_OF, AS_OF + timedelta(days=20)])
def test_histories_are_those_that_pandas_finds_as_they_were_known(
    client: Client, settings: Settings, rows: pd.DataFrame, known_until: date
) -> None:
    known = known_orders(rows, AS_OF, known_until)
    by_customer = known.groupby("customer_id")
    first, last = by_customer["business_date"].min(), by_customer["business_date"].max()
    has_costs = by_customer["is_cost_known"].max() == 1
    value = by_customer["net_amount"].sum() - by_customer["cost_amount"].sum().where(has_costs, 0.0)
    expected = pd.DataFrame(
        {
            "order_day_count": by_customer["business_date"].nunique(),
            "days_to_last_order": (last - first).map(lambda gap: gap.days),
            "days_since_first_order": first.map(lambda day: (AS_OF - day).days),
            "value_to_date": value + by_customer["tier_discount_amount"].sum(),
            "is_from_revenue": (~has_costs).astype(int),
        }
    )

    found = read_customers(client, from_facts(settings, AS_OF, known_until), AS_OF).set_index("customer_id")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_index_type=False, atol=1e-6)


def test_training_histories_carry_the_last_gaps_and_the_history_before_the_holdout(
    client: Client, settings: Settings, rows: pd.DataFrame
) -> None:
    found, holdout = read_training(client, settings, UNTIL, OPTIONS)
    known = known_orders(rows, UNTIL, UNTIL)

    assert holdout == ((UNTIL - known["business_date"].min()).days + 1) // 3
    split = UNTIL - timedelta(days=holdout)
    for row in found.itertuples():
        days = sorted(set(known.loc[known["customer_id"] == row.customer_id, "business_date"]))
        early = [day for day in days if day <= split]
        assert row.order_day_count == len(days)
        assert row.early_order_day_count == len(early)
        assert row.early_days_to_last_order == ((early[-1] - early[0]).days if early else 0)
        if len(days) > 2:
            assert (row.last_gap, row.gap_before) == ((days[-1] - days[-2]).days, (days[-2] - days[-3]).days)
        else:
            assert np.isnan(row.last_gap) and np.isnan(row.gap_before)


def scores(client: Client, day: date) -> list[tuple[object, ...]]:
    return client.query(
        f"SELECT * FROM clv_predictive.lifetime_value WHERE as_of_date = '{day}' ORDER BY customer_id"
    ).result_rows


def test_a_refreshed_day_holds_one_row_per_customer_from_the_model_of_the_month_before(
    client: Client, settings: Settings, rows: pd.DataFrame
) -> None:
    result = refresh_lifetime_value(client, settings, AS_OF.isoformat())
    artifact, reason = model_of_day(client, settings, AS_OF)

    assert artifact is not None and reason == ""
    assert artifact.trained_until == UNTIL
    assert artifact.trained_from == known_orders(rows, UNTIL, UNTIL)["business_date"].min()
    stored = scores(client, AS_OF)
    assert len(stored) == len(result) == known_orders(rows, AS_OF, AS_OF)["customer_id"].nunique()
    assert [row[1] for row in stored] == result["customer_id"].tolist()
    assert {(row[2], row[3]) for row in stored} == {(artifact.version, result["method"].iloc[0])}
    assert [float(row[9]) for row in stored] == pytest.approx(result["expected_margin_365d"].tolist(), abs=1e-9)
    assert {row[-2:] for row in stored} == {("", "")}
    assert {row[6] for row in stored if row[1] % 10 == 0} == {1}
    assert {row[6] for row in stored if row[1] % 10 != 0} == {0}


def test_the_numbers_stay_the_models_and_what_serves_stands_beside_them(client: Client, settings: Settings) -> None:
    refresh_lifetime_value(client, settings, AS_OF.isoformat())
    before, table = scores(client, AS_OF), "clv_predictive.promotions"
    served = {
        "lifetime_value": "decayed_spend",
        "lifetime_value_no_order": "lifetime_value_no_order",
        "churn": "recency",
    }
    rows = [[AS_OF, model, name, "", AS_OF] for model, name in served.items()]
    client.insert(table, rows, column_names=["evaluated_on", "model", "served_model", "verdict", "serves_from"])

    refresh_lifetime_value(client, settings, AS_OF.isoformat())

    client.command(f"TRUNCATE TABLE {table}")
    after = scores(client, AS_OF)
    assert [row[:-2] for row in after] == [row[:-2] for row in before]
    assert {row[-2:] for row in after} == {("decayed_spend", "lifetime_value_no_order")}


def test_what_became_known_after_the_cutoff_changes_no_artifact_and_no_score(
    client: Client, settings: Settings, rows: pd.DataFrame
) -> None:
    """Everything after the end of the training day is shuffled for the artifact, everything after the as-of date for the scores."""
    refresh_lifetime_value(client, settings, AS_OF.isoformat())
    before, artifact = scores(client, AS_OF), model_of_day(client, settings, AS_OF)[0]

    def shuffled(after: date) -> pd.DataFrame:
        cutoff = pd.Timestamp(after + timedelta(days=1), tz="Asia/Shanghai")
        other = rows.copy()
        is_late = other["known_from"] >= cutoff
        assert is_late.sum() > 100
        turned = np.random.default_rng(8).permutation(np.flatnonzero(is_late))
        for column in ("customer_id", "business_date", "net_amount", "is_valid"):
            other.loc[is_late, column] = other[column].to_numpy()[turned]
        other.loc[is_late, "net_amount"] *= 7
        return other

    write(client, settings, shuffled(AS_OF))
    refresh_lifetime_value(client, settings, AS_OF.isoformat())
    assert scores(client, AS_OF) == before

    write(client, settings, shuffled(UNTIL))
    client.command("TRUNCATE TABLE clv_predictive.model_artifacts")
    assert model_of_day(client, settings, AS_OF)[0] == artifact


def test_days_come_out_the_same_in_any_order_and_a_month_has_one_model(client: Client, settings: Settings) -> None:
    days = [date(2024, 6, 30), date(2024, 7, 1), date(2024, 7, 20), date(2024, 8, 1)]
    for day in days:
        refresh_lifetime_value(client, settings, day.isoformat())
    forwards = {day: scores(client, day) for day in days}
    versions = [{row[2] for row in forwards[day]} for day in days]
    assert versions[1] == versions[2] and len(versions[0] | versions[1] | versions[3]) == 3

    client.command("TRUNCATE TABLE clv_predictive.model_artifacts")
    for day in reversed(days):
        refresh_lifetime_value(client, settings, day.isoformat())
    assert {day: scores(client, day) for day in days} == forwards


def test_a_restated_day_keeps_its_model_and_counts_what_became_known(client: Client, settings: Settings) -> None:
    refresh_lifetime_value(client, settings, AS_OF.isoformat())
    before = scores(client, AS_OF)
    refresh_lifetime_value(client, settings, AS_OF.isoformat(), known_until="2024-08-15")

    after = scores(client, AS_OF)
    assert {row[2] for row in after} == {row[2] for row in before}
    assert after != before


def test_a_day_before_the_data_can_support_a_model_gets_the_fallback_and_the_reason(
    client: Client, settings: Settings
) -> None:
    result = refresh_lifetime_value(client, settings, "2024-02-10")

    assert set(result["method"]) == {"historical_rate"}
    assert set(result["reason"]) == {f"on 2024-01-31: {count_on(client)} customers, fewer than 200"}
    assert {row[10] for row in scores(client, date(2024, 2, 10))} == {None}
    assert client.command("SELECT count() FROM clv_predictive.model_artifacts") == 0


def count_on(client: Client) -> int:
    return client.query(
        "SELECT uniqExact(customer_id) FROM clv_facts.fct_orders WHERE business_date <= '2024-01-31' AND is_valid = 1 "
        "AND known_from < toDateTime64('2024-02-01', 3, 'Asia/Shanghai') AND known_to >= toDateTime64('2024-02-01', 3, 'Asia/Shanghai')"
    ).result_rows[0][0]


def test_the_first_day_of_all_has_no_model_and_no_error(client: Client, settings: Settings) -> None:
    result = refresh_lifetime_value(client, settings, START.isoformat())
    assert set(result["reason"]) == {"on 2023-12-31: 0 customers, fewer than 200"}


def test_customers_who_left_the_demo_world_have_a_low_chance_to_be_alive(own_warehouse: Settings) -> None:
    """The world knows whom it let go. Chance is an area of 0.5; the margin that is stated is 0.9."""
    settings = replace(own_warehouse, prefix="clv_demo")
    client = connect(settings, autogenerate_session_id=False)
    world = World(customers=900, days=420, seed=7, last_date=date(2026, 6, 20), zone="Asia/Shanghai")
    make_world(client, settings, world)
    client.command("CREATE DATABASE clv_demo_facts")
    client.command("CREATE DATABASE clv_demo_predictive")
    client.command(
        "CREATE TABLE clv_demo_facts.fct_orders ENGINE = MergeTree ORDER BY (customer_id, business_date) AS SELECT customer_id, "
        f"toDate('{world.first_date}') + day AS business_date, toDateTime64(ordered, 3, 'UTC') AS known_from, "
        "toDateTime64('2200-01-01', 3, 'UTC') AS known_to, toDecimal64(value, 2) AS net_amount, toDecimal128(0, 7) AS cost_amount, "
        "toDecimal64(0, 2) AS tier_discount_amount, toUInt8(0) AS is_cost_known, toUInt8(NOT is_cancelled) AS is_valid "
        "FROM clv_demo_demo.orders"
    )
    create_predictive_tables(client, settings)
    as_of = world.last_date - timedelta(days=60)

    result = refresh_lifetime_value(client, settings, as_of.isoformat()).set_index("customer_id")
    truth = client.query_df("SELECT customer_id, dead_day FROM clv_demo_demo.customers").set_index("customer_id")
    is_gone = truth["dead_day"].reindex(result.index) <= (as_of - world.first_date).days
    ahead = client.query_df(
        "SELECT customer_id, uniqExact(business_date) AS days FROM clv_demo_facts.fct_orders WHERE is_valid = 1 "
        f"AND business_date > '{as_of}' AND business_date <= toDate('{as_of}') + 30 GROUP BY customer_id"
    ).set_index("customer_id")["days"]
    no_order = ahead.reindex(result.index).isna()

    assert set(result["method"]) == {"mbg_nbd"}
    assert len(result) > 500 and 0.1 < is_gone.mean() < 0.4
    ranks = rankdata(result["p_alive"])[is_gone.to_numpy()]
    below = ranks.sum() - len(ranks) * (len(ranks) + 1) / 2
    assert 1 - below / (len(ranks) * (len(result) - len(ranks))) > 0.9
    assert abs(result["p_no_order_30d"].mean() - no_order.mean()) < 0.05
    assert ((result["p_no_order_30d"] - no_order) ** 2).mean() < 0.6 * no_order.mean() * (1 - no_order.mean())


def test_the_simulated_bases_of_these_tests_know_who_stopped() -> None:
    """Guards the simulation itself: who stopped orders no more, and who lives on orders at the own rate."""
    base = simulate_base(20_000, 2.0, 10.0, 1.0, 9.0, seed=2, ahead=100.0)
    assert base.orders_ahead[~base.is_alive].sum() == 0
    assert (base.t_x <= base.T).all() and ((base.x == 0) == (base.t_x == 0)).all()
