"""Pure functions, arrays or frames in and out: nothing here knows Dagster or ClickHouse."""
