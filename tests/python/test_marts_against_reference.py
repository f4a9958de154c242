"""End to end: land a history, refresh, and hold every number of the marts against the reference, to 1e-9.

The warehouse is driven by its command line and read over HTTP, as a user would.
"""

import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from explain.changes_in_life import assert_cards_agree, assert_stated_changes_come_true
from forked_commands import ForkedCommands
from own_warehouse import REPOSITORY, SAMPLE, copied, with_parsed_project
from reference.compare import differences, rank_differences
from reference.configuration import Configuration
from reference.histories import random_history
from reference.snapshot import Snapshot, compute_snapshot
from reference.tables import read_folder

from orchestration.predictive.order_histories import described_from_facts, from_features

SAMPLES = Path(__file__).parents[1] / "data"
WHOLE_ONLINE_RETAIL = REPOSITORY.parent / "shared" / "data" / "online_retail"


class Warehouse(ForkedCommands):
    """A warehouse driven by its commands and read over HTTP."""

    def mart(self, table: str, as_of: date, *key: str) -> pd.DataFrame:
        """Rows of one as-of date of a mart, indexed by the key; every value as the client delivers it."""
        return self.table(f"tierhouse_marts.{table}", as_of, *key)

    def table(self, table: str, as_of: date, *key: str) -> pd.DataFrame:
        """The same of any table, named with its database."""
        client = self.client()
        try:
            rows = client.query(f"SELECT * FROM {table} WHERE as_of_date = {{as_of:Date}}", parameters={"as_of": as_of})
        finally:
            client.close()
        # An answer without rows names no columns.
        frame = pd.DataFrame(rows.result_rows, columns=list(rows.column_names) or list(key), dtype="object")
        return frame.set_index(list(key))


@pytest.fixture
def open_warehouse(tmp_path: Path, parsed_project: Path) -> Iterator[Callable[..., Warehouse]]:
    """Opens the warehouse of a home, or an empty one, in a zone; it is gone after the test."""
    opened = []

    def opener(home: Path | None = None, zone: str = "Asia/Shanghai") -> Warehouse:
        opened.append(Warehouse(home or with_parsed_project(tmp_path / "home", parsed_project), zone))
        return opened[-1]

    yield opener
    for warehouse in opened:
        warehouse.stop()


def deliver(tables: dict[str, pd.DataFrame], folder: Path) -> Path:
    """Write tables as a folder of Parquet files."""
    folder.mkdir()
    for name, frame in tables.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def expected_customer_tiers(reference: Snapshot) -> pd.DataFrame:
    """The columns of `customer_tiers` that definitions speak of, without ranks of scores, which ties decide."""
    features, scores = reference.features, reference.scores["ratio_to_max"]
    renamed = {
        "orders_per_month": "order_count_30d",
        "average_order_value": "average_order_value_90d",
        "order_count": "order_count_90d",
        "days_since_last_order": "days_since_last_order",
    }
    return pd.concat(
        [
            reference.tiers.drop(columns=["strict_rank", "lenient_rank", "score_top_share", "score_tier"]),
            pd.DataFrame({name: features[column] for name, column in renamed.items()}),
            scores[["r_score", "f_score", "m_score", "p_score", "total_score"]],
        ],
        axis=1,
    )


def assert_marts_agree(warehouse: Warehouse, reference: Snapshot, as_of: date) -> None:
    """Compare the marts that keep every as-of date; fails with one line per column that differs."""
    scores = reference.scores["ratio_to_max"]
    tiers = warehouse.mart("customer_tier_history", as_of, "customer_id")
    found = [
        *differences(
            warehouse.mart("customer_features", as_of, "customer_id"), reference.features, "customer_features"
        ),
        *differences(tiers, expected_customer_tiers(reference), "customer_tier_history"),
        *rank_differences(tiers["score_rank"], scores["total_score"], "customer_tier_history.score_rank"),
        *differences(
            warehouse.mart("tier_distribution", as_of, "region_code", "business_type", "tier"),
            reference.distribution.set_index(["region_code", "business_type", "tier"]),
            "tier_distribution",
        ),
        *differences(
            warehouse.mart("tier_value_contribution", as_of, "tier"),
            reference.contribution.set_index("tier"),
            "tier_value_contribution",
        ),
    ]
    assert not found, "\n".join([f"{as_of}: {len(found)} differences", *found])


def assert_latest_marts_agree(warehouse: Warehouse, reference: Snapshot, as_of: date) -> None:
    """Compare the marts that show the latest as-of date alone, and all others, and every scoring model behind them."""
    assert_marts_agree(warehouse, reference, as_of)
    scores = warehouse.table("tierhouse_scoring.customer_scores", as_of, "scoring_model", "customer_id")
    contributions = [f"{component}_contribution" for component in "rfmp"]
    found = [
        *differences(
            warehouse.mart("customer_tiers", as_of, "customer_id"), expected_customer_tiers(reference), "customer_tiers"
        ),
        *differences(
            warehouse.mart("score_contributions", as_of, "customer_id"),
            reference.scores["ratio_to_max"][[*contributions, "total_score"]],
            "score_contributions",
        ),
    ]
    for model, expected in reference.scores.items():
        found += differences(scores.loc[model], expected.drop(columns="score_rank"), f"customer_scores[{model}]")
        found += rank_differences(scores.loc[model, "score_rank"], expected["total_score"], f"score_rank[{model}]")
    assert not found, "\n".join([f"{as_of}: {len(found)} differences", *found])
    assert_predictions_read_the_same_from_features_and_facts(warehouse, as_of)


def assert_predictions_read_the_same_from_features_and_facts(warehouse: Warehouse, as_of: date) -> None:
    """Training and evaluation read facts of any day, the daily predictions the features of the day in work."""
    settings, client = warehouse.settings, warehouse.client()
    columns = (
        "customer_id, business_type, customer_status, order_dates, net_amount_90d, net_amount_365d, net_amount_prior_180d, "
        "net_amount_prior_364d, value_to_date, is_from_revenue"
    )
    relations = from_features(client, settings, as_of), described_from_facts(settings, as_of, as_of)
    read = [
        client.query(f"SELECT {columns} FROM {relation} ORDER BY customer_id").result_rows for relation in relations
    ]
    client.close()
    assert read[0] == read[1] and len(read[0]) > 0


def assert_frontier_is_made_when_a_month_begins(warehouse: Warehouse, first: date, second: date) -> None:
    """Of the two stored days only the second begins a month after a stored day; its policy in force did what was decided."""
    assert warehouse.mart("tier_policy_frontier", first, "variant").empty
    made = warehouse.mart("tier_policy_frontier", second, "variant")
    before, after = (warehouse.mart("customer_tier_history", day, "customer_id") for day in (first, second))
    both = before.index.intersection(after.index)
    changed = before.loc[both, "tier_rank"] != after.loc[both, "tier_rank"]
    agreeing = sum((day["tier_rank"] == day["candidate_rank"]).sum() for day in (before, after))
    in_force = made.loc["in force"]
    assert len(made) == 55
    assert (in_force["week_count"], in_force["first_date"], in_force["last_date"]) == (2, first, second)
    assert in_force["customer_count"] == len(before.index.union(after.index))
    assert in_force["change_count"] == changed.sum()
    assert in_force["agreement_rate"] == pytest.approx(agreeing / (len(before) + len(after)))


def test_a_hand_made_history_agrees_before_and_after_its_late_corrections(open_warehouse, refreshed_home, tmp_path):
    tables = read_folder(SAMPLE)
    june, july = date(2024, 6, 30), date(2024, 7, 5)
    # Landed, and refreshed in June.
    warehouse = open_warehouse(copied(refreshed_home, tmp_path / "home"))
    warehouse.tierhouse("refresh", "--as-of", july.isoformat())
    in_june = compute_snapshot(tables, june)
    assert_marts_agree(warehouse, in_june, june)
    assert_latest_marts_agree(warehouse, compute_snapshot(tables, july, previous=in_june), july)
    assert_frontier_is_made_when_a_month_begins(warehouse, june, july)
    # The same history serves the reason cards, which cost a third refresh only.
    assert_cards_agree(warehouse.mart, warehouse.tierhouse)
    assert_stated_changes_come_true(warehouse.mart, warehouse.tierhouse, tmp_path / "changes")


def split_delivery(tables: dict[str, pd.DataFrame], day: pd.Timestamp) -> list[dict[str, pd.DataFrame]]:
    """Two deliveries: versions until `day`, then the rest with a part of the first one once more.

    A tenth of the early versions comes late, in the second delivery; but no line comes before its order, which would
    be refused.
    """
    first, second = {}, {}
    orders = tables["orders"]
    first_version = orders.groupby("order_id")["updated_at"].transform("min")
    delivered_orders = orders.loc[first_version < day, "order_id"]
    for name, frame in tables.items():
        early = frame["updated_at"] < day
        position = pd.Series(range(len(frame)), index=frame.index)
        if name == "orders":
            late = early & (frame["updated_at"] != first_version) & (position % 10 == 0)
        elif name == "order_lines":
            late = early & ((position % 10 == 0) | ~frame["order_id"].isin(delivered_orders))
        else:
            late = early & (position % 10 == 0)
        first[name] = frame[early & ~late]
        second[name] = frame[~early | late | (position % 10 == 1)]
    return [first, second]


def test_a_nasty_history_agrees_when_it_comes_in_two_deliveries_with_late_rows(open_warehouse, tmp_path):
    last_day, earlier = date(2024, 3, 31), date(2024, 3, 20)
    warehouse = open_warehouse()
    tables = random_history(1, last_day, warehouse.settings.zone)
    first, second = split_delivery(tables, pd.Timestamp("2024-03-22", tz=warehouse.settings.zone))

    warehouse.tierhouse("land", str(deliver(first, tmp_path / "first")))
    warehouse.tierhouse("refresh", "--as-of", earlier.isoformat())
    at_first = compute_snapshot(first, earlier)
    assert_latest_marts_agree(warehouse, at_first, earlier)

    warehouse.tierhouse("land", str(deliver(second, tmp_path / "second")))
    warehouse.tierhouse("refresh", "--as-of", last_day.isoformat())
    assert_latest_marts_agree(warehouse, compute_snapshot(tables, last_day, previous=at_first), last_day)

    # Rows that came late but were known to the source belong to the earlier day; the later one is decided again.
    warehouse.tierhouse("refresh", "--as-of", earlier.isoformat())
    at_second = compute_snapshot(tables, earlier)
    assert_marts_agree(warehouse, at_second, earlier)
    assert_marts_agree(warehouse, compute_snapshot(tables, last_day, previous=at_second), last_day)


def test_a_nasty_history_with_absent_sources_agrees_on_a_day_when_clocks_change(open_warehouse, tmp_path):
    zone, last_day = "America/New_York", date(2024, 3, 10)
    warehouse = open_warehouse(zone=zone)
    tables = random_history(2, last_day, zone, ("complaints", "invoices", "payments", "unit_cost", "category_id"))
    warehouse.tierhouse("land", str(deliver(tables, tmp_path / "delivery")))
    warehouse.tierhouse("refresh", "--as-of", last_day.isoformat())
    assert_latest_marts_agree(warehouse, compute_snapshot(tables, last_day, Configuration(zone=zone)), last_day)


@pytest.mark.skipif(
    not (WHOLE_ONLINE_RETAIL.exists() and os.environ.get("TIERHOUSE_TEST_WHOLE")),
    reason="set TIERHOUSE_TEST_WHOLE=1 with the whole of Online Retail in ../shared/data; the sample covers the same",
)
def test_the_whole_of_online_retail_agrees(open_warehouse):
    warehouse, as_of = open_warehouse(), date(2011, 12, 8)
    warehouse.tierhouse("land", str(WHOLE_ONLINE_RETAIL))
    warehouse.tierhouse("refresh", "--as-of", as_of.isoformat())
    assert_latest_marts_agree(warehouse, compute_snapshot(read_folder(WHOLE_ONLINE_RETAIL), as_of), as_of)
