"""Statements that make the lasting tables: replicated on every node of a cluster, plain everywhere else. Text only: there is
no cluster to run them on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from jinja2 import Environment

from orchestration.landing.tables import wanted_tables
from orchestration.operations import create_refresh_runs
from orchestration.project import PROJECT_DIR
from orchestration.quality.results import create_results_table
from orchestration.warehouse.ddl import engine, on_cluster
from orchestration.warehouse.settings import Settings

CLUSTER = {"TIERHOUSE_TARGET": "cluster", "CLICKHOUSE_HOST": "node1", "CLICKHOUSE_CLUSTER": "east"}
SERVER = {"TIERHOUSE_TARGET": "server", "CLICKHOUSE_HOST": "node1", "CLICKHOUSE_CLUSTER": "east"}


class Listener:
    """A client that runs nothing and remembers everything."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def command(self, statement: str) -> None:
        self.statements.append(statement)


def statements(environment: dict[str, str]) -> list[str]:
    settings = Settings.from_environment(environment)
    client = Listener()
    create_refresh_runs(client, settings)
    create_results_table(client, settings)
    return [*wanted_tables(settings).values(), *client.statements]


CREATE = ("CREATE TABLE IF NOT EXISTS", "CREATE DATABASE IF NOT EXISTS")


def test_on_a_cluster_every_lasting_table_is_made_on_all_nodes_and_replicated():
    for statement in statements(CLUSTER):
        assert statement.count(" ON CLUSTER `east`") == 1, statement
        head, _, body = statement.partition(" ON CLUSTER `east`")
        assert head.startswith(tuple(f"{verb} tierhouse_" for verb in (*CREATE, "ALTER TABLE"))), statement
        assert not head.startswith("CREATE TABLE") or body.count("ENGINE = Replicated") == 1


def test_the_engine_keeps_its_arguments():
    quarantine = wanted_tables(Settings.from_environment(CLUSTER))["tierhouse_quarantine.orders"]
    assert "ENGINE = ReplicatedReplacingMergeTree(_loaded_at) ORDER BY (_row_hash, _copy)" in quarantine


@pytest.mark.parametrize("environment", [{}, SERVER])
def test_elsewhere_tables_are_plain(environment):
    assert statements(environment)
    for statement in statements(environment):
        assert "CLUSTER" not in statement and "Replicated" not in statement


def test_the_name_of_a_cluster_is_quoted():
    settings = Settings.from_environment(CLUSTER | {"CLICKHOUSE_CLUSTER": "a`b"})
    assert on_cluster(settings) == " ON CLUSTER `a\\`b`"
    assert engine(settings) == "ReplicatedMergeTree"


@pytest.mark.parametrize(("cluster", "engine_name"), [('"east"', "ReplicatedMergeTree"), (None, "MergeTree")])
def test_the_tables_of_the_predictive_layer_follow_the_cluster_of_the_profile(cluster, engine_name):
    made: list[str] = []
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.globals |= {
        "target": SimpleNamespace(schema="tierhouse"),
        "adapter": SimpleNamespace(get_clickhouse_cluster_name=lambda: cluster),
        "run_query": made.append,
    }
    text = (PROJECT_DIR / "macros" / "predictive_tables.sql").read_text(encoding="utf-8")
    environment.from_string(text).module.create_predictive_tables()
    assert len(made) > 2 and made[0].startswith("create database")
    for statement in made:
        assert statement.count(' on cluster "east"') == (1 if cluster else 0)
        assert statement.startswith(("create database", "alter table")) or f"engine = {engine_name} " in statement
