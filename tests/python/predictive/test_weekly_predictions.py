"""Weekly predictions over a demo world: they know nothing of what came later, and they find what the world was made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd
import pytest
from built_world import built_world
from clickhouse_connect.driver.client import Client
from own_warehouse import with_parsed_project

from orchestration.errors import TierhouseError
from orchestration.predictions import Forecasted, Recommended, choose_day, forecast_sales, recommend_products
from orchestration.predictive import store_forecast, store_recommendation
from orchestration.predictive.store_forecast import read_weekly_sales
from orchestration.predictive.store_tables import Replacement
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

LAST = date(2026, 3, 29)
# Two weeks before the end, so that there is something to leak.
DAY = LAST - timedelta(days=14)
BEFORE = date(2025, 1, 1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, parsed_project: Path) -> Iterator[Settings]:
    home = with_parsed_project(tmp_path_factory.mktemp("predictions"), parsed_project)
    with built_world(home, customers=1000, days=130, last_date=LAST) as made:
        yield made


@pytest.fixture(scope="module")
def client(settings: Settings) -> Client:
    return connect(settings, autogenerate_session_id=False)


@pytest.fixture(scope="module")
def recommended(client: Client, settings: Settings) -> Recommended:
    return recommend_products(client, settings, DAY)


@pytest.fixture(scope="module")
def forecasted(client: Client, settings: Settings) -> Iterator[Forecasted]:
    """The forecast, while a snapshot gives a third of the customers one tier and the others another."""
    client.command("CREATE DATABASE IF NOT EXISTS tierhouse_snapshots")
    client.command(
        "CREATE TABLE tierhouse_snapshots.published_builds ENGINE = MergeTree ORDER BY as_of_date AS "
        f"SELECT toDate('{DAY}') - 3 AS as_of_date, 'b' AS build_id UNION ALL SELECT toDate('{LAST}'), 'later' "
        f"UNION ALL SELECT toDate('{BEFORE}'), 'before any order'"
    )
    client.command(
        "CREATE TABLE tierhouse_snapshots.customer_tier_snapshots ENGINE = MergeTree ORDER BY customer_id AS "
        "SELECT as_of_date, build_id, customer_id, if(build_id = 'later', 'wrong', if(customer_id % 3 = 0, 'gold', 'bronze')) AS tier, "
        "concat(tier, ' label') AS tier_label FROM tierhouse_snapshots.published_builds "
        "CROSS JOIN (SELECT customer_id FROM tierhouse_facts.dim_customers) AS customers"
    )
    yield forecast_sales(client, settings, DAY)
    client.command("DROP TABLE tierhouse_snapshots.published_builds")
    client.command("DROP TABLE tierhouse_snapshots.customer_tier_snapshots")


def _rows(client: Client, table: str) -> pd.DataFrame:
    frame = client.query_df(
        f"SELECT * FROM tierhouse_predictive.{table} WHERE as_of_date = {{day:Date}} ORDER BY ALL",
        parameters={"day": DAY},
    )
    return frame


def test_a_warehouse_that_was_never_refreshed_is_told_so(client: Client, settings: Settings) -> None:
    with pytest.raises(TierhouseError, match="run `tierhouse refresh` first"):
        choose_day(client, settings)


def test_every_customer_who_may_order_gets_a_list_of_products_on_sale(
    client: Client, settings: Settings, recommended: Recommended
) -> None:
    rows = _rows(client, "product_recommendations")
    assert recommended.reason == "judged"
    assert recommended.row_count == len(rows) > 5000
    assert (
        rows.groupby("customer_id")["rank"].apply(list).map(lambda ranks: ranks == list(range(1, len(ranks) + 1))).all()
    )
    closed = client.query_df(
        "SELECT customer_id FROM tierhouse_landing.customers WHERE status != 'active' AND updated_at < toDateTime64("
        f"'{DAY + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    )["customer_id"]
    gone = client.query_df(
        "SELECT product_id FROM tierhouse_landing.products WHERE status != 'active' AND updated_at < toDateTime64("
        f"'{DAY + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    )["product_id"]
    assert len(closed) and len(gone)
    assert not set(closed) & set(rows["customer_id"])
    assert not set(gone) & {*rows["product_id"], *rows["goes_with_product_id"]}


def test_the_lists_find_the_products_that_the_world_made_each_customer_like(
    client: Client, recommended: Recommended
) -> None:
    # The assortment of a customer is the truth of the generator; a draw of the same region's goods at random is the chance.
    liked, chance = client.query(
        """
        WITH liked AS (
            SELECT DISTINCT customer_id, product_id FROM (
                SELECT customer_id, toUInt32(type_index * 4096 + cityHash64(3, 80, customer_id, toUInt8(favourite),
                    intDiv((SELECT days FROM tierhouse_demo.world) - 15 + customer_id % 180, 180)) % 4096) AS draw
                FROM tierhouse_demo.customers ARRAY JOIN range(assortment) AS favourite
            ) AS favourites INNER JOIN tierhouse_demo.draws AS draws USING (draw)
        )
        SELECT avg((customer_id, product_id) IN liked),
            avg((customer_id, any_product) IN liked)
        FROM (
            SELECT customer_id, product_id, arrayElement((SELECT groupUniqArray(product_id) FROM
                tierhouse_predictive.product_recommendations) AS everything,
                1 + cityHash64(customer_id, rank) % length(everything)) AS any_product
            FROM tierhouse_predictive.product_recommendations WHERE rank <= 7 AND reason_code = 'repurchase'
        )
        """
    ).result_rows[0]
    assert liked > 5 * chance > 0


def test_the_series_are_the_net_sales_of_whole_weeks_in_every_dimension(
    client: Client, settings: Settings, forecasted: Forecasted
) -> None:
    sales = read_weekly_sales(client, settings, DAY)
    cutoff = f"toDateTime64('{DAY + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    orders = client.query_df(
        "SELECT toMonday(business_date) AS week, customer_id, toFloat64(net_amount) AS net FROM tierhouse_facts.fct_orders "
        f"WHERE known_from < {cutoff} AND known_to >= {cutoff} AND is_valid = 1 AND business_date <= toDate('{DAY}')"
    )
    # DAY is a Sunday, so its week is whole.
    expected = orders.groupby("week")["net"].sum()
    by_dimension = sales.pivot_table(index="week", columns="dimension", values="net_amount", aggfunc="sum")
    assert set(by_dimension.columns) == {"total", "region", "category", "tier"}
    for dimension in by_dimension.columns:
        assert by_dimension[dimension].to_numpy() == pytest.approx(expected.to_numpy(), abs=1.0), dimension
    gold = sales[sales["member"] == "gold"].set_index("week")["net_amount"]
    expected = orders[orders["customer_id"] % 3 == 0].groupby("week")["net"].sum()
    assert gold.to_numpy() == pytest.approx(expected.to_numpy(), abs=0.01)
    assert len(sales[sales["dimension"] == "category"]["member_name"].unique()) == 12


def test_lines_lose_their_share_of_the_refunds_to_the_cent_and_count_for_the_top_of_a_deep_tree(
    client: Client, settings: Settings
) -> None:
    # Above all tops but one another one, and one above that, without a name: four levels.
    client.command(
        "INSERT INTO tierhouse_landing.categories (category_id, category_name, parent_category_id, updated_at) VALUES "
        f"(90001, 'cold', 90002, '{BEFORE}'), (90002, '', NULL, '{BEFORE}')"
    )
    client.command(
        "INSERT INTO tierhouse_landing.categories (category_id, category_name, parent_category_id, updated_at) "
        "SELECT category_id, category_name, 90001, updated_at + INTERVAL 1 SECOND FROM tierhouse_landing.categories "
        "WHERE parent_category_id IS NULL AND category_id BETWEEN 2 AND 90000"
    )
    sales = read_weekly_sales(client, settings, DAY)
    client.command(
        "DELETE FROM tierhouse_landing.categories WHERE category_id > 90000 OR parent_category_id = 90001",
        settings={"lightweight_deletes_sync": 2},
    )
    cutoff = f"toDateTime64('{DAY + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    known = f"known_from < {cutoff} AND known_to >= {cutoff} AND is_valid = 1"
    lines = client.query(
        f"SELECT line.gross_amount, orders.gross_amount, orders.refund_amount FROM (SELECT order_id, gross_amount "
        f"FROM tierhouse_facts.fct_order_lines WHERE {known} AND business_date BETWEEN "
        f"toDate('{sales['week'].min().date()}') AND toDate('{DAY}')) AS line INNER JOIN (SELECT order_id, gross_amount, refund_amount "
        f"FROM tierhouse_facts.fct_orders WHERE {known}) AS orders ON line.order_id = orders.order_id"
    ).result_rows
    cent = Decimal("0.01")
    expected = sum(
        value - (value * refund / of).quantize(cent, ROUND_HALF_UP) if of else value for value, of, refund in lines
    )

    categories = sales[sales["dimension"] == "category"]
    assert set(zip(categories["member"], categories["member_name"], strict=True)) == {("1", "蔬菜"), ("90002", "90002")}
    assert any(refund for _, _, refund in lines)
    assert categories["net_amount"].sum() == pytest.approx(float(expected), abs=1e-3)


def test_every_series_has_eight_weeks_and_a_short_history_says_so(client: Client, forecasted: Forecasted) -> None:
    rows = _rows(client, "sales_forecast")
    assert forecasted.row_count == len(rows) == 8 * forecasted.series_count
    assert forecasted.model_count == 0
    assert set(rows["verdict"]) == {"history_too_short"}
    assert set(rows["method"]) == {"recent_mean"}
    assert rows["week_start_date"].min().date() == DAY + timedelta(days=1)
    assert "gold label" in set(rows["member_name"]) and "wrong" not in set(rows["member"])


def test_only_a_published_day_with_an_order_is_predicted_from(
    client: Client, settings: Settings, forecasted: Forecasted
) -> None:
    published = DAY - timedelta(days=3)
    assert choose_day(client, settings) == LAST
    assert choose_day(client, settings, published) == published
    for asked, nearest in ((LAST + timedelta(days=1), LAST), (DAY, published), (date(2024, 1, 1), BEFORE)):
        with pytest.raises(TierhouseError, match=f"{asked} is not published; .*from {nearest}, the nearest"):
            choose_day(client, settings, asked)
    with pytest.raises(TierhouseError, match=f"no order was known by {BEFORE}"):
        choose_day(client, settings, BEFORE)


def test_what_came_after_the_day_changes_nothing(
    client: Client, settings: Settings, recommended: Recommended, forecasted: Forecasted
) -> None:
    tables = ("product_recommendations", "recommendation_evaluation", "sales_forecast")
    before = {name: _rows(client, name) for name in tables}
    cutoff = f"toDateTime64('{DAY + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    facts, landing = "tierhouse_facts", "tierhouse_landing"
    wait = {"mutations_sync": 2}
    # Every later line becomes another product of another customer, and half of the later orders are gone.
    client.command(
        f"ALTER TABLE {facts}.fct_order_lines UPDATE product_id = 9000000 + cityHash64(order_id, line_no) % 50, "
        f"customer_id = customer_id + 1, gross_amount = 1 WHERE known_from >= {cutoff}",
        settings=wait,
    )
    client.command(
        f"ALTER TABLE {facts}.fct_orders DELETE WHERE known_from >= {cutoff} AND order_id % 2 = 0", settings=wait
    )
    for table, changes in (
        ("products", "'discontinued' AS status, 'renamed' AS product_name"),
        ("customers", "'blocked' AS status, 'elsewhere' AS region_code"),
        ("categories", "'renamed' AS category_name"),
    ):
        # The name of a replaced column alone would mean the new value.
        client.command(
            f"INSERT INTO {landing}.{table} SELECT * REPLACE ({changes}, {cutoff} AS updated_at) FROM {landing}.{table} AS known "
            f"WHERE known.updated_at < {cutoff}"
        )
        assert client.command(f"SELECT countIf(updated_at = {cutoff}) FROM {landing}.{table}") > 10

    assert recommend_products(client, settings, DAY) == recommended
    assert forecast_sales(client, settings, DAY) == forecasted

    for name, rows in before.items():
        pd.testing.assert_frame_equal(_rows(client, name), rows, check_exact=True)


@pytest.mark.parametrize(
    ("table", "broken", "line"),
    [
        ("product_recommendations", {"region_share": "1.5"}, "shares are between 0 and 1"),
        ("product_recommendations", {"score": "nan"}, "scores are numbers"),
        ("product_recommendations", {"rank": "toUInt8(1)"}, "a place holds one product"),
        ("product_recommendations", {"product_id": "toUInt64(7)"}, "a product stands once in a list"),
        ("product_recommendations", {"reason_code": "'because'"}, "every row says why"),
        ("sales_forecast", {"net_amount": "net_amount_high + 1"}, "a forecast lies within its interval"),
        ("sales_forecast", {"interval_coverage": "-1."}, "coverage is between 0 and 1"),
        ("sales_forecast", {"member": "''"}, "a week of a series stands there once"),
    ],
)
def test_broken_predictions_do_not_replace_those_of_before(
    client: Client,
    settings: Settings,
    recommended: Recommended,
    forecasted: Forecasted,
    table: str,
    broken: dict[str, str],
    line: str,
) -> None:
    before = _rows(client, table)
    must_hold = {"product_recommendations": store_recommendation, "sales_forecast": store_forecast}[table].MUST_HOLD
    changes = ", ".join(f"{value} AS {column}" for column, value in broken.items())
    with (
        pytest.raises(TierhouseError, match=f"those of before stay: not so is that {line}"),
        Replacement(client, settings, table, DAY, must_hold),
    ):
        client.command(
            f"INSERT INTO tierhouse_predictive.{table}_incoming SELECT * REPLACE ({changes}) "
            f"FROM tierhouse_predictive.{table} WHERE as_of_date = toDate('{DAY}')"
        )
    pd.testing.assert_frame_equal(_rows(client, table), before)
    assert client.command(f"EXISTS TABLE tierhouse_predictive.{table}_incoming") == 0


def test_a_history_that_is_too_short_to_judge_by_says_so(client: Client, settings: Settings) -> None:
    day = LAST - timedelta(days=129 - 20)

    made = recommend_products(client, settings, day)

    assert (made.reason, made.list_method, made.new_method) == ("history_too_short", "repurchase", "popularity")
    assert made.row_count > 0
    verdicts = client.query(
        "SELECT target, method, role, verdict, recall_at_10 FROM tierhouse_predictive.recommendation_evaluation "
        "WHERE as_of_date = {day:Date} ORDER BY target",
        parameters={"day": day},
    ).result_rows
    assert verdicts == [
        ("never_bought", "popularity", "new_places", "history_too_short", None),
        ("not_in_use", "repurchase", "list", "history_too_short", None),
    ]


def test_a_day_on_which_nobody_may_order_has_no_rows_and_no_exception(client: Client, settings: Settings) -> None:
    client.command(
        "INSERT INTO tierhouse_landing.customers SELECT * REPLACE ('blocked' AS status, "
        f"toDateTime64('{LAST} 23:59:59', 3, 'Asia/Shanghai') AS updated_at) FROM tierhouse_landing.customers"
    )

    made = recommend_products(client, settings, LAST)

    assert (made.row_count, made.customer_count) == (0, 0)
