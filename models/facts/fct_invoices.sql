-- One row per invoice and period in which it stood unchanged: (invoice_id, known_from). Deleted versions are left out.
{{ config(materialized='view') }}

select * except (known_at, is_deleted)
from {{ with_known_period(ref('stg_invoices'), ['invoice_id']) }}
where is_deleted = 0
