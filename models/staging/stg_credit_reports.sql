-- One row per delivered version of a credit report: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    report_id,
    customer_id,
    provider,
    reported_on,
    credit_score,
    rating,
    has_risk_flag,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'credit_reports') }}
