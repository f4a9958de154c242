-- One row per delivered version of an order header: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    order_id,
    customer_id,
    ordered_at,
    toDate(ordered_at, '{{ var("zone") }}') as business_date,
    delivered_at,
    status as order_status,
    channel,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'orders') }}
