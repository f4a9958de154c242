-- Detects orders whose refund amount is not the sum of their refunds in the latest versions delivered: a refund counted
-- twice, or one that never reached its order. Read are the latest 100,000 orders that this build computed. A returned
-- row is an order.
with refunds as (
    select
        refund_id,
        argMax(tuple(order_id, refund_amount, is_deleted), known_at) as latest
    from {{ ref('stg_refunds') }}
    where refund_id in (select refund_id from {{ ref('stg_refunds') }} where order_id in {{ checked_orders() }})
    group by refund_id
),

delivered as (
    select
        latest.1 as order_id,
        sumIf(latest.2, latest.3 = 0) as refund_amount
    from refunds
    group by order_id
)

select
    orders.order_id as order_id,
    orders.refund_amount as refund_amount_of_order,
    delivered.refund_amount as refund_amount_delivered
from {{ ref('fct_orders') }} as orders
left join delivered on orders.order_id = delivered.order_id
where orders.order_id in {{ checked_orders() }}
    and orders.known_to = {{ end_of_time() }}
    and orders.is_valid = 1
    and orders.refund_amount != coalesce(delivered.refund_amount, 0)
