"""Ids of all 64 bits in a simulation: each customer keeps its own tier."""

from types import SimpleNamespace

import numpy as np
import pytest

from orchestration.simulation import run
from orchestration.simulation.run import Base, Simulator, _aligned

IDS = [0, 7, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]


def test_customers_whose_ids_take_all_64_bits_keep_their_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(column_names=("customer_id", "tier_rank"), result_columns=[IDS, list(range(1, 8))])

    monkeypatch.setattr(run, "_ask", answered)
    simulator = object.__new__(Simulator)
    simulator._client = None  # type: ignore[assignment]
    answer = simulator._arrays("SELECT customer_id, tier_rank")
    base = Base(answer["customer_id"], answer["tier_rank"], np.zeros(7, np.int64), ["gold"] * 7)

    assert [int(one) for one in base.customer_ids] == IDS
    assert _aligned(base, answer["customer_id"], answer["tier_rank"]).tolist() == list(range(1, 8))
    some = run._array("customer_id", IDS[1:4])
    assert _aligned(base, some, np.array([2, 3, 4])).tolist() == [0, 2, 3, 4, 0, 0, 0]
