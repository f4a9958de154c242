"""Artifacts in the warehouse: the table `<prefix>_predictive.model_artifacts` beside the files under TIERHOUSE_HOME.

The table decides which artifact serves; the file is written again where it is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime

from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.predictive.artifacts import Artifact, save_file
from orchestration.warehouse.settings import Settings


def load_artifact(
    client: Client, settings: Settings, model: str, code_version: str, trained_until: date
) -> Artifact | None:
    """The artifact of a model that was trained until a day by this code; None when it was not fitted yet.

    Of several the first one that was stored serves, so that a day keeps the model that it was scored with.
    """
    rows = client.query(
        f"SELECT version, trained_from, data_fingerprint, parameters FROM {_table(settings)} "
        "WHERE model = {model:String} AND code_version = {code_version:String} AND trained_until = {until:Date} "
        "ORDER BY fitted_at, version LIMIT 1",
        parameters={"model": model, "code_version": code_version, "until": trained_until},
    ).result_rows
    if not rows:
        return None
    version, trained_from, data_fingerprint, parameters = rows[0]
    try:
        learned = json.loads(parameters)
        artifact = Artifact(model, code_version, trained_from, trained_until, data_fingerprint, learned)
    except (ValueError, TypeError) as error:
        raise TierhouseError(f"model {model} {version} in {_table(settings)} cannot be read: {error}") from None
    if artifact.version != version:
        raise TierhouseError(f"model {model} {version} in {_table(settings)} is not what was stored under its version")
    save_file(settings.home, artifact)
    return artifact


def save_artifact(client: Client, settings: Settings, artifact: Artifact) -> None:
    """Write the artifact's file and its row; does nothing where both are there. For who holds the writer lock."""
    save_file(settings.home, artifact)
    known = client.query(
        f"SELECT count() FROM {_table(settings)} WHERE model = {{model:String}} AND version = {{version:String}}",
        parameters={"model": artifact.model, "version": artifact.version},
    ).result_rows[0][0]
    if known:
        return
    row = {
        "model": artifact.model,
        "version": artifact.version,
        "code_version": artifact.code_version,
        "trained_from": artifact.trained_from,
        "trained_until": artifact.trained_until,
        "data_fingerprint": artifact.data_fingerprint,
        "parameters": json.dumps(artifact.parameters, sort_keys=True),
        "fitted_at": datetime.now(UTC),
    }
    client.insert(_table(settings), [list(row.values())], column_names=list(row))


def load_or_fit(
    client: Client,
    settings: Settings,
    model: str,
    code_version: str,
    trained_until: date,
    fit: Callable[[], Artifact | None],
) -> Artifact | None:
    """The stored artifact of a training day, or the one that `fit` makes, which is stored then.

    `fit` returns None where the data cannot support the model. Nothing is stored then: it is asked again next time, when
    more may have landed. `fit` must give the model, code version and training day that it was asked for.
    """
    artifact = load_artifact(client, settings, model, code_version, trained_until)
    if artifact is not None:
        return artifact
    artifact = fit()
    if artifact is None:
        return None
    asked = (model, code_version, trained_until)
    made = (artifact.model, artifact.code_version, artifact.trained_until)
    if asked != made:
        raise ValueError(f"asked to fit {asked}, but {made} came back")
    save_artifact(client, settings, artifact)
    return artifact


def _table(settings: Settings) -> str:
    return f"{settings.database('predictive')}.model_artifacts"
