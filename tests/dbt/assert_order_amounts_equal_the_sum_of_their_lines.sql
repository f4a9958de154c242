-- Detects orders whose amounts are not those of their lines: a period computed wrongly, or rows lost from one fact.
-- Read are the latest 100,000 orders that this build computed, in their latest state. A returned row is an order that
-- does not add up.
with from_lines as (
    select
        order_id,
        sum(is_valid) as line_count,
        sum(gross_amount * is_valid) as gross_amount,
        sum(discount_amount * is_valid) as discount_amount,
        sum(tier_discount_amount * is_valid) as tier_discount_amount
    from {{ ref('fct_order_lines') }}
    where order_id in {{ checked_orders() }} and known_to = {{ end_of_time() }}
    group by order_id
),

from_orders as (
    select order_id, line_count, gross_amount, refund_amount, net_amount, discount_amount, tier_discount_amount
    from {{ ref('fct_orders') }}
    where order_id in {{ checked_orders() }} and known_to = {{ end_of_time() }}
)

select
    coalesce(from_lines.order_id, from_orders.order_id) as order_id,
    from_lines.gross_amount as gross_amount_of_lines,
    from_orders.gross_amount as gross_amount_of_order
from from_lines
full outer join from_orders on from_lines.order_id = from_orders.order_id
where from_lines.order_id is null
    or from_orders.order_id is null
    or from_lines.line_count != from_orders.line_count
    or from_lines.gross_amount != from_orders.gross_amount
    or from_lines.discount_amount != from_orders.discount_amount
    or from_lines.tier_discount_amount != from_orders.tier_discount_amount
    or from_orders.net_amount != from_orders.gross_amount - from_orders.refund_amount
