-- Detects rows lost by the replacement of a month: an order of this build that has a header and a line but no row in a
-- fact. Read are the latest 100,000 orders that this build computed. A returned row is an order that is missing.
select distinct order_id
from {{ ref('stg_orders') }}
where order_id in {{ checked_orders() }}
    and order_id in (select order_id from {{ ref('stg_order_lines') }} where order_id in {{ checked_orders() }})
    and (
        order_id not in (select order_id from {{ ref('fct_order_lines') }} where order_id in {{ checked_orders() }})
        or order_id not in (select order_id from {{ ref('fct_orders') }} where order_id in {{ checked_orders() }})
    )
