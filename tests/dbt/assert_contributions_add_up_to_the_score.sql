-- Detects scores that their parts do not explain, or that leave [0, 1]. A returned row is a customer and scoring model.
select customer_id, scoring_model, total_score
from {{ ref('customer_scores') }}
where not (
    abs(r_contribution + f_contribution + m_contribution + p_contribution - total_score) <= 1e-9
    and total_score between 0 and 1 + 1e-9
    and r_score between 0 and 1
    and f_score between 0 and 1
    and m_score between 0 and 1
    and coalesce(p_score, 0) between 0 and 1
)
