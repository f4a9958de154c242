-- One row per delivered version of an entry by an account manager: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    input_id,
    customer_id,
    manager_id,
    input_type,
    value as input_value,
    reason as input_reason,
    valid_from,
    valid_to,
    entered_at,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'manager_inputs') }}
