-- One row per policy and scored customer of the snapshot being built: the tier that each criterion of the standards reaches,
-- and the tier that the policy makes of them, with its thresholds as they are, harder and easier by the policy's band.
-- Ranks: 1 is the best tier.
{{ config(order_by='(policy, customer_id)') }}

with served as (
    -- Predictions of the day, where the verdict on what tiers would count with them lets them serve. Rows of the fallback never do.
    select customer_id, expected_margin_365d, model_version
    from {{ source('predictive', 'lifetime_value') }}
    where as_of_date = {{ as_of() }} and model_version != 'none'
        and {{ served_model('lifetime_value_in_tiers') }} = 'lifetime_value_in_tiers'
),

measured as (
    select
        features.customer_id as customer_id,
        policies.policy as policy,
        policies.candidate_rule as candidate_rule,
        policies.required_criteria as required_criteria,
        policies.criteria_band as criteria_band,
        if(policies.percentile_scope = 'region', features.region_code, '') as percentile_group,
        features.order_count_30d as orders_per_month,
        features.average_order_value_90d as average_order_value,
        toUInt8(features.gross_margin_to_date is null) as is_lifetime_value_from_revenue,
        cast(coalesce(served.expected_margin_365d, 0) as Decimal(18, 2)) as predicted_margin_365d,
        coalesce(nullIf(toString(served.model_version), ''), 'none') as lifetime_value_model,
        assumeNotNull(
            coalesce(features.gross_margin_to_date, features.net_amount_to_date)
            + features.tier_discount_amount_to_date
            + predicted_margin_365d
        ) as lifetime_value,
        scores.total_score as total_score
    from {{ configured('tier_policy') }} as policies
    cross join {{ ref('feature_snapshot') }} as features
    inner join {{ ref('customer_scores') }} as scores
        on features.customer_id = scores.customer_id and policies.scoring_model = scores.scoring_model
    left join served on features.customer_id = served.customer_id
),

ranked as (
    select
        *,
        {{ midrank('lifetime_value desc', 'policy, percentile_group') }} as lifetime_value_top_share,
        {{ midrank('total_score desc', 'policy, percentile_group') }} as score_top_share
    from measured
),

criteria as (
    select
        ranked.*,
        {{ ladder_steps(configured('tier_standards')) }} as steps,
        {% set measures = {
            'orders_per_month': 'orders_per_month', 'average_order_value': 'average_order_value',
            'lifetime_value_top_share': 'lifetime_value_top_share', 'score_top_share': 'score_top_share',
        } -%}
        {{ criterion_ranks(measures, 'steps', '0') }} as reached,
        {{ criterion_ranks(measures, 'steps', 'criteria_band') }} as reached_strictly,
        {{ criterion_ranks(measures, 'steps', '(-criteria_band)') }} as reached_leniently
    from ranked
)

select
    {{ as_of() }} as as_of_date,
    customer_id,
    policy,
    candidate_rule,
    required_criteria,
    orders_per_month,
    average_order_value,
    lifetime_value,
    predicted_margin_365d,
    lifetime_value_model,
    is_lifetime_value_from_revenue,
    lifetime_value_top_share,
    score_top_share,
    tupleElement(steps[reached[1]], 2) as frequency_tier,
    tupleElement(steps[reached[2]], 2) as order_value_tier,
    tupleElement(steps[reached[3]], 2) as lifetime_value_tier,
    tupleElement(steps[reached[4]], 2) as score_tier,
    tupleElement(steps[candidate_rank], 2) as candidate_tier,
    {{ policy_rank('reached', 'candidate_rule', 'required_criteria') }} as candidate_rank,
    {{ policy_rank('reached_strictly', 'candidate_rule', 'required_criteria') }} as strict_rank,
    {{ policy_rank('reached_leniently', 'candidate_rule', 'required_criteria') }} as lenient_rank,
    toUInt8(length(steps)) as lowest_rank
from criteria
