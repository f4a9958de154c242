"""The partitions of everything: business days in the configured zone."""

from __future__ import annotations

import dagster as dg

from orchestration.warehouse.settings import Settings

# Earlier than any order history that a distributor still has on disk.
FIRST_DAY = "2005-01-01"


def daily() -> dg.DailyPartitionsDefinition:
    """One partition per complete business day; its key is the as-of date."""
    return dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone=Settings.from_environment().zone)
