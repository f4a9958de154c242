-- One row per scored customer: how likely it is to be leaving this morning, why, what that may cost, and what to do.

with churn as (
    select * from {{ ref('churn_snapshots') }} where {{ published(latest=true) }}
),

customers as (
    select
        customer_id, customer_name, business_type, region_code, account_manager_id, tier_rank, tier_label
    from {{ ref('customer_tier_snapshots') }}
    where {{ published(latest=true) }}
)

select
    churn.as_of_date as as_of_date,
    churn.customer_id as customer_id,
    customers.customer_name as customer_name,
    customers.business_type as business_type,
    customers.region_code as region_code,
    customers.account_manager_id as account_manager_id,
    churn.tier as tier,
    customers.tier_rank as tier_rank,
    customers.tier_label as tier_label,
    churn.churn_risk as churn_risk,
    churn.value_at_risk as value_at_risk,
    churn.suggested_action as suggested_action,
    churn.suggested_action_zh as suggested_action_zh,
    churn.reason_code as reason_code,
    churn.churn_reason as churn_reason,
    churn.churn_reason_zh as churn_reason_zh,
    churn.p_alive as p_alive,
    churn.p_no_order_30d as p_no_order_30d,
    -- Days that an earlier version stored do not say it: then the churn model alone served.
    toLowCardinality(if(churn.served_model = '', 'churn', toString(churn.served_model))) as served_model,
    churn.is_judged as is_judged,
    churn.p_defected as p_defected,
    churn.expected_gap_days as expected_gap_days,
    churn.gap_ratio as gap_ratio,
    churn.silence_days as days_since_last_order,
    churn.silence_open_days as open_days_since_last_order,
    churn.pause_open_days as pause_open_days,
    churn.baseline_net_amount_90d as baseline_net_amount_90d,
    churn.spend_change as spend_change,
    churn.is_spend_falling as is_spend_falling,
    churn.dropped_category_id as dropped_category_id,
    churn.dropped_category_name as dropped_category_name,
    churn.dropped_category_amount_90d as dropped_category_amount_90d,
    churn.method as churn_method,
    churn.model_version as model_version
from churn
inner join customers on churn.customer_id = customers.customer_id
