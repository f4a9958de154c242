"""The landing tables as assets: what loaders deliver. Landing itself runs outside a refresh (`tierhouse land`)."""

from __future__ import annotations

import dagster as dg

from orchestration.landing.contract import TABLES

landing_tables = [
    dg.AssetSpec(
        ["landing", table.name], group_name="landing", description=f"{table.description} Append-only change log."
    )
    for table in TABLES.values()
]
