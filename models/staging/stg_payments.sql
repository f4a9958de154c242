-- One row per delivered version of a payment: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    payment_id,
    invoice_id,
    paid_on,
    amount as payment_amount,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'payments') }}
