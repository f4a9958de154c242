-- Detects customers whose features are not the sum of their orders: a window, validity or cut-off applied differently.
-- All orders are read once. A returned row is a customer whose totals differ.
with from_orders as (
    select
        customer_id,
        count() as order_count,
        sum(net_amount) as net_amount,
        max(business_date) as last_order_date
    from {{ ref('fct_orders') }}
    where {{ known_at_cutoff() }} and is_valid = 1 and business_date <= {{ as_of() }}
    group by customer_id
)

select
    coalesce(from_orders.customer_id, features.customer_id) as customer_id,
    from_orders.net_amount as net_amount_of_orders,
    features.net_amount_to_date as net_amount_of_features
from from_orders
full outer join {{ ref('customer_order_features') }} as features on from_orders.customer_id = features.customer_id
where from_orders.customer_id is null
    or features.customer_id is null
    or from_orders.order_count != features.order_count_to_date
    or from_orders.net_amount != features.net_amount_to_date
    or from_orders.last_order_date != features.last_order_date
