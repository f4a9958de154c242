-- Detects rows lost by the replacement of a month: a changed order that has a header and a line but no row in a fact.
-- Read are the latest 100,000 orders that changed. A returned row is an order that is missing.
with checked as (
    select order_id from {{ ref('fct_changed_orders') }}
    order by order_id desc
    limit 100000
)

select order_id from checked
where order_id in (select order_id from {{ ref('stg_orders') }} where order_id in (select order_id from checked))
    and order_id in (select order_id from {{ ref('stg_order_lines') }} where order_id in (select order_id from checked))
    and (
        order_id not in (select order_id from {{ ref('fct_order_lines') }} where order_id in (select order_id from checked))
        or order_id not in (select order_id from {{ ref('fct_orders') }} where order_id in (select order_id from checked))
    )
