"""Reading what the standards measure on a stored day, and writing its review."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from orchestration.predictive.store_tables import replace_day, typed
from orchestration.predictive.threshold_review import Measured
from orchestration.warehouse.settings import Settings

_TYPES: dict[str, pa.DataType] = {
    "policy": pa.string(),
    "tier": pa.string(),
    "tier_rank": pa.uint8(),
    "criterion": pa.string(),
    "threshold": pa.float64(),
    "reaching_share": pa.float64(),
    "proposed_threshold": pa.float64(),
    "proposed_reaching_share": pa.float64(),
    "quota_share": pa.float64(),
    "customer_count": pa.uint32(),
    "customer_share": pa.float64(),
    "candidate_share": pa.float64(),
    "proposed_candidate_share": pa.float64(),
    "simulated_customer_count": pa.uint32(),
    "simulated_in_count": pa.uint32(),
    "simulated_out_count": pa.uint32(),
    "week_count": pa.uint16(),
    "past_customer_count": pa.uint32(),
    "past_simulated_customer_count": pa.uint32(),
    "weekly_change_rate": pa.float64(),
    "simulated_weekly_change_rate": pa.float64(),
    "verdict": pa.string(),
    "proposed_seed_row": pa.string(),
    "note": pa.string(),
}


def read_measures(client: Client, settings: Settings, day: date) -> Measured:
    """Measures of every customer of a stored day."""
    rows = client.query_arrow(
        "SELECT toFloat64(orders_per_month) AS orders, toFloat64(average_order_value) AS order_value, "
        "lifetime_value_top_share AS lifetime_share, score_top_share AS score_share "
        f"FROM {settings.database('marts')}.customer_tier_history WHERE as_of_date = {{day:Date}} ORDER BY customer_id",
        parameters={"day": day},
    ).to_pandas()
    return Measured(*(rows[name].to_numpy(np.float64, na_value=np.nan) for name in rows))


def write_review(client: Client, settings: Settings, day: date, rows: Sequence[dict[str, object]]) -> None:
    """Replace the rows of `day` in `<prefix>_predictive.threshold_review`, all at once or not at all."""
    replace_day(client, settings, "threshold_review", day, typed(pd.DataFrame(rows), _TYPES), as_of_date=day)
