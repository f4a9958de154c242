"""Artifacts in a warehouse: fitted once per training day and code, then loaded, also when the file is gone."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.predictive.artifacts import Artifact, artifact_path, load_file
from orchestration.predictive.store_artifacts import load_artifact, load_or_fit
from orchestration.project import PROJECT_DIR
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

UNTIL = date(2024, 5, 31)
ARTIFACT = Artifact("churn", "1", date(2024, 1, 1), UNTIL, "0" * 16, {"weights": [0.1, 2.0], "text": "it's 好 \\n"})


def create_predictive_tables(client: Client, settings: Settings) -> None:
    """Run the macro that every dbt build runs first, with the statements going to this client."""
    from types import SimpleNamespace

    from jinja2 import Environment

    text = (PROJECT_DIR / "macros" / "predictive_tables.sql").read_text(encoding="utf-8")
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.globals |= {
        "target": SimpleNamespace(schema=settings.prefix),
        "adapter": SimpleNamespace(get_clickhouse_cluster_name=lambda: None),
        "run_query": client.command,
    }
    environment.from_string(text).module.create_predictive_tables()


@pytest.fixture
def client(own_warehouse: Settings) -> Client:
    client = connect(own_warehouse, autogenerate_session_id=False)
    create_predictive_tables(client, own_warehouse)
    client.command(f"TRUNCATE TABLE {own_warehouse.database('predictive')}.model_artifacts")
    return client


def test_a_model_is_fitted_once_per_training_day_and_code(client: Client, own_warehouse: Settings) -> None:
    fits: list[str] = []

    def get(code_version: str, until: date) -> Artifact | None:
        def fit() -> Artifact:
            fits.append(f"{code_version} {until}")
            return dataclasses.replace(ARTIFACT, code_version=code_version, trained_until=until)

        return load_or_fit(client, own_warehouse, "churn", code_version, until, fit)

    assert get("1", UNTIL) == ARTIFACT
    assert get("1", UNTIL) == ARTIFACT
    assert get("2", UNTIL) != ARTIFACT
    assert get("1", date(2024, 6, 30)) != ARTIFACT
    assert fits == ["1 2024-05-31", "2 2024-05-31", "1 2024-06-30"]


def test_a_lost_file_is_written_again_from_the_table(client: Client, own_warehouse: Settings) -> None:
    load_or_fit(client, own_warehouse, "churn", "1", UNTIL, lambda: ARTIFACT)
    path = artifact_path(own_warehouse.home, "churn", ARTIFACT.version)
    path.unlink()

    assert load_artifact(client, own_warehouse, "churn", "1", UNTIL) == ARTIFACT
    assert load_file(path) == ARTIFACT


def test_too_little_data_stores_nothing_and_is_asked_again(client: Client, own_warehouse: Settings) -> None:
    assert load_or_fit(client, own_warehouse, "churn", "1", UNTIL, lambda: None) is None
    assert load_or_fit(client, own_warehouse, "churn", "1", UNTIL, lambda: ARTIFACT) == ARTIFACT


def test_a_row_that_was_changed_by_hand_is_refused_in_one_line(client: Client, own_warehouse: Settings) -> None:
    load_or_fit(client, own_warehouse, "churn", "1", UNTIL, lambda: ARTIFACT)
    table = f"{own_warehouse.database('predictive')}.model_artifacts"
    client.command(f"ALTER TABLE {table} UPDATE parameters = '{{}}' WHERE 1 SETTINGS mutations_sync = 1")

    with pytest.raises(TierhouseError, match="is not what was stored"):
        load_artifact(client, own_warehouse, "churn", "1", UNTIL)


def test_an_artifact_of_another_day_than_asked_for_is_an_error(client: Client, own_warehouse: Settings) -> None:
    with pytest.raises(ValueError, match="asked to fit"):
        load_or_fit(client, own_warehouse, "churn", "1", date(2024, 6, 30), lambda: ARTIFACT)
