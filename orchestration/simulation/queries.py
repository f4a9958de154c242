"""Statements of a simulation: what the tier machine would be told under proposed rules, and what it makes of it.

Every formula is a macro that the models use too. Each statement is one SELECT, so that a user who may only read can ask it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from orchestration.macros import macro, render
from orchestration.quality.seed_types import column_types
from orchestration.simulation.rules import Rules, literal, relation
from orchestration.warehouse.settings import Settings

# readonly: the engine itself refuses to write. join_use_nulls: a macro relies on 0 where a left join finds no partner.
ENGINE_SETTINGS: dict[str, object] = {
    "readonly": 2,
    "join_use_nulls": 0,
    "max_bytes_before_external_group_by": 3_000_000_000,
    "max_bytes_before_external_sort": 3_000_000_000,
}
_GATE_MEASURES = ("overdue_days_max", "overdue_amount", "complaint_count_90d", "has_risk_flag")
# Shares of the potential index by the part of the seed potential_weights: version 1, and version 2, in whose index a part is
# the mean of its known shares.
_POTENTIAL = {
    "headroom": ("headroom_share", ("headroom_by_size_share",)),
    "growth": ("growth_share", ("growth_slope_share", "expected_growth_share")),
    "acceptance": ("new_product_acceptance_180d", ("new_product_acceptance_fitted_180d",)),
}
_POTENTIAL_COLUMNS = [column for first, second in _POTENTIAL.values() for column in (first, *second)]


@dataclass(frozen=True)
class Reuse:
    """Which stored numbers of the days hold under the proposed rules too; what does not hold is computed anew.

    behaviour: the components of recency, frequency and monetary value. components: these, and that of potential.
    """

    lifetime_share: bool = False
    behaviour: bool = False
    components: bool = False
    score_share: bool = False
    caps: bool = False
    overrides: bool = False


@dataclass(frozen=True)
class Part:
    """Customers whose hash leaves `number` when divided by `of`."""

    number: int = 0
    of: int = 1

    def holds(self) -> str:
        """Condition on customer_id."""
        return f"cityHash64(customer_id) % {self.of} = {self.number}" if self.of > 1 else "true"


@dataclass(frozen=True)
class Variant:
    """Rules by the name under which the answer shows them, and what is stored for them already."""

    name: str
    rules: Rules
    reuse: Reuse


def days_list(days: Sequence[date]) -> str:
    """Days as a list for IN."""
    return ", ".join(f"toDate('{day}')" for day in days)


def inputs(
    settings: Settings, variant: Variant, days: Sequence[date], part: Part | None = None, with_scores: bool = False
) -> str:
    """SELECT of the machine's inputs of each customer and day (columns of tier_input_names(), with policy = the variant's name).

    with_scores: also total score, ranks, shares and the tier that each criterion reaches.
    """
    rules, reuse, part = variant.rules, variant.reuse, part or Part()
    row = rules.policy_row
    needs_score = with_scores or rules.candidate_rule == "score"
    needs_components = needs_score and not reuse.components
    compares = not reuse.lifetime_share or (needs_score and not (reuse.score_share and reuse.components))
    # Who is compared with whom.
    group = "as_of_date, region_code" if row["percentile_scope"] == "region" else "as_of_date"
    # Customers are compared with all others, so that a part of them is taken after that.
    early, late = ("true", part.holds()) if compares else (part.holds(), "true")
    steps = ["base AS (" + _base(settings, days, early, needs_components) + ")"]
    source = "base"
    if needs_score:
        steps += _score_steps(rules, reuse)
        source = "scored"
    total = "total_score" if needs_score else "0."
    top_share = (
        "stored_lifetime_value_top_share" if reuse.lifetime_share else render("midrank", "lifetime_value desc", group)
    )
    score_share = "1."
    if needs_score:
        score_share = (
            "stored_score_top_share"
            if reuse.score_share and reuse.components
            else render("midrank", "total_score desc", group)
        )
    score_rank = "toUInt32(rank() OVER (PARTITION BY as_of_date ORDER BY total_score DESC))" if with_scores else "0"
    steps.append(
        f"ranked AS (SELECT *, {total} AS score, {top_share} AS lifetime_value_top_share, {score_share} AS score_top_share, "
        f"{score_rank} AS score_rank FROM {source})"
    )
    steps.append(f"criteria AS ({_criteria(rules, late, with_scores)})")
    return f"WITH {', '.join(steps)} {_machine_inputs(settings, variant, days, with_scores)}"


def _base(settings: Settings, days: Sequence[date], where: str, with_potential: bool) -> str:
    """Stored measures of the days; the mart of features is read for what the mart of tiers does not have."""
    marts, chosen = settings.database("marts"), days_list(days)
    # Words of a few kinds as numbers of a dictionary: windows move them around once per component.
    history = (
        "SELECT as_of_date, customer_id, toLowCardinality(toString(region_code)) AS region_code, "
        "toLowCardinality(toString(customer_status)) AS customer_status, "
        "first_order_date, days_since_last_order, orders_per_month, order_count AS order_count_90d, net_amount_90d, "
        "average_order_value AS average_order_value_90d, lifetime_value, "
        "lifetime_value_top_share AS stored_lifetime_value_top_share, score_top_share AS stored_score_top_share, "
        "r_score AS stored_r_score, f_score AS stored_f_score, m_score AS stored_m_score, p_score AS stored_p_score, "
        "cap_rank AS stored_cap_rank, override_rank AS stored_override_rank "
        f"FROM {marts}.customer_tier_history WHERE as_of_date IN ({chosen}) AND {where}"
    )
    if not with_potential:
        return history
    columns = [*_POTENTIAL_COLUMNS, "potential_version"]
    return (
        f"SELECT tiers.*, {', '.join(f'features.{column} AS {column}' for column in columns)} FROM ({history}) AS tiers "
        f"INNER JOIN (SELECT as_of_date, customer_id, {', '.join(columns)} FROM {marts}.customer_features "
        f"WHERE as_of_date IN ({chosen}) AND {where}) AS features USING (as_of_date, customer_id)"
    )


def _score_steps(rules: Rules, reuse: Reuse) -> list[str]:
    weights = ", ".join(f"sumIf(weight, component = '{name}')" for name in "rfmp")
    # One row of rules is a tuple with the names of its columns: a constant, where a join would write it beside every customer.
    weight_row = (
        f"(SELECT CAST(tuple({weights}) AS Tuple({', '.join(f'{name}_weight Float64' for name in 'rfmp')})) "
        f"FROM {relation('score_weights', rules.weights)})"
    )
    stored = [f"stored_{name}_score AS {name}_score" for name in "rfmp"]
    normalisation = literal(rules.models[0]["normalisation"])
    if reuse.components:
        steps = [f"components AS (SELECT *, {', '.join(stored)} FROM base)"]
    elif reuse.behaviour:
        potential = render("potential_score", "as_of_date", normalisation)
        steps = [
            f"score_inputs AS (SELECT *, {_potential_index(rules)} AS potential FROM base)",
            f"components AS (SELECT *, {', '.join(stored[:3])}, {potential} AS p_score FROM score_inputs)",
        ]
    else:
        steps = [
            f"score_inputs AS (SELECT features.*, {render('score_inputs', 'features', 'models')}, "
            f"{_potential_index(rules)} AS potential FROM (SELECT *, {_model_row(rules)} AS models FROM base) AS features)",
            f"components AS (SELECT *, {render('score_components', 'as_of_date', normalisation)} FROM score_inputs)",
        ]
    return [
        *steps,
        f"scored AS (SELECT components.*, {render('score_contributions', 'weights')} "
        f"FROM (SELECT *, {weight_row} AS weights FROM components) AS components)",
    ]


def _model_row(rules: Rules) -> str:
    types = column_types("scoring_models")
    structure = ", ".join(f"{name} {kind}" for name, kind in types.items())
    return f"(SELECT CAST(tuple({', '.join(types)}) AS Tuple({structure})) FROM {relation('scoring_models', rules.models)})"


def _potential_index(rules: Rules) -> str:
    """As predictive/potential.py and, on days that version 2 served, potential_parts.py: the mean of the known parts, weighted.

    Null when none is known.
    """
    weights = {row["part"]: f"{Decimal(row['weight']):f}" for row in rules.potential}
    total, known = [], []
    for part, (first, second) in _POTENTIAL.items():
        means = [f"({' + '.join(second)}) / {len(second)}", *second]
        share = f"if(ifNull(potential_version = 2, 0), coalesce({', '.join(means)}), {first})"
        total.append(f"ifNull({weights[part]} * {share}, 0.)")
        known.append(f"if({share} IS NULL, 0., {weights[part]})")
    return f"(({' + '.join(total)}) / nullIf({' + '.join(known)}, 0))"


def _criteria(rules: Rules, where: str, with_scores: bool) -> str:
    """Ranks that the measures reach. The ladder is written into the statement: no row carries it, which is what makes this fast."""
    row = rules.policy_row
    band = f"{Decimal(row['criteria_band']):f}"
    by_score = row["candidate_rule"] == "score"
    criteria = {
        "frequency": ("at_least", "orders_per_month", "minimum_orders_per_month"),
        "order_value": ("at_least", "average_order_value_90d", "minimum_average_order_value"),
        "lifetime_value": ("at_most", "lifetime_value_top_share", "maximum_lifetime_value_top_share"),
        "score_tier": ("at_most", "score_top_share", "maximum_score_top_share"),
    }
    steps = sorted(rules.standards, key=lambda step: int(step["tier_rank"]))
    columns = []
    for kind, margin in (("candidate", "0"), ("strict", band), ("lenient", f"(-{band})")):
        names = {}
        for name, (reaches, measure, column) in criteria.items():
            # A measure that the rule does not look at is compared only where its own tier is asked for.
            if (name == "score_tier") != by_score and not (with_scores and kind == "candidate"):
                continue
            names[name] = f"{kind}_{name}_rank"
            bounds = [f"{Decimal(step[column]):f}" for step in steps]
            columns.append(f"{render('criterion_rank', macro(reaches), measure, bounds, margin)} AS {names[name]}")
        three = [names.get(name, "") for name in ("frequency", "order_value", "lifetime_value")]
        rank = names["score_tier"] if by_score else render("kth_best", *three, int(row["required_criteria"]))
        columns.append(f"toUInt8({rank}) AS {kind}_rank")
    return f"SELECT *, {', '.join(columns)} FROM ranked WHERE {where}"


def _machine_inputs(settings: Settings, variant: Variant, days: Sequence[date], with_scores: bool) -> str:
    rules, reuse = variant.rules, variant.reuse
    policy = _policy(rules)
    standing = render(
        "standing",
        "customer_status",
        "days_since_last_order",
        "dateDiff('day', first_order_date, as_of_date)",
        policy,
    )
    cap, override, joins = "stored_cap_rank", "stored_override_rank", ""
    if not rules.gates:
        cap = "1"
    elif not reuse.caps:
        cap = "greatest(caps.cap_rank, 1)"
        joins += f" LEFT JOIN {_caps(settings, rules, days)} AS caps USING (as_of_date, customer_id)"
    if not reuse.overrides:
        override = "override_rank"
        joins += f" LEFT JOIN {_overrides(settings, rules, days)} AS overrides USING (as_of_date, customer_id)"
    scores = (
        ", score AS total_score, r_score, f_score, m_score, p_score, score_rank, score_top_share, "
        "lifetime_value_top_share, lifetime_value, candidate_frequency_rank AS frequency_rank, "
        "candidate_order_value_rank AS order_value_rank, candidate_lifetime_value_rank AS lifetime_value_rank, "
        "candidate_score_tier_rank AS score_tier_rank"
        if with_scores
        else ""
    )
    return (
        f"SELECT {literal(variant.name)} AS policy, customer_id, as_of_date, candidate_rank, strict_rank, lenient_rank, "
        f"{standing} AS standing, {render('treatment', 'standing', policy)} AS treatment, "
        f"toUInt8({cap}) AS cap_rank, toUInt8({override}) AS override_rank, {_fixed(rules)}{scores} FROM criteria{joins}"
    )


def _policy(rules: Rules) -> dict[str, str]:
    """Columns of the policy as typed literals."""
    types = column_types("tier_policy")
    return {
        name: f"to{types[name]}({value})" if types[name].startswith("UInt") else literal(value)
        for name, value in rules.policy_row.items()
        if name in types
    }


def _fixed(rules: Rules) -> str:
    """Of the machine's inputs those that are the same for every customer, as columns."""
    policy = _policy(rules)
    names = (
        "confirm_up_decisions",
        "confirm_down_decisions",
        "maximum_steps_down",
        "minimum_dwell_days",
        "grace_days_after_upgrade",
    )
    columns = [f"toUInt8({len(rules.standards)}) AS lowest_rank", *(f"{policy[name]} AS {name}" for name in names)]
    weekdays = render("weekday_mask", literal(rules.policy_row["downgrade_weekdays"]))
    return ", ".join([*columns, f"{weekdays} AS downgrade_weekdays"])


def _caps(settings: Settings, rules: Rules, days: Sequence[date]) -> str:
    """As closed_gates and customer_tier_inputs: the lowest tier of the gates that are closed, where any is."""
    ranks = {row["tier"]: row["tier_rank"] for row in rules.standards}
    caps = ["1"]
    for row in rules.gates:
        # A measure that nobody knows closes no gate.
        if row["measure"] in _GATE_MEASURES:
            measure = render("gate_measure", row["measure"])
            closed = render("gate_is_closed", measure, f"{Decimal(row['threshold']):f}")
            caps.append(f"if(ifNull({closed}, 0), {int(ranks[row['best_tier']])}, 1)")
    return (
        f"(SELECT as_of_date, customer_id, toUInt8(greatest({', '.join(caps)})) AS cap_rank "
        f"FROM {settings.database('marts')}.customer_features WHERE as_of_date IN ({days_list(days)}) AND cap_rank > 1)"
    )


def _overrides(settings: Settings, rules: Rules, days: Sequence[date]) -> str:
    """Override in force per customer and day, as the model tier_overrides, from the entries known at the end of each day."""
    days_without_end = rules.policy_row["override_days_without_end"]
    end = render("override_valid_to", "entries", days_without_end)
    validity = render("override_validity", "standards.tier_rank > 0", "entries.input_reason")
    cutoff = f"toDateTime64(days.as_of_date + 1, 3, {literal(settings.zone)})"
    return (
        "(SELECT days.as_of_date AS as_of_date, entries.customer_id AS customer_id, "
        "argMax(standards.tier_rank, (entries.entered_at, entries.input_id)) AS override_rank "
        f"FROM {settings.database('facts')}.fct_manager_inputs AS entries "
        f"CROSS JOIN (SELECT arrayJoin([{days_list(days)}]) AS as_of_date) AS days "
        f"LEFT JOIN {relation('tier_standards', rules.standards)} AS standards ON entries.input_value = standards.tier "
        f"WHERE entries.known_from < {cutoff} AND entries.known_to >= {cutoff} AND entries.input_type = 'tier_override' "
        f"AND entries.valid_from <= days.as_of_date AND {end} >= days.as_of_date AND {validity} = 'in_force' "
        "GROUP BY as_of_date, customer_id)"
    )


def replayed(
    settings: Settings,
    variants: Sequence[tuple[Variant, str]],
    days: Sequence[date],
    start_date: date | None,
    part: Part,
    tiers_only: bool = False,
) -> str:
    """Relation of all states of some variants, each given with the SELECT of its inputs, from the states stored on start_date.

    tiers_only: histories as stability_totals reads them, which cost a fraction of the states.
    """
    states_or_tiers = "replayed_tiers" if tiers_only else "replayed_states"
    relation_text = "(" + " UNION ALL ".join(text for _, text in variants) + ")"
    all_days = " UNION ALL ".join(
        f"SELECT {literal(variant.name)} AS policy, arrayJoin([{days_list(days)}]) AS as_of_date, {_fixed(variant.rules)}"
        for variant, _ in variants
    )
    if start_date is None:
        return render(states_or_tiers, relation_text, days=f"({all_days})")
    start = " UNION ALL ".join(_stored_states(settings, variant, start_date, part) for variant, _ in variants)
    return render(states_or_tiers, relation_text, f"({start})", f"toDate('{start_date}')", f"({all_days})")


def stepped(settings: Settings, variant: Variant, day: date, start_date: date | None) -> str:
    """SELECT of customer_id and tier_rank after one day of a variant, from the states stored on start_date."""
    start = f"({_stored_states(settings, variant, start_date, Part())})" if start_date else None
    relation_text = f"({inputs(settings, variant, [day])})"
    return "SELECT customer_id, tier_rank FROM " + render(
        "stepped_tiers", relation_text, start, start and f"toDate('{start_date}')"
    )


def _stored_states(settings: Settings, variant: Variant, day: date, part: Part) -> str:
    return (
        f"SELECT {literal(variant.name)} AS policy, customer_id, {render('tier_state_names')} "
        f"FROM {settings.database('marts')}.policy_tiers AS stored "
        f"WHERE stored.as_of_date = toDate('{day}') AND stored.policy = {literal(variant.rules.policy)} AND {part.holds()}"
    )


def stored_history(settings: Settings, name: str, days: Sequence[date], part: Part) -> str:
    """Relation of the history as it was decided, as a variant for stability_totals."""
    rows = (
        f"SELECT {literal(name)} AS variant, customer_id, as_of_date, tier_rank, candidate_rank "
        f"FROM {settings.database('marts')}.customer_tier_history WHERE as_of_date IN ({days_list(days)}) AND {part.holds()}"
    )
    return render("stability_histories", f"({rows})")


def totals(histories: Sequence[str], days: Sequence[date]) -> str:
    """SELECT of the sums of relations of histories, one row per variant, with each customer's tier on the last day."""
    first, last = f"toDate('{days[0]}')", f"toDate('{days[-1]}')"
    rows = " UNION ALL ".join(f"SELECT variant, customer_id, days FROM {one}" for one in histories)
    return "SELECT * FROM " + render("stability_totals", f"({rows})", first, last, True)


def measures(rows: Sequence[dict[str, Any]]) -> str:
    """SELECT of the stability measures that follow from rows of `totals`, of one or of several parts."""
    counts = render("stability_count_names").strip().split(",")
    maps = {"completed_dwells": "UInt32", "first_counts": "UInt8", "last_counts": "UInt8"}
    structure = ["variant String", "first_date Date", "last_date Date"]
    structure += [f"{name} UInt64" for name in counts]
    structure += [f"{name} Tuple(Array({kind}), Array(UInt64))" for name, kind in maps.items()]
    lines = []
    for row in rows:
        fields = [literal(str(row[name])) for name in ("variant", "first_date", "last_date", *counts)]
        for name in maps:
            keys, values = row[name]
            fields.append(f"({[int(key) for key in keys]}, {[int(value) for value in values]})")
        lines.append(f"({', '.join(fields)})")
    parts = f"(SELECT * FROM values({literal(', '.join(structure))}, {', '.join(lines)}))"
    return "SELECT * FROM " + render("stability_measures", render("added_stability_totals", parts))
