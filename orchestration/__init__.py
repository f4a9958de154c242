"""Tierhouse: landing, orchestration, models and commands around the dbt project beside this package."""

import os

# Before any of these libraries is imported: usage statistics stay off.
os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
