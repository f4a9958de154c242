"""The dbt unit tests of all models, against the embedded engine."""

from dataclasses import replace

from dbt.cli.main import dbtRunner

from orchestration import dbt
from orchestration.landing import create_landing_tables
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

AS_OF = "2024-04-30"


def test_every_dbt_unit_test_passes(in_own_warehouse: Settings, monkeypatch) -> None:
    settings = replace(in_own_warehouse, prefix="unit")
    monkeypatch.setenv("TIERHOUSE_SCHEMA", "unit")
    create_landing_tables(connect(settings), settings)
    # Unit tests take the types of their inputs from relations that exist: empty ones will do.
    list(dbt.build(settings, "relations", AS_OF, ["--exclude", "resource_type:unit_test", "resource_type:test"]))

    # The project as this process has parsed it for the build.
    (parsed,) = dbt._parsed.values()
    arguments = [*dbt._global_arguments(), "test", "--select", "test_type:unit", *dbt._paths(settings)]
    done = dbtRunner(manifest=parsed).invoke(arguments)

    assert done.exception is None, done.exception
    results = [one for one in done.result.results if one.node.resource_type == "unit_test"]
    assert [(one.node.name, one.message) for one in results if one.status != "pass"] == []
    assert done.success and len(results) > 50
