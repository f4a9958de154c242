-- Detects customers dropped or repeated by a join of the feature snapshot: one without a dimension row or product
-- features. A returned row is a customer who is in one of the two tables only.
select
    orders.customer_id as customer_with_orders,
    features.customer_id as customer_with_features
from {{ ref('customer_order_features') }} as orders
full outer join {{ ref('feature_snapshot') }} as features on orders.customer_id = features.customer_id
where orders.customer_id is null or features.customer_id is null
