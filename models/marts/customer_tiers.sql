-- One row per scored customer: the tier in force this morning, and why.

select
    * except (
        build_id, r_contribution, f_contribution, m_contribution, p_contribution, strict_rank, lenient_rank, earned_since_date,
        upgraded_on, up_rank, down_rank
    )
from {{ ref('customer_tier_snapshots') }}
where {{ published(latest=true) }}
