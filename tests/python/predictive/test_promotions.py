"""Which verdict counts: the one that was written last, also where the clock says otherwise."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

from clickhouse_connect.driver.client import Client
from test_store_artifacts import create_predictive_tables

from orchestration.predictive.promotions import add_verdicts, served_model
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

ON, FROM = date(2024, 5, 31), date(2024, 6, 1)


def evaluation(served: str) -> Any:
    return SimpleNamespace(question=SimpleNamespace(model="churn"), served_model=served, verdict="model_serves")


def test_the_verdict_written_last_counts_where_the_clock_was_set_back_since_the_one_before(
    own_warehouse: Settings,
) -> None:
    client: Client = connect(own_warehouse, autogenerate_session_id=False)
    create_predictive_tables(client, own_warehouse)
    table = f"{own_warehouse.database('predictive')}.promotions"
    client.command(f"TRUNCATE TABLE {table}")
    add_verdicts(client, own_warehouse, ON, FROM, [evaluation("silence")])
    client.command(f"ALTER TABLE {table} UPDATE written_at = written_at + 3600 WHERE 1 SETTINGS mutations_sync = 2")
    add_verdicts(client, own_warehouse, ON, FROM, [evaluation("churn")])
    assert served_model(client, own_warehouse, "churn", FROM.isoformat()) == "churn"
    client.command(f"TRUNCATE TABLE {table}")
