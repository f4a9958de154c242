"""Reading features and scores of two published days, and writing how far they drifted apart."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.predictive import drift
from orchestration.predictive.artifacts import Artifact, fingerprint, training_day
from orchestration.predictive.store_artifacts import load_or_fit
from orchestration.predictive.store_tables import replace_day
from orchestration.warehouse.settings import Settings

MODEL = "drift_reference"
# Tables of the snapshots layer, what their columns are, and the columns that are compared; None: all numbers.
_SOURCES: tuple[tuple[str, str, tuple[str, ...] | None], ...] = (
    ("customer_feature_snapshots", "feature", None),
    (
        "customer_tier_snapshots",
        "score",
        ("r_score", "f_score", "m_score", "p_score", "total_score", "lifetime_value"),
    ),
    ("churn_snapshots", "score", ("gap_ratio", "p_no_order_30d", "p_defected", "value_at_risk")),
)
# Numbers that are names, and those that grow by themselves: they drift every day and say nothing.
_NOT_COMPARED = {
    "customer_id",
    "account_manager_id",
    "customer_age_days",
    "days_since_first_order",
    # These tell of launches and of verdicts, which are the same for nearly all customers.
    "new_product_offered_count_180d",
    "potential_version",
}
_GROWS = "_to_date"
_TEXTS = ("business_type", "region_code")
_CATEGORIES_KEPT = 9


def refresh_drift(client: Client, settings: Settings, as_of: str) -> list[dict[str, Any]]:
    """Compare the published snapshot of `as_of` with the reference of its month; replaces its rows and returns them.

    The reference is the last published snapshot up to the training day, its bins and counts fixed in an artifact. Its customers
    are those with an even hash, the compared ones those with an odd hash, so that the two samples are independent.
    Raises TierhouseError when the day is not published.
    """
    day = date.fromisoformat(as_of)
    trained_until = training_day(day)
    builds = _builds(client, settings)
    if day not in builds:
        raise TierhouseError(f"{as_of} is not published; run `tierhouse refresh --as-of {as_of}` first")
    artifact = load_or_fit(
        client,
        settings,
        MODEL,
        drift.CODE_VERSION,
        trained_until,
        lambda: _fit(client, settings, trained_until, builds),
    )
    columns = _columns(client, settings)
    if artifact is None:
        rows = [
            _row(name, kind, None, drift.Drift(None, None, None, None, 0, "no_reference"), 0, 0)
            for name, kind in columns
        ]
    else:
        rows = _compare(client, settings, artifact, columns, day, builds[day])
    version = artifact.version if artifact else ""
    replace_day(client, settings, "feature_drift", day, pd.DataFrame(rows), as_of_date=day, model_version=version)
    return rows


def _builds(client: Client, settings: Settings) -> dict[date, str]:
    table = f"{settings.database('snapshots')}.published_builds"
    if client.command(f"EXISTS TABLE {table}") != 1:
        return {}
    return {row[0]: row[1] for row in client.query(f"SELECT as_of_date, build_id FROM {table}").result_rows}


def _columns(client: Client, settings: Settings) -> dict[tuple[str, str], str]:
    """(column, kind) -> table, of what is compared."""
    found: dict[tuple[str, str], str] = {}
    for table, kind, wanted in _SOURCES:
        rows = client.query(
            "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String} ORDER BY name",
            parameters={"database": settings.database("snapshots"), "table": table},
        ).result_rows
        for name, type_name in rows:
            is_number = type_name.removeprefix("Nullable(").startswith(("UInt", "Int", "Float", "Decimal"))
            is_compared = (
                name in wanted if wanted else is_number and name not in _NOT_COMPARED and not name.endswith(_GROWS)
            )
            if is_compared or (wanted is None and name in _TEXTS):
                found[name, kind] = table
    return found


def _fit(client: Client, settings: Settings, trained_until: date, builds: dict[date, str]) -> Artifact | None:
    """Bins and counts of the last published day up to the training day; None where there is none."""
    days = [day for day in builds if day <= trained_until]
    if not days:
        return None
    day = max(days)
    features: dict[str, Any] = {}
    hashed = []
    for name, values in _values(client, settings, _columns(client, settings), day, builds[day], half=0).items():
        if values.dtype == object:
            counts = pd.Series(values).value_counts().sort_index().sort_values(ascending=False, kind="stable")
            categories = [str(category) for category in counts.index[:_CATEGORIES_KEPT]]
            features[name] = {"categories": categories, "counts": drift.category_counts(values, categories).tolist()}
        else:
            edges = drift.bin_edges(values)
            features[name] = {"edges": edges, "counts": drift.bin_counts(values, edges).tolist()}
            hashed.append(np.nan_to_num(values, nan=-1e300))
    return Artifact(
        model=MODEL,
        code_version=drift.CODE_VERSION,
        trained_from=day,
        trained_until=trained_until,
        data_fingerprint=fingerprint(*hashed),
        parameters={"reference_date": day.isoformat(), "features": features},
    )


def _compare(
    client: Client,
    settings: Settings,
    artifact: Artifact,
    columns: dict[tuple[str, str], str],
    day: date,
    build_id: str,
) -> list[dict[str, Any]]:
    reference_date = date.fromisoformat(artifact.parameters["reference_date"])
    known = artifact.parameters["features"]
    rows = []
    current = _values(client, settings, columns, day, build_id, half=1)
    for name, kind in columns:
        bins = known.get(name)
        if bins is None or _is_unknown(bins):
            # The column is younger than the reference: not there, or null throughout.
            nothing = drift.Drift(None, None, None, None, 0, "no_reference")
            rows.append(_row(name, kind, reference_date, nothing, 0, len(current[name])))
            continue
        reference = np.array(bins["counts"], dtype=np.int64)
        if "categories" in bins:
            counts = drift.category_counts(current[name], bins["categories"])
        else:
            counts = drift.bin_counts(current[name], bins["edges"])
        found = drift.compare(reference, counts)
        rows.append(_row(name, kind, reference_date, found, int(reference.sum()), int(counts.sum())))
    for row, adjusted in zip(rows, drift.holm([row["p_value"] for row in rows]), strict=True):
        row["p_value_of_all"] = adjusted
        row["is_alarm"] = int(adjusted is not None and adjusted <= drift.LEVEL)
    return rows


def _is_unknown(bins: dict[str, Any]) -> bool:
    return "edges" in bins and sum(bins["counts"]) == bins["counts"][-1]


def _row(
    name: str, kind: str, reference_date: date | None, found: drift.Drift, reference_count: int, current_count: int
) -> dict[str, Any]:
    return {
        "feature": name,
        "kind": kind,
        "reference_date": reference_date,
        "reference_count": reference_count,
        "current_count": current_count,
        "bin_count": found.bin_count,
        "psi": found.psi,
        "critical_value": found.critical_value,
        "critical_value_chi2": found.critical_value_chi2,
        "p_value": found.p_value,
        "p_value_of_all": None,
        "is_alarm": 0,
        "verdict": found.verdict,
    }


def _values(
    client: Client, settings: Settings, columns: dict[tuple[str, str], str], day: date, build_id: str, half: int
) -> dict[str, np.ndarray]:
    """Values of one half of the customers on a published day: float64 with NaN for null, or objects for texts."""
    values: dict[str, np.ndarray] = {}
    for table in dict.fromkeys(columns.values()):
        names = [name for (name, _), of in columns.items() if of == table]
        picked = ", ".join(name if name in _TEXTS else f"toFloat64(source.{name}) AS {name}" for name in names)
        arrow = client.query_arrow(
            f"SELECT {picked} FROM {settings.database('snapshots')}.{table} AS source WHERE as_of_date = {{day:Date}} "
            f"AND build_id = {{build_id:String}} AND cityHash64(customer_id) % 2 = {half} ORDER BY customer_id",
            parameters={"day": day, "build_id": build_id},
            settings={"output_format_arrow_string_as_string": 1},
        )
        for name in names:
            if name in _TEXTS:
                values[name] = np.array(arrow[name].to_pylist(), dtype=object)
            else:
                values[name] = arrow[name].to_numpy().astype(np.float64)
    return values
