-- One row per delivered version of a complaint: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    complaint_id,
    customer_id,
    order_id,
    opened_at,
    toDate(opened_at, '{{ var("zone") }}') as opened_on,
    resolved_at,
    category as complaint_category,
    severity,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'complaints') }}
