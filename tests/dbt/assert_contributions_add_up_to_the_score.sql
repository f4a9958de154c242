-- Detects scores that their parts do not explain, or that leave [0, 1]. A returned row is a customer and scoring model.
select customer_id, scoring_model, total_score
from {{ ref('customer_scores') }}
where abs(r_contribution + f_contribution + m_contribution + p_contribution - total_score) > 1e-9
    or isNaN(total_score)
    or total_score not between 0 and 1 + 1e-9
    or r_score not between 0 and 1
    or f_score not between 0 and 1
    or m_score not between 0 and 1
    or coalesce(p_score, 0) not between 0 and 1
