"""Proof of the stored tiers: all days decided once more from their stored inputs, compared row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.macros import render
from orchestration.warehouse.settings import Settings

_KEY = "policy, as_of_date, customer_id"
_COMPARED = (
    f"{_KEY}, is_new, is_downgrade_day, earned_rank, earned_since_date, upgraded_on, up_count, "
    "up_rank, down_count, down_rank, tier_rank, tier_since_date, previous_rank, toString(decision) AS decision, "
    "toString(reason_code) AS reason_code"
)
# So many customers at once keep the memory of a year of days below a few GiB.
_CUSTOMERS_AT_ONCE = 25_000


@dataclass(frozen=True)
class Replayed:
    """What a replay of one part of the customers found: states, stored or computed, and how many of them differ."""

    state_count: int
    differing_count: int


def replay(client: Client, settings: Settings) -> Iterator[Replayed]:
    """Decide every stored day of every policy again, a part of the customers at a time; yields one result per part.

    A state that is only stored, or only computed, differs. Raises TierhouseError when no day is stored.
    """
    inputs = f"{settings.database('tiers')}.customer_tier_inputs"
    states = f"{settings.database('tiers')}.customer_tier_states"
    if client.command(f"EXISTS TABLE {inputs}") != 1:
        raise TierhouseError("no day is stored yet; run `tierhouse refresh` first")
    customers = int(str(client.command(f"SELECT uniqExact(customer_id) FROM {inputs}")))
    parts = max(1, -(-customers // _CUSTOMERS_AT_ONCE))
    for part in range(parts):
        of_part = f"cityHash64(customer_id) % {parts} = {part}"
        computed = render("replayed_states", "part_inputs")
        answer = client.query(
            f"WITH part_inputs AS (SELECT * FROM {inputs} WHERE {of_part}) "
            # By the state, not by what it says: one that differs is there in two versions, and is one state all the same.
            "SELECT count(), countIf(copies != 2 OR first_row != last_row) FROM ("
            "SELECT count() AS copies, min(row) AS first_row, max(row) AS last_row FROM ("
            f"SELECT {_KEY}, cityHash64(tuple(*)) AS row FROM (SELECT {_COMPARED} FROM {computed}) UNION ALL "
            f"SELECT {_KEY}, cityHash64(tuple(*)) AS row FROM (SELECT {_COMPARED} FROM {states} WHERE {of_part})"
            f") GROUP BY {_KEY})"
        ).result_rows[0]
        yield Replayed(int(answer[0]), int(answer[1]))
