-- One row per delivered version of a product: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    product_id,
    product_name,
    category_id,
    unit,
    launched_on,
    status as product_status,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'products') }}
