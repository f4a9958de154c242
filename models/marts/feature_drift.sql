-- One row per compared day and feature or score: how far its customers are from those of the reference day, and whether that
-- is more than chance.
select
    as_of_date,
    feature,
    kind,
    verdict,
    is_alarm,
    psi,
    critical_value,
    critical_value_chi2,
    p_value,
    p_value_of_all,
    reference_date,
    reference_count,
    current_count,
    bin_count,
    model_version
from {{ source('predictive', 'feature_drift') }}
