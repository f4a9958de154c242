-- One row per as-of date, build and policy: how still its tiers held in the 52 weeks that end on the day. Made on the first
-- stored day of each week, from the last stored day of each week before it.
{{ config(order_by='policy') }}

{% if starts_period('toMonday', ref('customer_tier_states'), first_too=true) -%}
with weeks as (
    select * from {{ weeks_of_a_year(ref('customer_tier_states')) }}
),

history as (
    select
        cast(states.policy as String) as variant,
        states.customer_id as customer_id,
        states.as_of_date as as_of_date,
        states.tier_rank as tier_rank,
        inputs.candidate_rank as candidate_rank,
        inputs.is_in_force as is_in_force
    from {{ ref('customer_tier_states') }} as states
    inner join {{ ref('customer_tier_inputs') }} as inputs
        on states.as_of_date = inputs.as_of_date and states.policy = inputs.policy and states.customer_id = inputs.customer_id
    where states.as_of_date in (select as_of_date from weeks) and inputs.as_of_date in (select as_of_date from weeks)
)

select
    {{ as_of() }} as as_of_date,
    {{ build_id() }} as build_id,
    toLowCardinality(stability.variant) as policy,
    toUInt8(stability.variant in (select policy from {{ ref('scoring_configuration') }})) as is_in_force,
    (select count() from weeks) as week_count,
    stability.* except (variant)
from {{ tier_stability(stability_histories('history')) }} as stability
{%- else -%}
{{ no_rows_for('tier_stability') }}
{%- endif %}
