-- One row per scored customer of the snapshot being built: the tier that each criterion of the standards reaches, and the
-- candidate tier that the policy in force makes of them. Ranks: 1 is the best tier.
{{ config(order_by='customer_id') }}

with ladder as (
    select
        arraySort(groupArray((
            tier_rank, tier, minimum_orders_per_month, minimum_average_order_value, maximum_lifetime_value_top_share,
            maximum_score_top_share
        ))) as steps,
        length(steps) as lowest_rank
    from {{ configured('tier_standards') }}
),

measured as (
    select
        customer_id,
        order_count_30d as orders_per_month,
        average_order_value_90d as average_order_value,
        toUInt8(gross_margin_to_date is null) as is_lifetime_value_from_revenue,
        assumeNotNull(coalesce(gross_margin_to_date, net_amount_to_date) + tier_discount_amount_to_date) as lifetime_value
    from {{ ref('feature_snapshot') }}
),

ranked as (
    select *, {{ midrank('lifetime_value desc') }} as lifetime_value_top_share from measured
),

criteria as (
    select
        ranked.customer_id as customer_id,
        ranked.orders_per_month as orders_per_month,
        ranked.average_order_value as average_order_value,
        ranked.lifetime_value as lifetime_value,
        ranked.is_lifetime_value_from_revenue as is_lifetime_value_from_revenue,
        ranked.lifetime_value_top_share as lifetime_value_top_share,
        scores.score_top_share as score_top_share,
        configuration.policy as policy,
        configuration.required_criteria as required_criteria,
        configuration.config_version as config_version,
        ladder.steps as steps,
        -- The lowest tier takes everyone, whatever its bounds say.
        arrayFirst(step -> ranked.orders_per_month >= step.3 or step.1 = lowest_rank, steps) as frequency_step,
        arrayFirst(step -> coalesce(ranked.average_order_value >= step.4, false) or step.1 = lowest_rank, steps) as order_value_step,
        arrayFirst(step -> ranked.lifetime_value_top_share <= step.5 or step.1 = lowest_rank, steps) as lifetime_value_step,
        arrayFirst(step -> scores.score_top_share <= step.6 or step.1 = lowest_rank, steps) as score_step,
        -- The k-th best criterion: the best tier that at least k criteria reach.
        arraySort([frequency_step.1, order_value_step.1, lifetime_value_step.1])[required_criteria] as standards_rank
    from ranked
    cross join ladder
    cross join {{ ref('scoring_configuration') }} as configuration
    inner join {{ ref('customer_scores') }} as scores
        on ranked.customer_id = scores.customer_id and configuration.scoring_model = scores.scoring_model
)

select
    {{ as_of() }} as as_of_date,
    customer_id,
    orders_per_month,
    average_order_value,
    lifetime_value,
    is_lifetime_value_from_revenue,
    lifetime_value_top_share,
    score_top_share,
    frequency_step.2 as frequency_tier,
    order_value_step.2 as order_value_tier,
    lifetime_value_step.2 as lifetime_value_tier,
    score_step.2 as score_tier,
    tupleElement(steps[standards_rank], 2) as standards_tier,
    if(policy = 'score', score_tier, standards_tier) as candidate_tier,
    toUInt8(if(policy = 'score', score_step.1, standards_rank)) as candidate_tier_rank,
    policy,
    required_criteria,
    config_version
from criteria
