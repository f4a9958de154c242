"""Reading spend and launches for the parts of potential, and writing them for an as-of date."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.predictive import acceptance, spend_forecast, store
from orchestration.predictive.artifacts import Artifact, fingerprint, training_day
from orchestration.predictive.cutoff import days_before, described, known, until
from orchestration.predictive.order_histories import described_from_facts, from_features
from orchestration.predictive.potential import MODEL_VERSION, potential
from orchestration.predictive.potential_parts import CODE_VERSION, annual_spend, fit_bands, potential_parts
from orchestration.predictive.promotions import served_model
from orchestration.predictive.spend_blocks import BLOCK_DAYS, BLOCKS, YEAR_DAYS, SpendBlocks
from orchestration.predictive.store_artifacts import load_or_fit
from orchestration.predictive.store_tables import replace_day
from orchestration.warehouse.settings import Settings

MODEL, FORECAST = "potential", "spend_forecast"
_LAUNCH_DAYS = 180
# The forecast learns from at most about this many customers, chosen by the hash of their id.
_TRAINING_CUSTOMERS = 40_000


def refresh_potential(client: Client, settings: Settings, as_of: str, known_until: str = "") -> pd.DataFrame:
    """Compute and replace both versions of potential of `as_of`; features must be those of the day.

    The index of version 1 serves, until an evaluation of a day up to `as_of` has promoted version 2: then potential_index is
    potential_index_v2, and model_version names the artifact. Returns the rows of `<prefix>_predictive.potential`.
    """
    day = date.fromisoformat(as_of)
    inputs = store.read_potential_inputs(client, settings, as_of)
    result, version = potential(*inputs), MODEL_VERSION
    histories = from_features(client, settings, day)
    parts, parts_version = refresh_potential_parts(client, settings, as_of, inputs, known_until, histories)
    if is_promoted(client, settings, as_of):
        result["potential_index"], version = parts["potential_index_v2"].to_numpy(), parts_version
    replace_day(client, settings, "potential", day, result, as_of_date=day, model_version=version)
    return result


def is_promoted(client: Client, settings: Settings, as_of: str) -> bool:
    """Whether version 2 serves on a day."""
    return served_model(client, settings, MODEL, as_of) == MODEL


def refresh_potential_parts(
    client: Client,
    settings: Settings,
    as_of: str,
    inputs: tuple[pd.DataFrame, pd.DataFrame, dict[str, float]],
    known_until: str = "",
    histories: str = "",
) -> tuple[pd.DataFrame, str]:
    """Compute and replace the rows of `as_of` in `<prefix>_predictive.potential_parts`; fits the month's model where it is missing.

    The latest 90 days stand in for the forecast where a verdict lets a baseline serve: of all baselines they alone are an amount
    of 90 days. Returns the rows and the version of the model. inputs: of `store.read_potential_inputs` for the same day.
    known_until: last day whose knowledge counts, for a restatement. histories: as for `read_blocks`.
    """
    features, spend, weights = inputs
    day = date.fromisoformat(as_of)
    trained_until = training_day(day)
    artifact = load_or_fit(
        client, settings, MODEL, CODE_VERSION, trained_until, lambda: fit_potential(client, settings, trained_until)
    )
    knows = date.fromisoformat(known_until) if known_until else day
    blocks = read_blocks(client, settings, day, knows, histories=histories)
    forecast_serves = served_model(client, settings, FORECAST, as_of) in ("", FORECAST)
    result = potential_parts(
        features, spend, blocks, weights, artifact.parameters if artifact else None, forecast_serves
    )
    version = artifact.version if artifact else f"unfitted-{CODE_VERSION}"
    replace_day(client, settings, "potential_parts", day, result, as_of_date=day, model_version=version)
    return result, version


def fit_potential(client: Client, settings: Settings, trained_until: date) -> Artifact | None:
    """Size bands, trees and prior of a training day, from what was known at its end; None where none of them can be fitted."""
    now = read_blocks(client, settings, trained_until, trained_until)
    if not len(now.customer_id):
        return None
    bands = fit_bands(now.business_type, annual_spend(now))
    offered, tried = _launches(client, settings, trained_until)
    prior = acceptance.fit_prior(offered, tried)
    examples = read_examples(client, settings, trained_until)
    forecast = spend_forecast.fit(examples)
    if bands is None and prior is None and forecast is None:
        return None
    return Artifact(
        model=MODEL,
        code_version=CODE_VERSION,
        trained_from=trained_until - timedelta(days=YEAR_DAYS + max(spend_forecast.ORIGIN_OFFSETS) - 1),
        trained_until=trained_until,
        data_fingerprint=fingerprint(now.customer_id, now.business_type, np.round(now.net.sum(axis=1), 2)),
        parameters={"bands": bands, "prior": list(prior) if prior else None, "forecast": forecast},
    )


def read_examples(client: Client, settings: Settings, trained_until: date) -> list[tuple[SpendBlocks, np.ndarray]]:
    """Spend as it was known 90 and 180 days before the training day, and what followed, as it was known at the training day."""
    examples = []
    for offset in spend_forecast.ORIGIN_OFFSETS:
        origin = trained_until - timedelta(days=offset)
        spend = read_blocks(client, settings, origin, origin, sampled=True)
        rows = client.query_arrow(
            f"SELECT customer_id, toFloat64(sum(net_amount)) AS net FROM {settings.database('facts')}.fct_orders "
            f"WHERE {known(settings, trained_until)} AND is_valid = 1 AND business_date > {until(origin)} "
            f"AND business_date <= {until(origin)} + {spend_forecast.HORIZON_DAYS} GROUP BY customer_id"
        )
        followed = pd.Series(rows["net"].to_numpy(), index=rows["customer_id"].to_numpy())
        examples.append((spend, followed.reindex(spend.customer_id).fillna(0.0).to_numpy()))
    return examples


def read_blocks(
    client: Client, settings: Settings, as_of: date, known_until: date, sampled: bool = False, histories: str = ""
) -> SpendBlocks:
    """Four-week blocks of the customers with a valid order in the 364 days that end on `as_of`.

    histories: a relation of `order_histories` for the day and that knowledge; empty: made from the facts.
    """
    orders = (
        f"FROM {settings.database('facts')}.fct_orders WHERE {known(settings, known_until)} AND is_valid = 1 "
        f"AND business_date <= {until(as_of)}"
    )
    chosen = "true"
    if sampled:
        count = client.query(f"SELECT uniqExact(customer_id) {orders}").result_rows[0][0]
        chosen = f"cityHash64(customer_id) % {max(1, -(-count // _TRAINING_CUSTOMERS))} = 0"
    day, block = until(as_of), f"toUInt8(intDiv({until(as_of)} - business_date, {BLOCK_DAYS}))"
    customers = client.query_arrow(
        f"SELECT customer_id, business_type, toInt32({day} - order_dates[1]) AS first_days, "
        f"toInt32({day} - order_dates[-1]) AS last_days "
        f"FROM {histories or described_from_facts(settings, as_of, known_until, chosen)} "
        f"WHERE last_days < {YEAR_DAYS} ORDER BY customer_id",
        settings={"output_format_arrow_string_as_string": 1},
    )
    sums = client.query_arrow(
        f"SELECT customer_id, {block} AS block, toFloat64(sum(net_amount)) AS net, toUInt32(count()) AS orders "
        f"{orders} AND {chosen} AND business_date > {days_before(as_of, YEAR_DAYS)} GROUP BY customer_id, block"
    )
    ids = customers["customer_id"].to_numpy()
    row = np.searchsorted(ids, sums["customer_id"].to_numpy())
    column = BLOCKS - 1 - sums["block"].to_numpy().astype(np.int64)
    net, count = np.zeros((len(ids), BLOCKS)), np.zeros((len(ids), BLOCKS))
    net[row, column] = sums["net"].to_numpy()
    count[row, column] = sums["orders"].to_numpy()
    return SpendBlocks(
        customer_id=ids,
        business_type=np.array(customers["business_type"].to_pylist(), dtype=object),
        net=net,
        orders=count,
        days_since_first_order=customers["first_days"].to_numpy().astype(np.int64),
        days_since_last_order=customers["last_days"].to_numpy().astype(np.int64),
    )


def _launches(client: Client, settings: Settings, day: date) -> tuple[np.ndarray, np.ndarray]:
    """New products offered to and tried by each customer in the 180 days that end on `day`; as in customer_product_features."""
    facts, start = settings.database("facts"), days_before(day, _LAUNCH_DAYS)
    products = described(settings, "products", "product_id", ("launched_on",), day)
    rows = client.query(
        f"""
        WITH trials AS (
            SELECT DISTINCT lines.customer_id AS customer_id, lines.product_id AS product_id,
                assumeNotNull(products.launched_on) AS launched_on
            FROM {facts}.fct_order_lines AS lines
            INNER JOIN (SELECT * FROM {products} WHERE launched_on > {start} AND launched_on <= {until(day)}) AS products
                ON lines.product_id = products.product_id
            WHERE {known(settings, day)} AND is_valid = 1 AND business_date > {start} AND business_date <= {until(day)}
        ),
        -- By day, of which there are few, however many products are new.
        launches AS (
            SELECT (groupArray(launched_on), groupArray(products)) AS days
            FROM (SELECT launched_on, uniqExact(product_id) AS products FROM trials GROUP BY launched_on)
        )
        SELECT offered, tried, count() FROM (
            SELECT arraySum(
                    (launched_on, products) -> if(launched_on >= customers.first_day, products, 0),
                    tupleElement((SELECT days FROM launches), 1), tupleElement((SELECT days FROM launches), 2)
                ) AS offered,
                toUInt32(ifNull(tries.tried, 0)) AS tried
            FROM (
                SELECT customer_id, min(business_date) AS first_day FROM {facts}.fct_orders
                WHERE {known(settings, day)} AND is_valid = 1 AND business_date <= {until(day)} GROUP BY customer_id
            ) AS customers
            LEFT JOIN (
                SELECT trials.customer_id AS customer_id, countIf(trials.launched_on >= firsts.first_day) AS tried
                FROM trials INNER JOIN (
                    SELECT customer_id, min(business_date) AS first_day FROM {facts}.fct_orders
                    WHERE {known(settings, day)} AND is_valid = 1 AND business_date <= {until(day)} GROUP BY customer_id
                ) AS firsts ON trials.customer_id = firsts.customer_id
                GROUP BY customer_id
            ) AS tries ON customers.customer_id = tries.customer_id
        )
        WHERE offered > 0 GROUP BY offered, tried ORDER BY offered, tried
        """
    ).result_rows
    counts = [row[2] for row in rows]
    return (
        np.repeat(np.array([row[0] for row in rows], dtype=np.int64), counts),
        np.repeat(np.array([row[1] for row in rows], dtype=np.int64), counts),
    )
