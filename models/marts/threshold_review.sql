-- One row per reviewed day, tier and criterion: where the standards cut, and which thresholds would restore the quotas.

select *
from {{ source('predictive', 'threshold_review') }}
