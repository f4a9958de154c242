-- One row per delivered version of an invoice: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    invoice_id,
    customer_id,
    order_id,
    issued_on,
    due_on,
    amount as invoice_amount,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'invoices') }}
