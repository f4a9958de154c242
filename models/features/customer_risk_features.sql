-- One row per customer with a credit report dated up to the as-of date: what the latest one says. Of two of one day the
-- higher report_id counts.
{{ config(order_by='customer_id') }}

select
    customer_id,
    argMax(reports.has_risk_flag, (reports.reported_on, reports.report_id)) as has_risk_flag,
    tupleElement(argMax(tuple(reports.credit_score), (reports.reported_on, reports.report_id)), 1) as credit_score,
    max(reports.reported_on) as reported_on
from {{ ref('fct_credit_reports') }} as reports
where {{ known_at_cutoff() }} and reports.reported_on <= {{ as_of() }}
group by customer_id
