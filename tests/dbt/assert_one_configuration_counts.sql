-- Detects an as-of date without a configuration, or with two policies: no row would score nobody, two would score
-- everyone twice. A returned row says how many configurations count.
select
    count() as configuration_count,
    countIf(abs(r_weight + f_weight + m_weight + p_weight - 1) < 1e-9) as with_weights_count
from {{ ref('scoring_configuration') }}
having configuration_count != 1 or with_weights_count != 1
