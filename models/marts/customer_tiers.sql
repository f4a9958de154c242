-- One row per scored customer: the tier in force this morning, and why.

select * except (build_id, r_contribution, f_contribution, m_contribution, p_contribution)
from {{ ref('customer_tier_snapshots') }}
where {{ published(latest=true) }}
