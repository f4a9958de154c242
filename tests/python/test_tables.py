"""The tables that commands print, over marts made for the purpose."""

from dataclasses import replace
from datetime import date

from orchestration.tables import tier_table
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings


def test_a_tier_without_customers_is_called_by_its_name(own_warehouse: Settings) -> None:
    settings = replace(own_warehouse, prefix="printed")
    marts = settings.database("marts")
    client = connect(settings)
    client.command(f"CREATE DATABASE {marts}")
    try:
        client.command(
            f"CREATE TABLE {marts}.tier_value_contribution ENGINE = Memory AS SELECT toDate('2024-05-01') AS as_of_date, "
            "tier, tier_rank, customer_count, toFloat64(customer_count) AS customer_share, toDecimal64(customer_count, 2) AS net_amount, "
            "1. AS net_amount_share, 1. AS gross_margin_share "
            "FROM values('tier LowCardinality(String), tier_rank UInt8, customer_count UInt64', ('gold', 1, 1), ('silver', 2, 0))"
        )
        client.command(
            f"CREATE TABLE {marts}.customer_tier_history ENGINE = Memory AS SELECT toDate('2024-05-01') AS as_of_date, "
            "toLowCardinality('gold') AS tier, toLowCardinality('gold 黄金') AS tier_label, 'new' AS decision"
        )
        lines = tier_table(client, settings, date(2024, 5, 1)).splitlines()
    finally:
        client.command(f"DROP DATABASE {marts}")
    assert [line.split()[:2] for line in lines if line.split()[:1] in (["gold"], ["silver"])] == [
        ["gold", "黄金"],
        ["silver", "0"],
    ]
