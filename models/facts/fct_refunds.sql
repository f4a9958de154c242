-- One row per refund and period in which it stood unchanged: (refund_id, known_from). Deleted versions are left out.
{{ config(materialized='view') }}

select * except (known_at, is_deleted)
from {{ with_known_period(ref('stg_refunds'), ['refund_id']) }}
where is_deleted = 0
