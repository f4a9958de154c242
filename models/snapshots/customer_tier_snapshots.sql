-- One row per scored customer, as-of date and build: tier, criteria, score and contributions under the policy in force.
-- Marts show published builds. When an earlier day was added or restated, the days after it are decided again: their
-- measures are carried over from the build that is published, only what the tier machine decided is new.
{{ config(order_by='customer_id', query_settings=branches_for_all_rows()) }}

{# One policy is in force: its rows alone are joined, by customer. #}
{% if is_carried() -%}
{% set policy_in_force = '(select any(policy) from ' ~ this ~ ' where as_of_date = ' ~ as_of() ~ ' and build_id = ' ~ carried_build_id() ~ ')' -%}
{%- else -%}
{% set in_force = '(select {} from ' ~ ref('scoring_configuration') ~ ')' -%}
{% set policy_in_force = in_force.format('policy') -%}
{%- endif %}

with measured as (
    {% if is_carried() -%}
    select
        stored.* except (
            build_id, tier, tier_rank, tier_label, earned_tier, previous_tier, tier_since_date, decision, decision_reason,
            decision_reason_zh, reason_code, earned_since_date, upgraded_on, up_count, up_rank, down_count, down_rank, strict_rank,
            lenient_rank
        ),
        ranks.within_strict as strict_rank,
        ranks.within_lenient as lenient_rank
    from {{ this }} as stored
    inner join (
        -- Days that an earlier version stored have these ranks here alone. Names of their own, so that stored.* stays what it is.
        select customer_id as of_customer, strict_rank as within_strict, lenient_rank as within_lenient
        from {{ ref('customer_tier_inputs') }}
        where as_of_date = {{ as_of() }} and policy = {{ policy_in_force }}
    ) as ranks on stored.customer_id = ranks.of_customer
    where stored.as_of_date = {{ as_of() }} and stored.build_id = {{ carried_build_id() }}
    {%- else -%}
    select
        candidates.as_of_date as as_of_date,
        candidates.customer_id as customer_id,
        features.customer_name as customer_name,
        features.business_type as business_type,
        features.region_code as region_code,
        features.city as city,
        features.account_manager_id as account_manager_id,
        features.customer_status as customer_status,
        features.first_order_date as first_order_date,
        toLowCardinality(candidates.policy) as policy,
        toLowCardinality(candidates.candidate_rule) as candidate_rule,
        candidates.required_criteria as required_criteria,
        toLowCardinality(candidates.candidate_tier) as candidate_tier,
        candidates.candidate_rank as candidate_rank,
        candidates.strict_rank as strict_rank,
        candidates.lenient_rank as lenient_rank,
        toLowCardinality(candidates.frequency_tier) as frequency_tier,
        toLowCardinality(candidates.order_value_tier) as order_value_tier,
        toLowCardinality(candidates.lifetime_value_tier) as lifetime_value_tier,
        toLowCardinality(candidates.score_tier) as score_tier,
        candidates.orders_per_month as orders_per_month,
        candidates.average_order_value as average_order_value,
        cast(candidates.lifetime_value as Decimal(18, 2)) as lifetime_value,
        candidates.predicted_margin_365d as predicted_margin_365d,
        toLowCardinality(candidates.lifetime_value_model) as lifetime_value_model,
        candidates.is_lifetime_value_from_revenue as is_lifetime_value_from_revenue,
        candidates.lifetime_value_top_share as lifetime_value_top_share,
        candidates.score_top_share as score_top_share,
        features.days_since_last_order as days_since_last_order,
        features.order_count_90d as order_count,
        features.net_amount_90d as net_amount_90d,
        features.gross_margin_90d as gross_margin_90d,
        toLowCardinality(scores.scoring_model) as scoring_model,
        scores.r_score as r_score,
        scores.f_score as f_score,
        scores.m_score as m_score,
        scores.p_score as p_score,
        scores.r_contribution as r_contribution,
        scores.f_contribution as f_contribution,
        scores.m_contribution as m_contribution,
        scores.p_contribution as p_contribution,
        scores.total_score as total_score,
        scores.score_rank as score_rank,
        toLowCardinality(toString(inputs.standing)) as standing,
        toLowCardinality(toString(inputs.treatment)) as treatment,
        inputs.cap_rank as cap_rank,
        inputs.override_rank as override_rank,
        inputs.confirm_up_decisions as confirm_up_decisions,
        inputs.confirm_down_decisions as confirm_down_decisions,
        gates.closed_gates as closed_gates,
        overrides.manager_id as override_manager_id,
        overrides.override_reason as override_reason,
        overrides.valid_to as override_valid_to,
        toLowCardinality(assumeNotNull({{ in_force.format('config_version') }})) as config_version
    from (
        select * from {{ ref('candidate_tiers') }} where policy = {{ policy_in_force }}
    ) as candidates
    inner join {{ ref('feature_snapshot') }} as features on candidates.customer_id = features.customer_id
    inner join (
        select * from {{ ref('customer_scores') }} where scoring_model = {{ in_force.format('scoring_model') }}
    ) as scores on candidates.customer_id = scores.customer_id
    inner join (
        select * from {{ ref('customer_tier_inputs') }} where as_of_date = {{ as_of() }} and policy = {{ policy_in_force }}
    ) as inputs on candidates.customer_id = inputs.customer_id
    left join (
        select customer_id, arraySort(groupArray(toString(gate))) as closed_gates
        from {{ ref('closed_gates') }}
        group by customer_id
    ) as gates on candidates.customer_id = gates.customer_id
    left join (
        select * from {{ ref('tier_overrides') }} where override_status = 'in_force'
    ) as overrides on candidates.customer_id = overrides.customer_id
    {%- endif %}
),

decided as (
    select
        measured.*,
        toLowCardinality(tupleElement(steps[states.tier_rank], 2)) as tier,
        states.tier_rank as tier_rank,
        toLowCardinality(tupleElement(steps[states.earned_rank], 2)) as earned_tier,
        if(
            states.previous_rank = 0, null, toNullable(tupleElement(steps[states.previous_rank], 2))
        ) as previous_tier,
        states.tier_since_date as tier_since_date,
        states.decision as decision,
        states.reason_code as reason_code,
        states.earned_since_date as earned_since_date,
        states.upgraded_on as upgraded_on,
        states.up_count as up_count,
        states.up_rank as up_rank,
        states.down_count as down_count,
        states.down_rank as down_rank,
        {{ ladder_steps(ladder_of_day()) }} as steps
    from measured
    inner join (
        select * from {{ ref('customer_tier_states') }} where as_of_date = {{ as_of() }} and policy = {{ policy_in_force }}
    ) as states on measured.customer_id = states.customer_id
),

named as (
    select
        decided.*,
        {{ tier_reason_names('decided', ladder_of_day(), configured('labels')) }}
    from decided
)

select
    named.* except (steps, previous_tier, ladder, ladder_en, ladder_zh, names_en, names_zh),
    cast(named.previous_tier as LowCardinality(Nullable(String))) as previous_tier,
    standards.tier_label as tier_label,
    {{ tier_reason_text('named', 'en') }} as decision_reason,
    {{ tier_reason_text('named', 'zh') }} as decision_reason_zh,
    {{ build_id() }} as build_id
from named
inner join {{ ladder_of_day() }} as standards on named.tier = standards.tier
