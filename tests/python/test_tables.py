"""The tables that commands print, over marts made for the purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import pytest
from clickhouse_connect.driver.client import Client

from orchestration.tables import customer_to_explain, standards_hint, tier_table
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


@contextmanager
def tiers_of(settings: Settings, counts: tuple[int, int, int]) -> Iterator[Client]:
    """Marts and seeds of a day on which so many customers are gold, silver and bronze, by standards of 10, 30 and 100 %."""
    marts, seeds = settings.database("marts"), settings.database("seeds")
    client = connect(settings)
    for database in (marts, seeds):
        client.command(f"CREATE DATABASE {database}")
    try:
        client.command(
            f"CREATE TABLE {marts}.tier_value_contribution ENGINE = Memory AS "
            "SELECT toDate('2024-05-01') AS as_of_date, tier, tier_rank, customer_count FROM "
            "values('tier LowCardinality(String), tier_rank UInt8, customer_count UInt64', "
            f"('gold', 1, {counts[0]}), ('silver', 2, {counts[1]}), ('bronze', 3, {counts[2]}))"
        )
        client.command(
            f"CREATE TABLE {seeds}.tier_standards ENGINE = Memory AS SELECT * FROM "
            "values('valid_from Date, tier String, tier_label String, maximum_lifetime_value_top_share Float64', "
            "('1970-01-01', 'gold', 'gold 黄金', 0.1), ('1970-01-01', 'silver', '', 0.3), ('1970-01-01', 'bronze', '', 1), "
            "('2025-01-01', 'gold', '', 0.9))"
        )
        yield client
    finally:
        for database in (marts, seeds):
            client.command(f"DROP DATABASE {database}")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((24, 300, 676), "10.0 % should be gold 黄金 or better by the standards, and 2.4 % are"),
        ((25, 50, 925), None),
        ((30, 44, 926), "30.0 % should be silver or better by the standards, and 7.4 % are"),
        ((401, 300, 299), "10.0 % should be gold 黄金 or better by the standards, and 40.1 % are"),
        ((400, 300, 300), None),
        ((0, 0, 199), None),
    ],
)
def test_standards_that_hardly_fit_the_base_lead_to_the_review(
    own_warehouse: Settings, counts: tuple[int, int, int], said: str | None
) -> None:
    settings = replace(own_warehouse, prefix="hinted")
    with tiers_of(settings, counts) as client:
        hint = standards_hint(client, settings, date(2024, 5, 1))
    assert (hint or "").split(":")[0] == (said or "")


def test_the_customer_to_explain_is_one_who_moved_with_the_day_where_it_is_not_the_latest(
    own_warehouse: Settings,
) -> None:
    settings = replace(own_warehouse, prefix="next")
    marts = settings.database("marts")
    client = connect(settings)
    client.command(f"CREATE DATABASE {marts}")
    try:
        client.command(
            f"CREATE TABLE {marts}.customer_tier_history ENGINE = Memory AS SELECT * FROM values("
            "'as_of_date Date, customer_id UInt64, decision String, net_amount_90d Decimal(18, 2)', "
            "('2024-05-01', 1, 'kept', 900), ('2024-05-01', 2, 'downgraded', 500), ('2024-05-01', 3, 'upgraded', 600), "
            "('2024-05-02', 1, 'kept', 900), ('2024-05-02', 2, 'held', 950), ('2024-05-02', 3, 'kept', 950))"
        )
        found = [customer_to_explain(client, settings, date(2024, 5, day)) for day in (1, 2, 3)]
    finally:
        client.command(f"DROP DATABASE {marts}")
    assert found == ["3 --as-of 2024-05-01", "2", ""]
