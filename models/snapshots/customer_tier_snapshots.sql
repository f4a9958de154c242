-- One row per scored customer, as-of date and build: tier, criteria, score and contributions. Marts show published builds.
{{ config(order_by='customer_id') }}

select
    states.as_of_date as as_of_date,
    {{ build_id() }} as build_id,
    states.customer_id as customer_id,
    features.customer_name as customer_name,
    features.business_type as business_type,
    features.region_code as region_code,
    features.city as city,
    features.account_manager_id as account_manager_id,
    features.customer_status as customer_status,
    states.tier as tier,
    states.tier_rank as tier_rank,
    standards.tier_label as tier_label,
    toLowCardinality(candidates.candidate_tier) as candidate_tier,
    states.previous_tier as previous_tier,
    states.tier_since_date as tier_since_date,
    states.decision as decision,
    states.decision_reason as decision_reason,
    states.decision_reason_zh as decision_reason_zh,
    toLowCardinality(candidates.frequency_tier) as frequency_tier,
    toLowCardinality(candidates.order_value_tier) as order_value_tier,
    toLowCardinality(candidates.lifetime_value_tier) as lifetime_value_tier,
    candidates.orders_per_month as orders_per_month,
    candidates.average_order_value as average_order_value,
    cast(candidates.lifetime_value as Decimal(18, 2)) as lifetime_value,
    candidates.is_lifetime_value_from_revenue as is_lifetime_value_from_revenue,
    candidates.lifetime_value_top_share as lifetime_value_top_share,
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
    toLowCardinality(candidates.config_version) as config_version
from {{ ref('customer_tier_states') }} as states
inner join {{ ref('candidate_tiers') }} as candidates on states.customer_id = candidates.customer_id
inner join {{ ref('feature_snapshot') }} as features on states.customer_id = features.customer_id
inner join {{ ref('customer_scores') }} as scores on states.customer_id = scores.customer_id
inner join {{ configured('tier_standards') }} as standards on states.tier = standards.tier
where states.as_of_date = {{ as_of() }}
    and scores.scoring_model = (select scoring_model from {{ ref('scoring_configuration') }})
