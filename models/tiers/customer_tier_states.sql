-- One row per as-of date, policy and scored customer: the tier in force, the tier earned by the rules, the machine's
-- counters, and what the day decided. Each day is one step from the latest earlier day that is stored; a replay of
-- customer_tier_inputs gives the same rows.
{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite',
    full_refresh=false,
    on_schema_change='append_new_columns',
    partition_by='as_of_date',
    order_by='(policy, customer_id)',
) }}

-- The parser of the linter does not know names given inside an expression, which tier_transition makes use of.
-- noqa: disable=all
{% set state_names = tier_state_names().split(',') -%}
{% set input_names = ['is_new', 'is_downgrade_day'] + tier_input_names().replace('\n', '').split(',') -%}
{% set stored, step_inputs, step_before, inputs, before, after = {}, {}, {}, {}, {}, {} -%}
{% for name in input_names %}{% do inputs.update({name: 'decided.' ~ name}) %}{% do step_inputs.update({name: 'stepping.' ~ name}) %}{% endfor -%}
{% for name in state_names -%}
{% do stored.update({name: 'ifNull(previous.' ~ name ~ ', ' ~ ('toDate(0)' if name.endswith('_date') or name.endswith('_on') else 'toUInt8(0)') ~ ')'}) -%}
{% do before.update({name: 'decided.before_' ~ name}) %}{% do step_before.update({name: 'stepping.before_' ~ name}) -%}
{% do after.update({name: 'decided.stepped.' ~ loop.index}) -%}
{% endfor -%}

with previous_day as (
    select max(as_of_date) as previous_date from {{ ref('customer_tier_inputs') }} where as_of_date < {{ as_of() }}
),

previous as (
    {% if is_incremental() -%}
    select policy, customer_id, {{ state_names | join(', ') }}
    from {{ this }}
    where as_of_date = (select previous_date from previous_day)
    {%- else -%}
    select
        '' as policy, toUInt64(0) as customer_id, toUInt8(0) as earned_rank, toDate(0) as earned_since_date,
        toDate(0) as upgraded_on, toUInt8(0) as up_count, toUInt8(0) as up_rank, toUInt8(0) as down_count,
        toUInt8(0) as down_rank, toUInt8(0) as tier_rank, toDate(0) as tier_since_date
    where false
    {%- endif %}
),

stepping as (
    select
        inputs.*,
        {{ is_downgrade_day('inputs.downgrade_weekdays', '(select previous_date from previous_day)', as_of()) }} as is_downgrade_day,
        toUInt8(previous.customer_id is null) as is_new,
        {% for name in state_names -%}
        {{ within_ladder(name, stored, 'inputs.lowest_rank') }} as before_{{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('customer_tier_inputs') }} as inputs
    left join previous on inputs.policy = previous.policy and inputs.customer_id = previous.customer_id
    where inputs.as_of_date = {{ as_of() }}
),

decided as (
    select
        stepping.*,
        {{ tier_transition(step_before, step_inputs) }} as stepped
    from stepping
)

select
    decided.as_of_date as as_of_date,
    decided.policy as policy,
    decided.customer_id as customer_id,
    decided.is_new as is_new,
    decided.is_downgrade_day as is_downgrade_day,
    {% for name in state_names -%}
    decided.stepped.{{ loop.index }} as {{ name }},
    {% endfor -%}
    toUInt8(if(decided.is_new = 1, 0, decided.before_tier_rank)) as previous_rank,
    toLowCardinality({{ tier_decision(before, inputs, after) }}) as decision,
    toLowCardinality({{ tier_reason(before, inputs, after) }}) as reason_code,
    toLowCardinality(tupleElement({{ ladder_steps(ladder_of_day()) }}[tier_rank], 2)) as tier,
    decided.is_in_force as is_in_force,
    -- What migration counts: the tier, unless the customer is blocked, closed, or has not ordered for long.
    toLowCardinality(if(decided.standing in ('blocked', 'lapsed'), toString(decided.standing), tier)) as migration_state,
    decided.net_amount_90d as net_amount_90d
from decided
