-- One row per as-of date, build and variant of the policy in force: what the tiers of the 52 weeks that end on the day would
-- have been, and how still they would have held. Made on the first stored day of each month, unless it is the first of all, with
-- the ladder of that day, for up to about 4,000 customers chosen by a hash of their id.
{{ config(order_by='variant') }}

-- The parser of the linter does not know names given inside an expression.
-- noqa: disable=all

{% if starts_period('toStartOfMonth', ref('customer_tier_inputs'), first_too=false) -%}
with weeks as (
    select * from {{ weeks_of_a_year(ref('customer_tier_inputs')) }}
),

sample as (
    select greatest(1, intDiv(count(), 2000)) as one_of
    from {{ ref('customer_tier_inputs') }}
    where as_of_date = {{ as_of() }} and is_in_force = 1
),

measured as (
    select
        as_of_date,
        customer_id,
        candidate_rule,
        required_criteria,
        {{ ladder_steps(configured('tier_standards')) }} as steps,
        toFloat64(orders_per_month) as orders_per_month,
        average_order_value,
        lifetime_value_top_share,
        score_top_share
    from {{ ref('customer_tier_snapshots') }}
    where as_of_date in (select as_of_date from weeks)
        and ((as_of_date = {{ as_of() }} and build_id = {{ build_id() }}) or (as_of_date < {{ as_of() }} and {{ is_published_so_far() }}))
        and cityHash64(customer_id) % (select one_of from sample) = 0
),

policy as (
    select * from {{ configured('tier_policy') }} where is_in_force = 1
),

-- The policy as it stands, and a grid around it.
variants as (
    select
        'in force' as variant,
        toFloat64(criteria_band) as criteria_band,
        confirm_up_decisions,
        confirm_down_decisions,
        maximum_steps_down,
        minimum_dwell_days,
        grace_days_after_upgrade
    from policy
    union all
    select
        concat('band ', toString(band), ', up ', toString(up), ', down ', toString(down), ', hold ', toString(hold)) as variant,
        band as criteria_band,
        up as confirm_up_decisions,
        down as confirm_down_decisions,
        maximum_steps_down,
        hold as minimum_dwell_days,
        hold as grace_days_after_upgrade
    from (
        select
            arrayJoin([0., 0.1, 0.2]) as band,
            toUInt8(arrayJoin([1, 2])) as up,
            toUInt8(arrayJoin([1, 2, 3])) as down,
            toUInt16(arrayJoin([0, 28, 56])) as hold,
            maximum_steps_down
        from policy
    )
),

bands as (
    select
        measured.as_of_date as as_of_date,
        measured.customer_id as customer_id,
        band.criteria_band as criteria_band,
        {% set measures = {
            'orders_per_month': 'measured.orders_per_month', 'average_order_value': 'measured.average_order_value',
            'lifetime_value_top_share': 'measured.lifetime_value_top_share', 'score_top_share': 'measured.score_top_share',
        } -%}
        {{ policy_rank(criterion_ranks(measures, 'measured.steps', '0'), 'measured.candidate_rule', 'measured.required_criteria') }} as candidate_rank,
        {{ policy_rank(criterion_ranks(measures, 'measured.steps', 'band.criteria_band'), 'measured.candidate_rule', 'measured.required_criteria') }} as strict_rank,
        {{ policy_rank(criterion_ranks(measures, 'measured.steps', '(-band.criteria_band)'), 'measured.candidate_rule', 'measured.required_criteria') }} as lenient_rank,
        toUInt8(length(measured.steps)) as lowest_rank
    from (select distinct criteria_band from variants) as band
    cross join measured
),

decided_days as (
    select
        bands.*,
        toString(inputs.standing) as standing,
        toString(inputs.treatment) as treatment,
        inputs.cap_rank as cap_rank,
        inputs.override_rank as override_rank,
        inputs.downgrade_weekdays as downgrade_weekdays
    from bands
    inner join (
        select as_of_date, customer_id, standing, treatment, cap_rank, override_rank, downgrade_weekdays
        from {{ ref('customer_tier_inputs') }}
        where is_in_force = 1 and as_of_date in (select as_of_date from weeks)
    ) as inputs on bands.as_of_date = inputs.as_of_date and bands.customer_id = inputs.customer_id
),

grid as (
    select
        variants.variant as policy,
        decided_days.* except (criteria_band),
        variants.confirm_up_decisions as confirm_up_decisions,
        variants.confirm_down_decisions as confirm_down_decisions,
        variants.maximum_steps_down as maximum_steps_down,
        variants.minimum_dwell_days as minimum_dwell_days,
        variants.grace_days_after_upgrade as grace_days_after_upgrade
    from decided_days
    inner join variants on decided_days.criteria_band = variants.criteria_band
),

-- Rules are the same for all customers of a variant and day.
grid_days as (
    select
        variants.variant as policy,
        ladders.*,
        variants.* except (variant, criteria_band)
    from (
        select as_of_date, any(lowest_rank) as lowest_rank, any(downgrade_weekdays) as downgrade_weekdays
        from decided_days
        group by as_of_date
    ) as ladders
    cross join variants
),

measured_variants as (
    select
        stability.*,
        variants.criteria_band as criteria_band,
        variants.confirm_up_decisions as confirm_up_decisions,
        variants.confirm_down_decisions as confirm_down_decisions,
        variants.minimum_dwell_days as minimum_dwell_days,
        variants.grace_days_after_upgrade as grace_days_after_upgrade
    from {{ tier_stability(replayed_tiers('grid', days='grid_days')) }} as stability
    inner join variants on stability.variant = variants.variant
)

select
    {{ as_of() }} as as_of_date,
    {{ build_id() }} as build_id,
    (select count() from weeks) as week_count,
    *,
    -- On the frontier: no other variant undoes less and agrees at least as much, or undoes as little and agrees more.
    toUInt8(reversal_rate_28d is not null and not arrayExists(
        other -> (other.1 < reversal_rate_28d and other.2 >= agreement_rate)
            or (other.1 <= reversal_rate_28d and other.2 > agreement_rate),
        groupArrayIf((assumeNotNull(reversal_rate_28d), agreement_rate), reversal_rate_28d is not null) over ()
    )) as is_on_frontier
from measured_variants
{%- else -%}
{{ no_rows_for('tier_policy_frontier') }}
{%- endif %}
