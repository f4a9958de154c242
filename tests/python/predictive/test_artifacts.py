"""Artifacts: the same inputs give the same version, and what is stored comes back as it was or not at all."""

from __future__ import annotations

import dataclasses
import tracemalloc
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestration.errors import TierhouseError
from orchestration.predictive.artifacts import Artifact, artifact_path, fingerprint, load_file, save_file, training_day
from orchestration.predictive.store_churn import _as_history

ARTIFACT = Artifact(
    model="lifetime_value",
    code_version="1",
    trained_from=date(2024, 1, 1),
    trained_until=date(2024, 5, 31),
    data_fingerprint="0123456789abcdef",
    parameters={"r": 0.1 + 0.2, "names": ("a", "乙"), "none": None, "small": 5e-324},
)


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        (date(2024, 3, 1), date(2024, 2, 29)),
        (date(2024, 3, 31), date(2024, 2, 29)),
        (date(2024, 1, 15), date(2023, 12, 31)),
    ],
)
def test_the_training_day_is_the_last_day_of_the_month_before(as_of: date, expected: date) -> None:
    assert training_day(as_of) == expected


def test_every_field_counts_for_the_version() -> None:
    changes = {
        "model": "churn",
        "code_version": "2",
        "trained_from": date(2024, 1, 2),
        "trained_until": date(2024, 5, 30),
        "data_fingerprint": "f" * 16,
        "parameters": {**ARTIFACT.parameters, "r": 0.3},
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Artifact)}
    versions = {dataclasses.replace(ARTIFACT, **{name: value}).version for name, value in changes.items()}
    assert len(versions | {ARTIFACT.version}) == len(changes) + 1


def test_the_order_of_parameters_does_not_count_for_the_version() -> None:
    turned = dict(reversed(list(ARTIFACT.parameters.items())))
    assert dataclasses.replace(ARTIFACT, parameters=turned).version == ARTIFACT.version


def test_a_saved_artifact_comes_back_equal(tmp_path: Path) -> None:
    path = save_file(tmp_path, ARTIFACT)

    assert path == artifact_path(tmp_path, "lifetime_value", ARTIFACT.version)
    assert load_file(path) == ARTIFACT
    assert save_file(tmp_path, ARTIFACT) == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_edited_or_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    path = save_file(tmp_path, ARTIFACT)
    text = path.read_text(encoding="utf-8")
    for broken, message in (
        (text[:40], "cannot be read"),
        ("[]", "cannot be read"),
        (text.replace("0.30000000000000004", "0.31"), "is not what was saved"),
    ):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(TierhouseError, match=message) as failure:
            load_file(path)
        assert "\n" not in str(failure.value)
    path.unlink()
    with pytest.raises(TierhouseError, match="there is no model"):
        load_file(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1.0), date(2024, 1, 1)])
def test_parameters_that_json_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        dataclasses.replace(ARTIFACT, parameters={"r": value})


def test_the_fingerprint_depends_on_the_rows_but_not_on_their_order() -> None:
    customer, spend = np.array([3, 1, 2]), np.array([1.5, -0.0, 7.0])
    order = np.array([1, 2, 0])

    assert fingerprint(customer, spend) == fingerprint(customer[order], spend[order])
    assert fingerprint(customer, spend) == fingerprint(customer.astype(np.float64), spend + 0.0)
    assert fingerprint(customer, spend) != fingerprint(customer, spend[order])
    assert fingerprint(customer, spend) != fingerprint(spend, customer)
    assert fingerprint(np.array(["ab", "c"])) != fingerprint(np.array(["a", "bc"]))
    with pytest.raises(ValueError, match="differ in length"):
        fingerprint(customer, spend[:2])


def test_a_fingerprint_of_texts_does_not_change_with_how_they_are_held_in_memory() -> None:
    texts = ["hotel", "乙", "", "canteen"]
    assert fingerprint(np.array(texts), np.arange(4)) == fingerprint(np.array(texts, dtype=object), np.arange(4))
    assert fingerprint(np.array(texts), np.arange(4)) == "7184189a090a4f14"


def test_one_long_text_among_many_short_ones_takes_no_more_room_than_its_own() -> None:
    names = ["hotel"] * 2_000 + ["n" * 100_000]
    table = pa.table(
        {
            "customer_id": pa.array(range(len(names)), pa.uint64()),
            "business_type": names,
            "first_day": pa.array([19_000] * len(names), pa.int32()),
            "order_days": pa.array([[19_000]] * len(names), pa.list_(pa.int32())),
        }
    )
    tracemalloc.start()
    try:
        fingerprint(np.array(names, dtype=object), np.arange(len(names)))
        assert _as_history(table).type_names == ("hotel", names[-1])
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
