"""Reading features for the predictive assets."""

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.seeds import rows_in_force
from orchestration.warehouse.settings import Settings

_FEATURES = (
    "customer_id, business_type, region_code, order_count_90d, toFloat64(net_amount_90d) AS net_amount_90d, "
    "toFloat64(net_amount_prior_90d) AS net_amount_prior_90d, days_since_first_order, category_count_90d, "
    "toFloat64(new_product_offered_count_180d) AS new_product_offered_count_180d, "
    "toFloat64(new_product_tried_count_180d) AS new_product_tried_count_180d"
)


def read_potential_inputs(
    client: Client, settings: Settings, as_of: str
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Features, category spend and weights for `potential`, of the snapshot that is being built.

    Raises TierhouseError when the features in the warehouse are those of another day.
    """
    layer = settings.database("features")
    check_day(client, f"{layer}.feature_snapshot", as_of)
    features = client.query_df(f"SELECT {_FEATURES} FROM {layer}.feature_snapshot ORDER BY customer_id")
    spend = client.query_df(
        f"SELECT customer_id, category_id, toFloat64(spend_90d) AS spend_90d FROM {layer}.customer_category_spend "
        "ORDER BY customer_id, category_id"
    )
    if spend.empty:
        spend = pd.DataFrame({"customer_id": [], "category_id": [], "spend_90d": []})
    seed = f"{settings.database('seeds')}.potential_weights"
    weights: dict[str, float] = {
        part: weight
        for part, weight in client.query(
            f"SELECT part, weight FROM {rows_in_force(seed, '{as_of:Date}')}",
            parameters={"as_of": as_of},
        ).result_rows
    }
    return features, spend, weights


def check_day(client: Client, table: str, as_of: str) -> None:
    """Raise TierhouseError when a table of the features layer holds another day than `as_of`."""
    days = client.query(f"SELECT DISTINCT toString(as_of_date) FROM {table}").result_rows
    if days != [(as_of,)]:
        found = days[0][0] if days else "no day"
        raise TierhouseError(f"features hold {found}, not {as_of}; run `tierhouse refresh --as-of {as_of}`")
