-- One row per delivered version of a refund: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    refund_id,
    order_id,
    line_no,
    refunded_at,
    toDate(refunded_at, '{{ var("zone") }}') as refunded_on,
    amount as refund_amount,
    quantity as refunded_quantity,
    reason as refund_reason,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'refunds') }}
