"""Reading what recommendations are made of, as it was known at a cut-off, and writing them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.predictive.cutoff import days_before, described, known, until
from orchestration.predictive.recommendation import OUTCOME_DAYS, Fold
from orchestration.predictive.recommendation_sources import Catalogue, history_of, position
from orchestration.predictive.store_tables import Replacement, frame_of, replace_day
from orchestration.warehouse.settings import Settings

HISTORY_DAYS = 365
# Sold in the region "lately", and bought "in use", mean these days.
LATELY_DAYS = 28
# So many customers to learn from and to judge by: chosen by a hash of the id, so that cost does not grow with the base.
SAMPLE_CUSTOMERS = 20_000

# Read before the rows replace those of before.
MUST_HOLD = {
    "a place holds one product": "uniqExact(customer_id, rank) = count()",
    "a product stands once in a list": "uniqExact(customer_id, product_id) = count()",
    "scores are numbers": "countIf(NOT isFinite(score)) = 0",
    "shares are between 0 and 1": "countIf(NOT (region_share BETWEEN 0 AND 1 AND ifNull(goes_with_share, 0) BETWEEN 0 AND 1)) = 0",
    "every row says why": "countIf(reason_code NOT IN ('repurchase', 'goes_with', 'popular', 'similar_customers')) = 0",
}


def first_order_day(client: Client, settings: Settings, day: date) -> date | None:
    """Business date of the first valid order known at the end of `day`; None without one."""
    return client.query(
        f"SELECT minOrNull(business_date) FROM {settings.database('facts')}.fct_orders "
        f"WHERE {known(settings, day)} AND is_valid = 1 AND business_date <= {until(day)}"
    ).result_rows[0][0]


def read_customers(client: Client, settings: Settings, day: date, condition: str = "1") -> pd.DataFrame:
    """Customers who may be offered something: a valid order up to `day`, not blocked and not closed; those of the condition.

    customer_id (ascending), region_code; `unknown` for customers without a row in the source.
    """
    customers = described(settings, "customers", "customer_id", ("region_code", "customer_status"), day)
    return frame_of(
        client,
        f"""
        SELECT buying.customer_id AS customer_id, if(customer.region_code = '', 'unknown', customer.region_code) AS region_code
        FROM (SELECT DISTINCT customer_id FROM {settings.database("facts")}.fct_orders
            WHERE {known(settings, day)} AND is_valid = 1 AND business_date <= {until(day)} AND {condition}) AS buying
        LEFT JOIN {customers} AS customer ON buying.customer_id = customer.customer_id
        WHERE customer.customer_status IN ('', 'active')
        ORDER BY customer_id
        """,
        {"customer_id": "uint64", "region_code": "str"},
    )


def read_products(client: Client, settings: Settings, day: date) -> pd.DataFrame:
    """Products that someone bought in HISTORY_DAYS: product_id (ascending), product_name ('' where the source does not list
    it), category_id and category_name (None without one), is_on_sale: status active, or not listed at all.

    Others cannot be on sale anywhere, and what is listed after `day` must not move the numbers of the products.
    """
    columns = ("product_name", "category_id", "product_status")
    products = described(settings, "products", "product_id", columns, day)
    categories = described(settings, "categories", "category_id", ("category_name",), day)
    frame = frame_of(
        client,
        f"""
        SELECT bought.product_id AS product_id, product.product_name AS product_name, product.category_id AS category_id,
            category.category_name AS category_name, product.product_status IN ('', 'active') AS is_on_sale
        FROM (SELECT DISTINCT product_id FROM {_lines(settings, day, HISTORY_DAYS)}) AS bought
        LEFT JOIN {products} AS product ON bought.product_id = product.product_id
        LEFT JOIN {categories} AS category ON product.category_id = category.category_id
        ORDER BY product_id
        """,
        {
            "product_id": "uint64",
            "product_name": "str",
            "category_id": "object",
            "category_name": "str",
            "is_on_sale": "bool",
        },
    )
    names = ["category_id", "category_name"]
    frame[names] = frame[names].astype(object).where(frame["category_id"].notna(), None)
    return frame


def read_catalogue(client: Client, settings: Settings, day: date, products: pd.DataFrame) -> Catalogue:
    """What was on sale where at the end of `day`, and how popular: from the lines of the last LATELY_DAYS."""
    regions = described(settings, "customers", "customer_id", ("region_code",), day)
    sold = frame_of(
        client,
        f"""
        SELECT if(customer.region_code = '', 'unknown', customer.region_code) AS region_code, line.product_id AS product_id,
            uniqExact(line.customer_id) AS customer_count, grouping(line.product_id) AS is_whole_region
        FROM (SELECT customer_id, product_id FROM {_lines(settings, day, LATELY_DAYS)}) AS line
        LEFT JOIN {regions} AS customer ON line.customer_id = customer.customer_id
        GROUP BY GROUPING SETS ((region_code, product_id), (region_code)) ORDER BY region_code, product_id
        """,
        {"region_code": "str", "product_id": "uint64", "customer_count": "int64", "is_whole_region": "bool"},
    )
    whole = sold[sold["is_whole_region"]].set_index("region_code")["customer_count"]
    sold = sold[~sold["is_whole_region"]]
    names = tuple(sorted(whole.index))
    product_ids = products["product_id"].to_numpy(np.uint64)
    popularity = np.zeros((len(names), len(product_ids)))
    row = sold["region_code"].map({name: number for number, name in enumerate(names)}).to_numpy(np.int64)
    column = position(product_ids, sold["product_id"].to_numpy(np.uint64))
    share = sold["customer_count"].to_numpy() / sold["region_code"].map(whole).to_numpy()
    popularity[row[column >= 0], column[column >= 0]] = share[column >= 0]
    return Catalogue(product_ids, names, (popularity > 0) & products["is_on_sale"].to_numpy(bool), popularity)


def read_purchases(client: Client, settings: Settings, day: date, condition: str) -> pd.DataFrame:
    """Purchases of HISTORY_DAYS up to `day` of the customers that satisfy the condition, one row per customer and product."""
    end = until(day)
    return frame_of(
        client,
        f"""
        SELECT customer_id, product_id, countIf(business_date > {end} - {LATELY_DAYS}) AS lines_28d,
            countIf(business_date <= {end} - {LATELY_DAYS} AND business_date > {end} - 90) AS lines_90d,
            countIf(business_date <= {end} - 90) AS lines_365d,
            {end} - min(business_date) AS first_age, {end} - max(business_date) AS last_age
        FROM {_lines(settings, day, HISTORY_DAYS)} AND {condition}
        GROUP BY customer_id, product_id
        """,
        {"customer_id": "uint64", "product_id": "uint64"}
        | dict.fromkeys(("lines_28d", "lines_90d", "lines_365d", "first_age", "last_age"), "int32"),
    )


def read_fold(client: Client, settings: Settings, day: date, known_on: date, condition: str) -> Fold:
    """The cut-off at the end of `day`, for customers of the condition; what they bought in the OUTCOME_DAYS after it is read
    as known at the end of `known_on`."""
    customers, products = read_customers(client, settings, day, condition), read_products(client, settings, day)
    catalogue = read_catalogue(client, settings, day, products)
    history = history_of(customers, read_purchases(client, settings, day, condition), catalogue)
    bought_after = frame_of(
        client,
        f"SELECT DISTINCT customer_id, product_id FROM {settings.database('facts')}.fct_order_lines "
        f"WHERE {known(settings, known_on)} AND is_valid = 1 AND business_date > {until(day)} "
        f"AND business_date <= {until(day)} + {OUTCOME_DAYS} AND {condition}",
        {"customer_id": "uint64", "product_id": "uint64"},
    )
    return Fold(catalogue, history, bought_after)


def sample_condition(customer_count: int) -> str:
    """SQL that keeps about SAMPLE_CUSTOMERS of so many customers, always the same ones."""
    return f"cityHash64(customer_id) % {max(1, -(-customer_count // SAMPLE_CUSTOMERS))} = 0"


def replace_recommendations(
    client: Client, settings: Settings, day: date, parts: Iterable[pd.DataFrame], products: pd.DataFrame, version: str
) -> int:
    """Make the rows of all parts the recommendations of `day`, all at once or not at all; returns how many."""
    named = products.set_index("product_id")
    count = 0
    with Replacement(client, settings, "product_recommendations", day, MUST_HOLD) as incoming:
        for part in parts:
            if part.empty:
                continue
            part = part.assign(
                last_bought_on=[
                    None if age < 0 else day - timedelta(days=int(age)) for age in part["last_age"].to_numpy()
                ],
                product_name=named["product_name"].reindex(part["product_id"]).to_numpy(),
                category_id=named["category_id"].reindex(part["product_id"]).to_numpy(),
                category_name=named["category_name"].reindex(part["product_id"]).to_numpy(),
                goes_with_product_name=named["product_name"].reindex(part["goes_with_product_id"]).to_numpy(),
            )
            goes_with = ["goes_with_product_id", "goes_with_product_name", "goes_with_share"]
            part[goes_with] = part[goes_with].astype(object).where(part["goes_with_product_id"] != 0, None)
            incoming.insert(part, as_of_date=day, model_version=version)
            count += len(part)
    return count


def replace_evaluation(client: Client, settings: Settings, day: date, rows: pd.DataFrame, version: str) -> None:
    """Make `rows` the comparison of the methods on `day`."""
    replace_day(client, settings, "recommendation_evaluation", day, rows, as_of_date=day, model_version=version)


def _lines(settings: Settings, day: date, days: int) -> str:
    return (
        f"{settings.database('facts')}.fct_order_lines WHERE {known(settings, day)} AND is_valid = 1 "
        f"AND business_date > {days_before(day, days)} AND business_date <= {until(day)}"
    )
