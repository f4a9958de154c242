-- One row per entry by an account manager and period in which it stood unchanged: (input_id, known_from). Deleted versions
-- are left out.
{{ config(materialized='view') }}

select * except (known_at, is_deleted)
from {{ with_known_period(ref('stg_manager_inputs'), ['input_id']) }}
where is_deleted = 0
