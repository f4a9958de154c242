-- One row per customer and gate that is closed on the as-of date: the measure is more than the gate's threshold, so the tier
-- is at most `best_tier`. A measure that is not known never closes a gate.
{{ config(order_by='(customer_id, gate)') }}

with measured as (
    select
        features.customer_id as customer_id,
        arrayJoin({{ gate_measures(
            'features.overdue_days_max', 'features.overdue_amount', 'features.complaint_count_90d', 'risks.has_risk_flag'
        ) }}) as measured,
        measured.1 as measure,
        measured.2 as measured_value
    from {{ ref('feature_snapshot') }} as features
    left join {{ ref('customer_risk_features') }} as risks on features.customer_id = risks.customer_id
    where measured_value > 0
)

select
    {{ as_of() }} as as_of_date,
    measured.customer_id as customer_id,
    gates.gate as gate,
    gates.measure as measure,
    assumeNotNull(measured.measured_value) as measured_value,
    gates.threshold as threshold,
    gates.best_tier as best_tier,
    standards.tier_rank as best_rank
from measured
inner join {{ configured('tier_gates') }} as gates on measured.measure = gates.measure
inner join {{ configured('tier_standards') }} as standards on gates.best_tier = standards.tier
where {{ gate_is_closed('measured.measured_value', 'gates.threshold') }}
