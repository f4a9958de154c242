"""The partitions of everything: business days in the configured zone."""

from __future__ import annotations

import dagster as dg

from orchestration.warehouse.settings import Settings

# The first day that landing takes; and the last one: an order may lie a day ahead, so tomorrow.
FIRST_DAY = "1970-01-02"
DAYS_AHEAD = 2


def daily() -> dg.DailyPartitionsDefinition:
    """One partition per business day that may be asked for; its key is the as-of date."""
    zone = Settings.from_environment().zone
    return dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone=zone, end_offset=DAYS_AHEAD)
