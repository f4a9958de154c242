-- One row per customer with a complaint opened in the 90 days that end on the as-of date.
{{ config(order_by='customer_id') }}

select
    customer_id,
    toUInt32(count()) as complaint_count_90d
from {{ ref('fct_complaints') }}
where {{ known_at_cutoff() }} and {{ in_window('opened_on', 90) }}
group by customer_id
