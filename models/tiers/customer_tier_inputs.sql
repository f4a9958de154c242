-- One row per as-of date, policy and scored customer: all that the tier machine needs to know of the day, the policy's rules
-- included, so that any history can be replayed from this table alone. See docs/state_machine.md.
{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite',
    full_refresh=false,
    on_schema_change='append_new_columns',
    partition_by='as_of_date',
    order_by='(policy, customer_id)',
) }}

with gates as (
    select customer_id, max(best_rank) as cap_rank from {{ ref('closed_gates') }} group by customer_id
),

overrides as (
    select customer_id, assumeNotNull(tier_rank) as override_rank from {{ ref('tier_overrides') }} where override_status = 'in_force'
)

select
    candidates.as_of_date as as_of_date,
    toLowCardinality(candidates.policy) as policy,
    candidates.customer_id as customer_id,
    candidates.candidate_rank as candidate_rank,
    candidates.strict_rank as strict_rank,
    candidates.lenient_rank as lenient_rank,
    {{ standing(
        'features.customer_status', 'features.days_since_last_order',
        'dateDiff(\'day\', features.first_order_date, candidates.as_of_date)', 'policies'
    ) }} as standing,
    {{ treatment('standing', 'policies') }} as treatment,
    toUInt8(coalesce(gates.cap_rank, 1)) as cap_rank,
    toUInt8(coalesce(overrides.override_rank, 0)) as override_rank,
    candidates.lowest_rank as lowest_rank,
    policies.confirm_up_decisions as confirm_up_decisions,
    policies.confirm_down_decisions as confirm_down_decisions,
    policies.maximum_steps_down as maximum_steps_down,
    policies.minimum_dwell_days as minimum_dwell_days,
    policies.grace_days_after_upgrade as grace_days_after_upgrade,
    {{ weekday_mask('policies.downgrade_weekdays') }} as downgrade_weekdays,
    policies.is_in_force as is_in_force,
    features.net_amount_90d as net_amount_90d
from {{ ref('candidate_tiers') }} as candidates
inner join {{ configured('tier_policy') }} as policies on candidates.policy = policies.policy
inner join {{ ref('feature_snapshot') }} as features on candidates.customer_id = features.customer_id
left join gates on candidates.customer_id = gates.customer_id
left join overrides on candidates.customer_id = overrides.customer_id
