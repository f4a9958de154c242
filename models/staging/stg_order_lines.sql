-- One row per delivered version of an order line: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    order_id,
    line_no,
    product_id,
    quantity,
    unit_price,
    discount_amount,
    tier_discount_amount,
    unit_cost,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'order_lines') }}
