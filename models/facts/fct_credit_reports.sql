-- One row per credit report and period in which it stood unchanged: (report_id, known_from). Deleted versions are left out.
{{ config(materialized='view') }}

select * except (known_at, is_deleted)
from {{ with_known_period(ref('stg_credit_reports'), ['report_id']) }}
where is_deleted = 0
