"""The dbt unit tests of all models, against the embedded engine."""

from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner
from own_warehouse import OwnWarehouse, copied

from orchestration import dbt


def test_every_dbt_unit_test_passes(refreshed_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Unit tests take the types of their inputs from relations that exist.
    warehouse = OwnWarehouse(copied(refreshed_home, tmp_path / "home"))
    settings = warehouse.running()
    for name, value in (settings.environment() | {"TIERHOUSE_AS_OF_DATE": "2024-04-30"}).items():
        monkeypatch.setenv(name, value)

    arguments = [*dbt._global_arguments(), "test", "--select", "test_type:unit", *dbt._paths(settings)]
    done = dbtRunner(manifest=dbt._manifest("unit tests")).invoke(arguments)
    warehouse.stop()

    assert done.exception is None, done.exception
    results = [one for one in done.result.results if one.node.resource_type == "unit_test"]
    assert [(one.node.name, one.message) for one in results if one.status != "pass"] == []
    assert done.success and len(results) > 50
