"""A simulation as tables shaped like the marts, and as text: migration, tiers with their discounts, stability, movers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

import numpy as np

from orchestration.quality.seeds import Seeds
from orchestration.simulation.proposal import names
from orchestration.simulation.run import CURRENT, Base, Outcome, Simulation, Simulator
from orchestration.terminal import empty_table, plain_text
from orchestration.tier_names import tier_names
from orchestration.words_zh import said

Record = dict[str, object]
TABLES = ("migration", "tiers", "stability", "movers", "customers")


def answer(
    simulator: Simulator,
    seeds: Seeds,
    rules_day: date,
    weeks: int,
    mover_count: int,
    style: str,
    chosen: str | None,
    language: str = "en",
) -> str:
    """Run the simulation and put it into text: `pretty`, `csv` (one of TABLES) or `json` (all but customers, or one).

    chosen: one of TABLES, or None. weeks: 0 for today alone. mover_count: customers to name per horizon.
    """
    if chosen == "customers":
        columns, values = simulator.customers()
        rows = [dict(zip(columns, row, strict=True)) for row in values]
        return as_json({"customers": rows}) + "\n" if style == "json" else as_csv(rows)
    result = simulator.run(weeks)
    moved = movers(result, simulator, mover_count)
    changed = changes(simulator.current_seeds, seeds, simulator.as_of, rules_day)
    if style == "pretty" and chosen is None:
        return as_text(result, moved, changed, language) + "\n"
    made = {"migration": migration(result), "tiers": tiers(result), "stability": stability(result), "movers": moved}
    if style != "json":
        return as_csv(made[chosen or "migration"])
    head: Record = {
        "as_of_date": result.as_of,
        "policy": result.proposed.policy,
        "changes": changed,
        "notes": result.notes,
    }
    return as_json(head | ({chosen: made[chosen]} if chosen else made)) + "\n"


def migration(result: Simulation) -> list[Record]:
    """One row per horizon, tier left and tier reached: the columns of the mart tier_migration."""
    rows = []
    for outcome in result.outcomes:
        counts, cents = _matrix(result.base, outcome)
        for left, reached in zip(*np.nonzero(counts), strict=True):
            rows.append(
                {
                    "horizon": outcome.horizon,
                    "from_date": result.as_of,
                    "to_date": result.as_of,
                    **dict.fromkeys(("is_over_day", "is_over_week", "is_over_month", "is_over_quarter"), 0),
                    "from_tier": _tier(outcome.current_tiers, left),
                    "to_tier": _tier(outcome.proposed_tiers, reached),
                    "customer_count": int(counts[left, reached]),
                    "share_of_from": float(counts[left, reached] / counts[left].sum()),
                    "net_amount_90d": _money(cents[left, reached]),
                }
            )
    return rows


def tiers(result: Simulation) -> list[Record]:
    """One row per horizon, variant and tier of its ladder: customers, net sales, and what the tier's discount costs on them."""
    rows: list[Record] = []
    for outcome in result.outcomes:
        counts, cents = _matrix(result.base, outcome)
        for variant, ladder, rules, axis in (
            (CURRENT, outcome.current_tiers, result.current, 1),
            ("proposed", outcome.proposed_tiers, result.proposed, 0),
        ):
            in_tier, sales = counts.sum(axis=axis), cents.sum(axis=axis)
            rates = dict(zip(rules.tiers, rules.discount_rates(), strict=True))
            for rank, tier in enumerate(ladder, start=1):
                net = _money(sales[rank]) if rank < len(sales) else Decimal("0.00")
                count = int(in_tier[rank]) if rank < len(in_tier) else 0
                rate = Decimal(str(rates.get(tier, 0.0)))
                rows.append(
                    {
                        "horizon": outcome.horizon,
                        "variant": variant,
                        "tier": tier,
                        "tier_rank": rank,
                        "customer_count": count,
                        "customer_share": count / len(result.base.customer_ids),
                        "net_amount_90d": net,
                        "net_amount_share": float(net / _money(sales.sum())) if sales.sum() > 0 else None,
                        "discount_rate": float(rate),
                        "discount_cost_90d": _times(net, rate),
                    }
                )
    return rows


def stability(result: Simulation) -> list[Record]:
    """One row per variant: the measures of the mart tier_stability over the replayed weeks."""
    return [
        {"as_of_date": result.as_of, "variant": row["variant"], "week_count": result.week_count, **row}
        for row in result.stability
    ]


def movers(result: Simulation, simulator: Simulator, count: int) -> list[Record]:
    """Customers whose tier differs, those with the largest net sales first (ties: the smaller id), up to `count` per horizon."""
    rows: list[Record] = []
    for outcome in result.outcomes:
        base = result.base
        ladders = (outcome.current_tiers, outcome.proposed_tiers)
        moved = np.nonzero(_changes(outcome))[0]
        chosen = moved[np.lexsort((base.customer_ids[moved], -np.abs(base.cents[moved])))][:count]
        described = simulator.names([int(one) for one in base.customer_ids[chosen]])
        rates = [
            dict(zip(rules.tiers, rules.discount_rates(), strict=True)) for rules in (result.current, result.proposed)
        ]
        for place in chosen:
            customer = int(base.customer_ids[place])
            name, manager, region = described.get(customer, ("", None, ""))
            left, reached = (_tier(ladder, rank[place]) for ladder, rank in zip(ladders, _ranks(outcome), strict=True))
            net = _money(base.cents[place])
            change = Decimal(str(rates[1].get(reached, 0.0))) - Decimal(str(rates[0].get(left, 0.0)))
            rows.append(
                {
                    "horizon": outcome.horizon,
                    "customer_id": customer,
                    "customer_name": name,
                    "account_manager_id": manager,
                    "region_code": region,
                    "from_tier": left,
                    "to_tier": reached,
                    "steps": int(outcome.current[place] - outcome.proposed[place]),
                    "net_amount_90d": net,
                    "discount_change_90d": _times(net, change),
                }
            )
    return rows


def changes(current: Seeds, proposed: Seeds, current_day: date, proposed_day: date) -> list[str]:
    """What the proposal changes, as `name before -> after`."""
    before = {name: row[column] for name, row, column in names(current, current_day)}
    after = {name: row[column] for name, row, column in names(proposed, proposed_day)}
    found = []
    for name in [*after, *(name for name in before if name not in after)]:
        # A column of the policy has two names.
        if f"policy.{name}" in after or f"policy.{name}" in before:
            continue
        left, right = before.get(name, "-"), after.get(name, "-")
        if not _same(left, right):
            found.append(f"{name} {left} -> {right}")
    return found


def as_csv(rows: Sequence[Record]) -> str:
    """Rows with a header; nothing for no row."""
    if not rows:
        return ""
    content = io.StringIO()
    writer = csv.DictWriter(content, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


def as_json(content: Record) -> str:
    """One object; amounts are numbers, dates are text."""
    return json.dumps(content, ensure_ascii=False, indent=2, default=_plain)


def as_text(result: Simulation, moved: Sequence[Record], changed: Sequence[str], language: str = "en") -> str:
    """For the terminal."""
    count, policies = f"{len(result.base.customer_ids):,}", (result.proposed.policy, result.current.policy)
    title = "Simulated on {day}: {count} customers, policy {policy}"
    lines = [
        said(language, title, day=result.as_of, count=count, policy=policies[0])
        + (said(language, " instead of {policy}", policy=policies[1]) if policies[0] != policies[1] else ""),
        *(f"  {change}" for change in changed or [said(language, "nothing is changed")]),
    ]
    for outcome in result.outcomes:
        rows = [row for row in moved if row["horizon"] == outcome.horizon]
        lines += ["", *_outcome_text(result, outcome, rows, language)]
    if result.stability:
        lines += ["", _stability_text(result, language)]
    notes = (plain_text(said(language, "note: ") + said(language, note)) for note in result.notes)
    return "\n".join([*lines, *notes])


def _outcome_text(result: Simulation, outcome: Outcome, moved: Sequence[Record], language: str) -> Iterator[str]:
    ladders = (*result.current.standards, *result.proposed.standards)
    named = {"none": said(language, "none")}
    named |= tier_names(((row["tier"], row["tier_label"]) for row in ladders), language)
    counts, _ = _matrix(result.base, outcome)
    changed = _changes(outcome)
    title = "Had the rules been in force for {weeks} weeks: {count} customers in another tier"
    if outcome.horizon == "today":
        title = "Published this morning: {count} customers in another tier"
    yield said(language, title, count=f"{int(changed.sum()):,}", weeks=outcome.horizon.split(" ")[0])
    matrix = empty_table(said(language, "from \\ to"), *(named.get(tier, tier) for tier in outcome.proposed_tiers))
    for rank, tier in enumerate(outcome.current_tiers, start=1):
        if rank < len(counts):
            matrix.add_row(
                named.get(tier, tier), *(f"{counts[rank, to]:,}" for to in range(1, len(outcome.proposed_tiers) + 1))
            )
    yield plain_text(matrix)
    yield ""
    rows = [row for row in tiers(result) if row["horizon"] == outcome.horizon]
    headings = ("tier", "customers\nnow", "proposed", "share\nnow", "proposed", "discount\n90 d now", "proposed")
    shares = empty_table(*(said(language, one) for one in headings))
    now = {row["tier"]: row for row in rows if row["variant"] == CURRENT}
    then = {row["tier"]: row for row in rows if row["variant"] != CURRENT}
    for name in dict.fromkeys([*then, *now]):
        left, right = now.get(name, {}), then.get(name, {})
        shares.add_row(
            named.get(str(name), str(name)),
            *(f"{row.get('customer_count', 0):,}" for row in (left, right)),
            *(f"{100 * float(str(row.get('customer_share', 0))):.1f} %" for row in (left, right)),
            *(f"{row.get('discount_cost_90d', 0):,.0f}" for row in (left, right)),
        )
    sums = [sum(Decimal(str(row["discount_cost_90d"])) for row in side.values()) for side in (now, then)]
    shares.add_row(
        said(language, "all"), f"{len(changed):,}", f"{len(changed):,}", "", "", *(f"{one:,.0f}" for one in sums)
    )
    yield plain_text(shares)
    if moved:
        yield ""
        of_names = ("customer", "name", "from", "to", "net sales\n90 d", "discount\n90 d")
        names = empty_table(*(said(language, one) for one in of_names), words=(1, 2, 3))
        for row in moved:
            names.add_row(
                str(row["customer_id"]),
                str(row["customer_name"]),
                named.get(str(row["from_tier"]), str(row["from_tier"])),
                named.get(str(row["to_tier"]), str(row["to_tier"])),
                f"{row['net_amount_90d']:,.0f}",
                f"{row['discount_change_90d']:+z,.0f}",
            )
        yield plain_text(names)


def _stability_text(result: Simulation, language: str) -> str:
    measures = empty_table(
        said(language, "over {weeks} weeks", weeks=result.week_count),
        *(said(language, str(row["variant"])) for row in result.stability),
    )
    shares = {
        "weekly_change_rate": "changes per customer-week",
        "reversal_rate_28d": "undone within 28 days",
        "agreement_rate": "agrees with the candidate",
        "quota_drift": "drift of the quotas",
    }
    numbers = {
        "change_count": "changes",
        "upgrade_count": "upgrades",
        "downgrade_count": "downgrades",
        "mean_dwell_weeks": "mean dwell, weeks",
        "median_completed_dwell_days": "median dwell, days",
    }
    for name, label in (shares | numbers).items():
        values = [row[name] for row in result.stability]
        form = "{:.2%}" if name in shares else "{:,.0f}" if name.endswith("count") else "{:,.1f}"
        measures.add_row(said(language, label), *("-" if value is None else form.format(value) for value in values))
    return plain_text(measures)


def _ranks(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    return outcome.current, outcome.proposed


def _changes(outcome: Outcome) -> np.ndarray:
    """Customers whose tier has another name; a ladder with other tiers changes ranks without moving anyone."""
    left = np.array(["", *outcome.current_tiers], dtype=object)[outcome.current]
    return left != np.array(["", *outcome.proposed_tiers], dtype=object)[outcome.proposed]


def _matrix(base: Base, outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Customers and cents by rank left and rank reached; rank 0 is `no tier`."""
    shape = (len(outcome.current_tiers) + 1, len(outcome.proposed_tiers) + 1)
    cell = outcome.current * shape[1] + outcome.proposed
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    cents = np.zeros(shape[0] * shape[1], np.int64)
    np.add.at(cents, cell, base.cents)
    return counts, cents.reshape(shape)


def _tier(ladder: Sequence[str], rank: int) -> str:
    return ladder[rank - 1] if rank else "none"


def _money(cents: int) -> Decimal:
    return (Decimal(int(cents)) / 100).quantize(Decimal("0.01"))


def _times(amount: Decimal, rate: Decimal) -> Decimal:
    # Nothing is added to -0, which makes it 0.
    return (amount * rate).quantize(Decimal("0.01")) + 0


def _same(left: str, right: str) -> bool:
    try:
        return Decimal(left) == Decimal(right)
    except ArithmeticError:
        return left == right


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else str(value)
