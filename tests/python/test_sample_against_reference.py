"""The same comparison on the sample of a real wholesaler; a file of its own, so that both run at the same time."""

from datetime import date

from reference.snapshot import compute_snapshot
from reference.tables import read_folder
from test_marts_against_reference import SAMPLES, assert_latest_marts_agree, assert_marts_agree, open_warehouse

__all__ = ["open_warehouse"]


def test_a_real_wholesalers_sample_agrees_in_midyear_and_at_the_end(open_warehouse):
    warehouse, folder = open_warehouse(), SAMPLES / "online_retail"
    tables = read_folder(folder)
    warehouse.tierhouse("land", str(folder))
    midyear, end = date(2011, 6, 30), date(2011, 12, 8)
    warehouse.tierhouse("refresh", "--as-of", midyear.isoformat())
    in_midyear = compute_snapshot(tables, midyear)
    assert_latest_marts_agree(warehouse, in_midyear, midyear)

    # Half a year later an evaluation lets the lifetime value model serve in tiers: its margin counts from then on, not before.
    client = warehouse.client()
    client.command(
        "INSERT INTO tierhouse_predictive.promotions (evaluated_on, model, served_model, verdict) "
        "VALUES ('2011-12-01', 'lifetime_value_in_tiers', 'lifetime_value_in_tiers', 'promoted')"
    )
    client.close()
    warehouse.tierhouse("refresh", "--as-of", end.isoformat())
    predicted = warehouse.table("tierhouse_predictive.lifetime_value", end, "customer_id")
    served = {row.Index: (row.expected_margin_365d, row.model_version) for row in predicted.itertuples()}
    assert sum(margin for margin, _ in served.values()) > 0 and "none" not in {model for _, model in served.values()}
    assert_latest_marts_agree(warehouse, compute_snapshot(tables, end, previous=in_midyear, served=served), end)
    assert_marts_agree(warehouse, in_midyear, midyear)
