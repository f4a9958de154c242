"""Reading what the standards measure on a stored day, and writing its review."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.predictive.store_tables import replace_day
from orchestration.predictive.threshold_review import Measured
from orchestration.warehouse.settings import Settings


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
    replace_day(client, settings, "threshold_review", day, pd.DataFrame(rows), as_of_date=day)
