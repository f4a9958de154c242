-- One row per kept day, policy and scored customer: the tier under every policy that runs, in force or not, with the counters
-- of the tier machine.

select states.* except (net_amount_90d)
from {{ ref('customer_tier_states') }} as states
where states.as_of_date in (select published.as_of_date from {{ ref('published_builds') }} as published)
