-- One row per tier that an account manager has set by hand and that holds on the as-of date, with its author, reason and
-- end. Of several for one customer the one entered last is in force, then the one with the higher id; the others are
-- superseded. One without a reason, or for a tier that the ladder does not have, does not count.
{{ config(order_by='(customer_id, input_id)') }}

with entries as (
    select
        entries.input_id as input_id,
        entries.customer_id as customer_id,
        entries.manager_id as manager_id,
        entries.input_value as tier,
        standards.tier_rank as tier_rank,
        entries.input_reason as override_reason,
        entries.valid_from as valid_from,
        {{ override_valid_to('entries', 'policies.override_days_without_end') }} as valid_to,
        entries.entered_at as entered_at,
        {{ override_validity('standards.tier is not null', 'entries.input_reason') }} as validity
    from {{ ref('fct_manager_inputs') }} as entries
    cross join {{ ref('scoring_configuration') }} as policies
    left join {{ configured('tier_standards') }} as standards on entries.input_value = standards.tier
    where {{ known_at_cutoff('entries') }} and entries.input_type = 'tier_override' and entries.valid_from <= {{ as_of() }}
),

ordered as (
    select
        *,
        first_value(input_id) over (
            partition by customer_id, validity order by entered_at desc, input_id desc
            rows between unbounded preceding and unbounded following
        ) as latest_input_id
    from entries
    where valid_to >= {{ as_of() }}
)

select
    {{ as_of() }} as as_of_date,
    customer_id,
    input_id,
    manager_id,
    tier,
    tier_rank,
    override_reason,
    valid_from,
    valid_to,
    entered_at,
    if(validity = 'in_force' and input_id != latest_input_id, 'superseded', validity) as override_status,
    if(override_status = 'superseded', toNullable(latest_input_id), null) as superseded_by_input_id
from ordered
