"""Random histories of the tier machine's inputs: policies, gaps between days, customers who come and go, gates, overrides."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from hypothesis import strategies as st
from reference.machine import Inputs
from reference.tables import day_number

FIRST = day_number(date(2024, 1, 1))
TREATMENTS = {
    "active": ("decide",),
    "new": ("decide", "follow", "protect", "lowest"),
    "lapsed": ("decide", "lowest", "freeze"),
    "blocked": ("freeze", "lowest"),
}
COLUMNS = (
    "policy String, customer_id UInt64, as_of_date Date, candidate_rank UInt8, strict_rank UInt8, lenient_rank UInt8, "
    "standing Enum8('active' = 0, 'new' = 1, 'lapsed' = 2, 'blocked' = 3), "
    "treatment Enum8('decide' = 0, 'follow' = 1, 'protect' = 2, 'lowest' = 3, 'freeze' = 4), cap_rank UInt8, "
    "override_rank UInt8, lowest_rank UInt8, confirm_up_decisions UInt8, confirm_down_decisions UInt8, "
    "maximum_steps_down UInt8, minimum_dwell_days UInt16, grace_days_after_upgrade UInt16, downgrade_weekdays UInt8"
)


@dataclass(frozen=True)
class History:
    """Inputs by policy, as (customer, inputs), one per customer and stored day on which the customer is there."""

    policies: dict[str, list[tuple[int, Inputs]]]

    def rows(self) -> list[list[object]]:
        """The same as rows of `COLUMNS`."""
        return [
            [
                policy,
                customer,
                date(1970, 1, 1) + timedelta(days=day.day),
                *(
                    day.candidate,
                    day.strict,
                    day.lenient,
                    day.standing,
                    day.treatment,
                    day.cap,
                    day.override,
                    day.lowest,
                ),
                *(day.confirm_up, day.confirm_down, day.steps_down, day.dwell_days, day.grace_days),
                sum(1 << (weekday - 1) for weekday in day.weekdays),
            ]
            for policy, history in self.policies.items()
            for customer, day in history
        ]

    def until(self, day: int) -> "History":
        """The part up to and including a day."""
        return History({name: [row for row in rows if row[1].day <= day] for name, rows in self.policies.items()})


def random_history(seed: int) -> History:
    """One to five policies over 1 to 60 stored days and up to 12 customers."""
    chance = random.Random(seed)
    days = [FIRST + chance.randint(0, 6)]
    for _ in range(chance.choice([0, 1, 10, 30, 59])):
        days.append(days[-1] + chance.choice([1, 1, 1, 2, 6, 7, 8, 30]))
    customers = chance.randint(1, 12)
    return History(
        {f"policy_{n}": _history(chance, days, customers, _rules(chance)) for n in range(chance.randint(1, 5))}
    )


def histories() -> st.SearchStrategy[History]:
    """Histories by seed: a failing one is named by a number, and is as long as the others."""
    return st.integers(0, 2**32).map(random_history)


def _rules(chance: random.Random) -> dict[str, object]:
    return {
        "confirm_up": chance.choice([1, 1, 2, 3]),
        "confirm_down": chance.choice([1, 2, 3, 4]),
        "steps_down": chance.randint(1, 3),
        "dwell_days": chance.choice([0, 7, 28, 60]),
        "grace_days": chance.choice([0, 7, 14, 60]),
        "weekdays": frozenset(chance.sample(range(1, 8), chance.randint(1, 3))),
    }


def _history(
    chance: random.Random, days: Sequence[int], customers: int, rules: dict[str, object]
) -> list[tuple[int, Inputs]]:
    rows = []
    ladders = {}
    lowest = 4
    for day in days:
        if chance.random() < 0.05:
            lowest = chance.choice([2, 3, 4, 5])  # another version of the ladder
        ladders[day] = lowest
    for customer in range(1, customers + 1):
        lowest = ladders[days[0]]
        rank, standing, cap, override = chance.randint(1, lowest), "active", 1, 0
        present = chance.random() < 0.8
        for day in days:
            if chance.random() < 0.05:
                present = not present
            lowest = ladders[day]
            if chance.random() < 0.4:
                rank += chance.choice([-2, -1, 1, 2])
            rank = min(max(rank, 1), lowest)
            if chance.random() < 0.15:
                standing = chance.choice(["active"] * 5 + list(TREATMENTS))
            if chance.random() < 0.15:
                cap = chance.choice([1, 1, min(2, lowest), lowest])
            if chance.random() < 0.1:
                override = chance.choice([0, 0, chance.randint(1, lowest)])
            if present:
                inputs = Inputs(
                    day=day,
                    candidate=rank,
                    strict=min(lowest, rank + chance.choice([0, 0, 1])),
                    lenient=max(1, rank - chance.choice([0, 0, 1])),
                    standing=standing,
                    treatment=chance.choice(TREATMENTS[standing]),
                    cap=min(cap, lowest),
                    override=min(override, lowest),
                    lowest=lowest,
                    **rules,  # type: ignore[arg-type]
                )
                rows.append((customer, inputs))
    return rows
