"""What runs: Dagster assets, checks, jobs and schedules. They wire; the other folders compute."""
