-- One row per scored customer and as-of date: the tier in force, since when, and what the day decided. The tier of a day is
-- its candidate tier; the day is compared with the latest earlier day that is stored.
{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite',
    partition_by='as_of_date',
    order_by='customer_id',
) }}

with previous as (
    {% if is_incremental() -%}
    select customer_id, tier, tier_rank, tier_since_date
    from {{ this }}
    where as_of_date = (select max(as_of_date) from {{ this }} where as_of_date < {{ as_of() }})
    {%- else -%}
    select toUInt64(0) as customer_id, '' as tier, toUInt8(0) as tier_rank, toDate(0) as tier_since_date where false
    {%- endif %}
),

decided as (
    select
        candidates.as_of_date as as_of_date,
        candidates.customer_id as customer_id,
        toLowCardinality(candidates.candidate_tier) as tier,
        candidates.candidate_tier_rank as tier_rank,
        cast(previous.tier as LowCardinality(Nullable(String))) as previous_tier,
        if(
            coalesce(previous.tier = candidates.candidate_tier, false),
            assumeNotNull(previous.tier_since_date), candidates.as_of_date
        ) as tier_since_date,
        toLowCardinality(multiIf(
            previous.customer_id is null, 'new',
            previous.tier = candidates.candidate_tier, 'kept',
            previous.tier_rank > candidates.candidate_tier_rank, 'upgraded',
            'downgraded'
        )) as decision,
        if(
            candidates.policy = 'score',
            concat('score in the top ', toString(round(100 * candidates.score_top_share, 1)), ' %: ', candidates.candidate_tier),
            concat(
                'orders ', candidates.frequency_tier, ', order value ', candidates.order_value_tier,
                ', lifetime value ', candidates.lifetime_value_tier, ': ', toString(candidates.required_criteria),
                ' of 3 reach ', candidates.candidate_tier
            )
        ) as decision_reason,
        if(
            candidates.policy = 'score',
            concat('得分位于前 ', toString(round(100 * candidates.score_top_share, 1)), '%：', candidates.candidate_tier),
            concat(
                '订单频次 ', candidates.frequency_tier, '，客单价 ', candidates.order_value_tier,
                '，生命周期价值 ', candidates.lifetime_value_tier, '：3 项中有 ', toString(candidates.required_criteria),
                ' 项达到 ', candidates.candidate_tier
            )
        ) as decision_reason_zh,
        -- What migration counts: the tier, unless the customer is blocked, closed, or has not ordered for long.
        multiIf(
            features.customer_status in ('blocked', 'closed'), 'blocked',
            features.days_since_last_order > configuration.lapsed_after_days, 'lapsed',
            candidates.candidate_tier
        ) as migration_state,
        features.net_amount_90d as net_amount_90d
    from {{ ref('candidate_tiers') }} as candidates
    inner join {{ ref('feature_snapshot') }} as features on candidates.customer_id = features.customer_id
    cross join {{ ref('scoring_configuration') }} as configuration
    left join previous on candidates.customer_id = previous.customer_id
)

select * from decided
