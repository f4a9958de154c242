"""The tier machine in plain Python, written from docs/state_machine.md alone: one step, and a replay of many."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

NEVER = 0  # the day number of 1970-01-01, which stands for no upgrade so far
MOST = 250


@dataclass(frozen=True)
class Inputs:
    """What a day knows of one customer under one policy. Days are day numbers, rank 1 is the best tier."""

    day: int
    candidate: int
    strict: int
    lenient: int
    standing: str
    treatment: str
    cap: int
    override: int
    lowest: int
    confirm_up: int
    confirm_down: int
    steps_down: int
    dwell_days: int
    grace_days: int
    weekdays: frozenset[int]


@dataclass(frozen=True)
class State:
    """A customer's state after a day."""

    earned: int
    earned_since: int
    upgraded_on: int
    up_count: int
    up_rank: int
    down_count: int
    down_rank: int
    tier: int
    tier_since: int


@dataclass(frozen=True)
class Decided:
    """The state after a day, with what the day decided and why."""

    state: State
    is_new: bool
    is_downgrade_day: bool
    previous_tier: int
    decision: str
    reason: str


def iso_weekday(day: int) -> int:
    """1 for Monday to 7 for Sunday; day 0, 1970-01-01, was a Thursday."""
    return (day + 3) % 7 + 1


def is_downgrade_day(weekdays: frozenset[int], previous_day: int | None, day: int) -> bool:
    """Whether one of the weekdays falls into (previous_day, day]; never on the first stored day."""
    if previous_day is None:
        return False
    return any(iso_weekday(between) in weekdays for between in range(previous_day + 1, day + 1))


def step(before: State | None, inputs: Inputs, previous_day: int | None) -> Decided:
    """One day of one customer. `before`: the state of the stored day before, None for who has none there."""
    downgrade_day = is_downgrade_day(inputs.weekdays, previous_day, inputs.day)
    before = _within_ladder(before, inputs.lowest) if before else None
    if before is None:
        earned = inputs.lowest if inputs.treatment == "lowest" else inputs.candidate
        up = down = (0, 0)
        earned_since, upgraded_on = inputs.day, NEVER
    else:
        earned, up, down = _earned(before, inputs, downgrade_day)
        earned_since, upgraded_on = before.earned_since, before.upgraded_on
        if earned != before.earned:
            up = down = (0, 0)
            earned_since = inputs.day
        if earned < before.earned:
            upgraded_on = inputs.day
    tier = inputs.override or max(earned, inputs.cap)
    kept = before is not None and tier == before.tier
    state = State(earned, earned_since, upgraded_on, *up, *down, tier, before.tier_since if kept else inputs.day)
    return Decided(
        state,
        before is None,
        downgrade_day,
        0 if before is None else before.tier,
        _decision(before, inputs, state),
        _reason(before, inputs, state),
    )


def _within_ladder(state: State, lowest: int) -> State:
    """The state in the ranks of a ladder that may have become shorter: who is cut off counts anew, and nobody falls below the lowest."""
    if state.earned >= lowest:
        state = replace(state, down_count=0, down_rank=0)
    if state.earned > lowest:
        state = replace(state, up_count=0, up_rank=0)
    return replace(state, earned=min(state.earned, lowest), tier=min(state.tier, lowest))


def _earned(before: State, inputs: Inputs, downgrade_day: bool) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """The earned rank and both counters with their ranks, before a change sets the counters back."""
    nothing = (0, 0)
    match inputs.treatment:
        case "freeze":
            return before.earned, (before.up_count, before.up_rank), (before.down_count, before.down_rank)
        case "lowest":
            return inputs.lowest, nothing, nothing
        case "follow":
            return inputs.candidate, nothing, nothing
    up = nothing
    if inputs.strict < before.earned:
        up = (min(before.up_count + 1, MOST), max(before.up_rank, inputs.strict))
    down = nothing
    if inputs.treatment == "decide":
        if not downgrade_day:
            down = (before.down_count, before.down_rank)
        elif inputs.lenient > before.earned:
            best = min(before.down_rank, inputs.lenient) if before.down_rank else inputs.lenient
            down = (min(before.down_count + 1, MOST), best)
    if up[0] >= inputs.confirm_up:
        return up[1], up, down
    falls = (
        inputs.treatment == "decide"
        and downgrade_day
        and inputs.lenient > before.earned
        and down[0] >= inputs.confirm_down
        and inputs.day - before.earned_since >= inputs.dwell_days
        and inputs.day - before.upgraded_on >= inputs.grace_days
    )
    return (min(down[1], before.earned + inputs.steps_down) if falls else before.earned), up, down


def _decision(before: State | None, inputs: Inputs, after: State) -> str:
    if inputs.override:
        return "overridden"
    if before is None:
        return "new"
    if inputs.cap > after.earned:
        return "capped"
    if after.tier != before.tier:
        return "upgraded" if after.tier < before.tier else "downgraded"
    return "held" if inputs.candidate != after.tier else "kept"


def _reason(before: State | None, inputs: Inputs, after: State) -> str:
    if inputs.override:
        return "override"
    if before is None:
        return "first_seen"
    if inputs.cap > after.earned:
        return "gate"
    moved = after.earned != before.earned
    if after.tier != before.tier and not moved:
        return "gate_or_override_ended"
    special = inputs.treatment != "decide" and inputs.standing != "active"
    if special and (moved or inputs.candidate != after.earned):
        return {"new": "new_customer", "lapsed": "lapsed", "blocked": "blocked"}[inputs.standing]
    if moved:
        return "confirmed_up" if after.earned < before.earned else "confirmed_down"
    if after.up_count:
        return "waiting_up"
    below = inputs.lenient > after.earned
    if below and after.down_count >= inputs.confirm_down:
        if inputs.day - after.upgraded_on < inputs.grace_days:
            return "grace"
        if inputs.day - after.earned_since < inputs.dwell_days:
            return "dwell"
    if after.down_count or below:
        return "waiting_down"
    return "criteria_met" if inputs.candidate == after.earned else "within_band"


def replay(histories: Mapping[str, Iterable[tuple[int, Inputs]]]) -> dict[tuple[str, int, int], Decided]:
    """All states by (policy, day, customer), from each policy's (customer, inputs) of all stored days in any order.

    A stored day is one that is stored for any policy.
    """
    by_day: dict[int, dict[tuple[str, int], Inputs]] = {}
    for policy, history in histories.items():
        for customer, inputs in history:
            by_day.setdefault(inputs.day, {})[policy, customer] = inputs
    decided: dict[tuple[str, int, int], Decided] = {}
    previous: int | None = None
    for day in sorted(by_day):
        for (policy, customer), inputs in by_day[day].items():
            earlier = decided.get((policy, previous, customer)) if previous is not None else None
            decided[policy, day, customer] = step(earlier.state if earlier else None, inputs, previous)
        previous = day
    return decided
