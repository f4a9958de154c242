-- One row per scored customer: what each component adds to this morning's total score.

select as_of_date, customer_id, scoring_model, r_contribution, f_contribution, m_contribution, p_contribution, total_score, score_rank
from {{ ref('customer_tier_snapshots') }}
where {{ published(latest=true) }}
