"""The same comparison on the sample of a real wholesaler; a file of its own, so that both run at the same time."""

from datetime import date

from reference.snapshot import compute_snapshot
from reference.tables import read_folder
from test_marts_against_reference import SAMPLES, assert_latest_marts_agree, open_warehouse

__all__ = ["open_warehouse"]


def test_a_real_wholesalers_sample_agrees_in_midyear_and_at_the_end(open_warehouse):
    warehouse, folder = open_warehouse(), SAMPLES / "online_retail"
    tables = read_folder(folder)
    warehouse.tierhouse("land", str(folder))
    midyear, end = date(2011, 6, 30), date(2011, 12, 8)
    warehouse.tierhouse("refresh", "--as-of", midyear.isoformat())
    in_midyear = compute_snapshot(tables, midyear)
    assert_latest_marts_agree(warehouse, in_midyear, midyear)
    warehouse.tierhouse("refresh", "--as-of", end.isoformat())
    assert_latest_marts_agree(warehouse, compute_snapshot(tables, end, previous=in_midyear), end)
