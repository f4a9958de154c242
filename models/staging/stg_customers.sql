-- One row per delivered version of a business customer: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    customer_id,
    customer_name,
    business_type,
    region_code,
    city,
    chain_id,
    if(registered_at = toDateTime64(0, 3, 'UTC'), null, toDate(registered_at, '{{ var("zone") }}')) as registered_on,
    account_manager_id,
    credit_term_days,
    credit_limit,
    status as customer_status,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'customers') }}
