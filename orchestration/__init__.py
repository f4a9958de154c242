"""Tierhouse: landing, orchestration, models and commands around the dbt project beside this package."""
