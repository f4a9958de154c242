"""The dbt unit tests of all models, against the embedded engine."""

import json
import subprocess
from dataclasses import replace

from orchestration import dbt
from orchestration.landing import create_landing_tables
from orchestration.project import PROJECT_DIR, dbt_environment, dbt_executable, target_directory
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

AS_OF = "2024-04-30"


def test_every_dbt_unit_test_passes(in_own_warehouse: Settings, monkeypatch) -> None:
    settings = replace(in_own_warehouse, prefix="unit")
    monkeypatch.setenv("TIERHOUSE_SCHEMA", "unit")
    create_landing_tables(connect(settings), settings)
    # Unit tests take the types of their inputs from relations that exist: empty ones will do.
    list(dbt.build(settings, "relations", AS_OF, ["--exclude", "resource_type:unit_test", "resource_type:test"]))

    done = subprocess.run(
        [dbt_executable(), "test", "--select", "test_type:unit"],
        cwd=PROJECT_DIR,
        env=dbt_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:]
    results = json.loads((target_directory(settings) / "run_results.json").read_text(encoding="utf-8"))["results"]
    statuses = [result["status"] for result in results if result["unique_id"].startswith("unit_test.")]
    assert len(statuses) > 50
    assert set(statuses) == {"pass"}
