"""Tierhouse: landing, orchestration, models and commands around the dbt project beside this package."""

import gc
import os

# Before any of these libraries is imported: usage statistics stay off.
os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

# Importing Dagster, dbt and Great Expectations makes millions of objects that all stay. Looking every 700 of them for cycles to
# free takes a fifth of the time of the import.
gc.set_threshold(50_000, *gc.get_threshold()[1:])
