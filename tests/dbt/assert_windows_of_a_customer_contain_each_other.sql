-- Detects windows that were cut wrongly: a shorter one can never hold more orders than a longer one, nor days than
-- orders, and the last order must lie in the windows that count orders. A returned row is a customer who breaks that.
select customer_id
from {{ ref('feature_snapshot') }}
where order_count_7d > order_count_30d
    or order_count_30d > order_count_90d
    or order_count_90d > order_count_365d
    or order_count_365d > order_count_to_date
    or order_day_count_90d > order_count_90d
    or (order_count_90d > 0) != (days_since_last_order < 90)
    or days_since_last_order > days_since_first_order
    or new_product_tried_count_180d > new_product_offered_count_180d
    or overdue_amount > receivable_amount
