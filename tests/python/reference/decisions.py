"""From the measures of a day to the inputs of the machine, and the tier in force: gates, overrides, treatments."""

from datetime import date, timedelta

import pandas as pd

from .configuration import Configuration, Policy
from .facts import Facts
from .machine import Decided, Inputs, State, step


def decide_day(
    facts: Facts,
    features: pd.DataFrame,
    tiers: pd.DataFrame,
    configuration: Configuration,
    before: dict[int, State],
    previous_day: int | None,
) -> dict[int, Decided]:
    """What the machine decides for every customer of the day. `before`: states of the stored day before."""
    policy = configuration.policy
    caps = _caps(facts, features, configuration)
    overrides = _overrides(facts, configuration)
    statuses = facts.customers["status"].reindex(features.index).fillna("active")
    decided = {}
    for customer in features.index:
        standing, treatment = _treatment(policy, statuses[customer], features.loc[customer])
        inputs = Inputs(
            day=facts.day,
            candidate=int(tiers.loc[customer, "candidate_rank"]),
            strict=int(tiers.loc[customer, "strict_rank"]),
            lenient=int(tiers.loc[customer, "lenient_rank"]),
            standing=standing,
            treatment=treatment,
            cap=caps[customer],
            override=overrides.get(customer, 0),
            lowest=len(configuration.ladder),
            confirm_up=policy.confirm_up_decisions,
            confirm_down=policy.confirm_down_decisions,
            steps_down=policy.maximum_steps_down,
            dwell_days=policy.minimum_dwell_days,
            grace_days=policy.grace_days_after_upgrade,
            weekdays=policy.downgrade_weekdays,
        )
        decided[customer] = step(before.get(customer), inputs, previous_day)
    return decided


def decision_columns(decided: dict[int, Decided], configuration: Configuration) -> pd.DataFrame:
    """The decisions with the names that the marts give them, indexed by customer_id."""
    names = [tier.name for tier in configuration.ladder]
    rows = {
        customer: {
            "tier": names[day.state.tier - 1],
            "tier_rank": day.state.tier,
            "earned_tier": names[day.state.earned - 1],
            "previous_tier": names[day.previous_tier - 1] if day.previous_tier else None,
            "tier_since_date": date(1970, 1, 1) + timedelta(days=day.state.tier_since),
            "up_count": day.state.up_count,
            "down_count": day.state.down_count,
            "decision": day.decision,
            "reason_code": day.reason,
        }
        for customer, day in decided.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("customer_id")


def _treatment(policy: Policy, status: str, features: pd.Series) -> tuple[str, str]:
    if status in ("blocked", "closed"):
        return "blocked", policy.blocked_treatment
    if features["days_since_last_order"] > policy.lapsed_after_days:
        return "lapsed", policy.lapsed_treatment
    if features["days_since_first_order"] < policy.new_customer_days:
        return "new", policy.new_customer_treatment
    return "active", "decide"


def _caps(facts: Facts, features: pd.DataFrame, configuration: Configuration) -> dict[int, int]:
    """Best rank that the closed gates leave to each customer; what is not known closes none."""
    ranks = {tier.name: rank for rank, tier in enumerate(configuration.ladder, start=1)}
    reports = facts.credit_reports[facts.credit_reports["reported_on"] <= facts.day]
    latest = reports.sort_values(["reported_on", "report_id"]).drop_duplicates("customer_id", keep="last")
    flags = latest.set_index("customer_id")["has_risk_flag"].reindex(features.index)
    measures = {
        "overdue_days_max": features["overdue_days_max"],
        "overdue_amount": features["overdue_amount"],
        "complaint_count_90d": features["complaint_count_90d"],
        "has_risk_flag": flags,
    }
    caps = dict.fromkeys(features.index, 1)
    for gate in configuration.gates:
        for customer, value in measures[gate.measure].items():
            if not pd.isna(value) and float(value) > gate.threshold:
                caps[customer] = max(caps[customer], ranks[gate.best_tier])
    return caps


def _overrides(facts: Facts, configuration: Configuration) -> dict[int, int]:
    """Rank of the override in force per customer: of several the one entered last, then the one with the higher id."""
    ranks = {tier.name: rank for rank, tier in enumerate(configuration.ladder, start=1)}
    entries = facts.manager_inputs[facts.manager_inputs["input_type"] == "tier_override"]
    chosen: dict[int, int] = {}
    for _, entry in entries.sort_values(["entered_at", "input_id"]).iterrows():
        ends = entry["valid_to"]
        if pd.isna(ends):
            ends = entry["valid_from"] + configuration.policy.override_days_without_end - 1
        stated = isinstance(entry["reason"], str) and entry["reason"].strip(" ") != ""
        if entry["valid_from"] <= facts.day <= ends and entry["value"] in ranks and stated:
            chosen[int(entry["customer_id"])] = ranks[entry["value"]]
    return chosen
