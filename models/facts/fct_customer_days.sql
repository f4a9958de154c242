-- One row per customer and business date with a valid order, as it is known now: orders and money of the day, additive. A past
-- snapshot must not read it, since it has one clock; fct_orders keeps what was known when.
{{ config(materialized='view') }}

select
    customer_id,
    business_date,
    toUInt32(count()) as order_count,
    toUInt32(sum(orders.line_count)) as line_count,
    cast(sum(orders.gross_amount) as Decimal(18, 2)) as gross_amount,
    cast(sum(orders.refund_amount) as Decimal(18, 2)) as refund_amount,
    cast(sum(orders.net_amount) as Decimal(18, 2)) as net_amount,
    if(max(orders.is_cost_known) = 1, toNullable(cast(round(sum(orders.cost_amount), 2) as Decimal(18, 2))), null) as cost_amount
from {{ ref('fct_orders') }} as orders
where is_valid = 1 and known_to = {{ end_of_time() }}
group by customer_id, business_date
