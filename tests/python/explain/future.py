"""What becomes of a customer whose measures stay as they are: the tier machine of the reference, one step a day."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from reference.machine import Inputs, State, step
from reference.tables import day_number

from .bases import CUSTOMER, DAY, Base


def days(base: Base, customer: Mapping[str, Any], count: int, **changed: Any) -> Iterator[tuple[date, State]]:
    """The states of the `count` days after DAY; `changed` replaces ranks, cap or treatment."""
    row = {**{name: plain for name, (_, plain) in CUSTOMER.items()}, **customer, **changed}
    names = [part[1] for part in base.rule("ladder")]
    earned = names.index(row["earned_tier"]) + 1
    state = State(
        earned,
        day_number(row["earned_since_date"]),
        day_number(row["upgraded_on"]),
        row["up_count"],
        row["up_rank"],
        row["down_count"],
        row["down_rank"],
        max(earned, row["cap_rank"]),
        day_number(row["tier_since_date"]),
    )
    inputs = Inputs(
        day=0,
        candidate=row["candidate_rank"],
        strict=row["strict_rank"],
        lenient=row["lenient_rank"],
        standing=row["standing"],
        treatment=row["treatment"],
        cap=row["cap_rank"],
        override=0,
        lowest=len(names),
        confirm_up=row["confirm_up_decisions"],
        confirm_down=row["confirm_down_decisions"],
        steps_down=base.rule("maximum_steps_down"),
        dwell_days=base.rule("minimum_dwell_days"),
        grace_days=base.rule("grace_days_after_upgrade"),
        weekdays=frozenset(day + 1 for day in range(7) if base.rule("downgrade_weekdays") >> day & 1),
    )
    protected_until = row["first_order_date"] + timedelta(days=base.rule("new_customer_days"))
    for offset in range(1, count + 1):
        today = DAY + timedelta(days=offset)
        if row["treatment"] == "protect" and today >= protected_until:
            inputs = replace(inputs, treatment="decide", standing="active")
        state = step(state, replace(inputs, day=day_number(today)), day_number(today) - 1).state
        yield today, state


def settled_tier(base: Base, customer: Mapping[str, Any], **changed: Any) -> int:
    """Rank of the tier in force when nothing moves any more."""
    rank = 0
    for _, state in days(base, customer, 400, **changed):
        rank = state.tier
        ranks = {**customer, **changed}
        if ranks["strict_rank"] >= state.earned >= ranks["lenient_rank"]:
            break
    return rank
