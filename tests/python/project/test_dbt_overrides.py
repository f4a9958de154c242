"""The statements that stand in for those of dbt-clickhouse: what a table holds while its model changes, and when it fails."""

from dataclasses import replace
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

from orchestration.project import PROJECT_DIR, dbt_environment
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

PREFIX = "overrides"
PROJECT = f"""name: overridden
profile: tierhouse
model-paths: [models]
macro-paths: ["{PROJECT_DIR / "macros"}"]
vars: {{zone: UTC}}
flags: {{cache_selected_only: true}}
"""


def incremental(select: str, on_schema_change: str = "append_new_columns") -> str:
    """A model that replaces the days that its query gives."""
    return (
        "{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partition_by='day',"
        f" order_by='key', on_schema_change='{on_schema_change}') }}}}\n{select}"
    )


def table(select: str, options: str = "") -> str:
    """A model that is made anew each time."""
    return "{{ config(materialized='table', order_by='key'" + options + ") }}\n" + select


class Project:
    """A dbt project of one model, with the macros of tierhouse."""

    def __init__(self, folder: Path, settings: Settings):
        self.folder, self.client = folder, connect(settings)
        (folder / "models").mkdir(exist_ok=True)
        (folder / "dbt_project.yml").write_text(PROJECT)

    def build(self, model: str) -> str:
        """Why the model failed, empty where it did not."""
        (self.folder / "models" / "one.sql").write_text(model)
        paths = ["--project-dir", str(self.folder), "--target-path", str(self.folder / "target")]
        done = dbtRunner().invoke(["--quiet", "run", *paths])
        assert done.exception is None, done.exception
        (result,) = done.result.results
        return "" if done.success else result.message

    def make(self, model: str) -> None:
        assert self.build(model) == ""

    def rows(self, columns: str = "*") -> list[tuple]:
        return list(self.client.query(f"SELECT {columns} FROM {PREFIX}.one ORDER BY ALL").result_rows)

    def tables(self) -> list[str]:
        found = self.client.query("SELECT name FROM system.tables WHERE database = {name:String}", {"name": PREFIX})
        return sorted(row[0] for row in found.result_rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: dbt parses the macros once."""
    return tmp_path_factory.mktemp("overridden")


@pytest.fixture
def project(own_warehouse: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    settings = replace(own_warehouse, prefix=PREFIX)
    for name, value in dbt_environment(settings).items():
        monkeypatch.setenv(name, value)
    # dbt makes the database once per process.
    connect(settings).command(f"DROP TABLE IF EXISTS {PREFIX}.one")
    return Project(folder, settings)


def test_only_the_days_of_the_query_are_replaced(project: Project) -> None:
    project.make(incremental("select 1 as day, number as key from numbers(2) union all select 2, toUInt64(7)"))
    project.make(incremental("select 2 as day, toUInt64(8) as key"))

    assert project.rows() == [(1, 0), (1, 1), (2, 8)]
    assert project.tables() == ["one"]


def test_a_new_column_is_added_and_earlier_days_have_its_default(project: Project) -> None:
    project.make(incremental("select 1 as day, 5 as key"))
    project.make(incremental("select 2 as day, 6 as key, 'new' as note"))

    assert project.rows("day, key, note") == [(1, 5, ""), (2, 6, "new")]
    assert project.tables() == ["one"]


def test_a_column_may_be_null_from_now_on_and_earlier_days_keep_their_values(project: Project) -> None:
    project.make(incremental("select 1 as day, 5 as key, toDecimal64(7, 2) as amount, 8 as count"))
    project.make(
        incremental(
            "select 2 as day, 6 as key, toNullable(toDecimal64(0, 2)) as amount, if(day = 2, null, 1) as count, 1 as x"
        )
    )

    assert project.rows("day, key, amount, count, x") == [(1, 5, 7, 8, 0), (2, 6, 0, None, 1)]
    assert project.tables() == ["one"]


def test_columns_in_another_order_keep_their_values(project: Project) -> None:
    project.make(incremental("select 1 as day, 5 as key, 50 as amount, 51 as total"))
    project.make(incremental("select 2 as day, 6 as key, 61 as total, 60 as amount"))

    assert project.rows("day, key, amount, total") == [(1, 5, 50, 51), (2, 6, 60, 61)]


def test_a_changed_column_stops_a_model_that_must_not_change(project: Project) -> None:
    project.make(incremental("select 1 as day, 5 as key", "fail"))
    failure = project.build(incremental("select 1 as day, 6 as key, 'new' as note", "fail"))

    assert "out of sync" in failure
    assert project.rows() == [(1, 5)]


def test_a_query_without_rows_replaces_nothing(project: Project) -> None:
    project.make(incremental("select 1 as day, 5 as key"))
    project.make(incremental("select 1 as day, 6 as key from numbers(0)"))

    assert project.rows() == [(1, 5)]
    assert project.tables() == ["one"]


def test_a_table_is_replaced_with_its_columns(project: Project) -> None:
    project.make(table("select 5 as key"))
    project.make(table("select 'a' as note, toUInt64(6) as key", ", query_settings={'max_threads': 1}"))

    assert project.rows() == [("a", 6)]
    assert project.tables() == ["one"]


def test_a_query_that_fails_leaves_the_table_as_it_was(project: Project) -> None:
    project.make(table("select 5 as key"))
    failure = project.build(table("select toUInt8(throwIf(number > 3, 'too much')) as key from numbers(9)"))

    assert "too much" in failure
    assert project.rows() == [(5,)]


def test_a_table_with_an_index_is_made_as_the_adapter_does(project: Project) -> None:
    indexes = ", indexes=[{'name': 'by_note', 'definition': 'note type minmax granularity 1'}]"
    project.make(table("select 5 as key, 'a' as note", indexes))

    assert project.rows() == [(5, "a")]
    found = project.client.query(
        "SELECT name FROM system.data_skipping_indices WHERE database = {name:String}", {"name": PREFIX}
    )
    assert found.result_rows == [("by_note",)]


def test_numbers_are_stored_by_the_bits_they_use_where_a_table_lists_them(project: Project) -> None:
    project.make(table("SELECT 1 AS key, toDecimal64(number, 2) AS amount FROM numbers(3)", ", t64_columns=['amount']"))
    assert project.rows("amount") == [(0,), (1,), (2,)]
    assert project.client.query(
        f"SELECT name, compression_codec FROM system.columns WHERE database = '{PREFIX}' ORDER BY position"
    ).result_rows == [("key", ""), ("amount", "CODEC(T64, LZ4)")]


def test_a_listed_number_that_the_query_does_not_have_is_named(project: Project) -> None:
    assert "names no column of its query: price" in project.build(table("SELECT 1 AS key", ", t64_columns=['price']"))


@pytest.mark.parametrize(
    ("select", "failure"),
    [
        ("select toUInt8(5) as key, 'a' as note -- as promised", ""),
        ("select 'a' as note, toUInt8(5) as key", ""),
        ("select toUInt16(5) as key, 'a' as note", "enforced contract that failed"),
        ("select toUInt8(5) as key", "enforced contract that failed"),
        ("select toUInt8(5) as key, 'a' as note, 1 as more", "enforced contract that failed"),
    ],
)
def test_a_view_is_made_where_its_query_has_the_columns_of_its_contract(
    project: Project, select: str, failure: str
) -> None:
    promise = project.folder / "models" / "one.yml"
    promise.write_text(
        "models: [{name: one, config: {materialized: view, contract: {enforced: true}},"
        " columns: [{name: key, data_type: UInt8}, {name: note, data_type: String}]}]"
    )
    try:
        found = project.build(select)
    finally:
        promise.unlink()
    assert failure in found
    assert bool(failure) == bool(found)
    assert project.tables() == ([] if failure else ["one"])
