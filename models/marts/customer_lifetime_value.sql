-- One row per scored customer: lifetime value as the tiers of this morning count it, and what the model expects of the time to come.

with predicted as (
    select * from {{ ref('lifetime_value_snapshots') }} where {{ published(latest=true) }}
),

customers as (
    select
        customer_id, customer_name, business_type, region_code, account_manager_id, tier, tier_rank, tier_label,
        lifetime_value, predicted_margin_365d, lifetime_value_top_share, is_lifetime_value_from_revenue
    from {{ ref('customer_tier_snapshots') }}
    where {{ published(latest=true) }}
)

select
    predicted.as_of_date as as_of_date,
    predicted.customer_id as customer_id,
    customers.* except (customer_id),
    predicted.expected_order_count_365d as expected_order_count_365d,
    predicted.expected_order_value as expected_order_value,
    predicted.expected_margin_365d as expected_margin_365d,
    predicted.p_alive as p_alive,
    predicted.residual_value as residual_value,
    predicted.method as order_method,
    predicted.reason as method_reason,
    predicted.value_method as value_method,
    predicted.served_model as served_model,
    predicted.model_version as model_version
from predicted
inner join customers on predicted.customer_id = customers.customer_id
