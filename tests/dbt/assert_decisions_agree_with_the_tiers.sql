-- Detects days whose decision is not what the tiers before and after say, or a tier whose begin does not fit. A returned
-- row is a customer of the day being built.
select policy, customer_id, previous_rank, tier_rank, decision, tier_since_date
from {{ ref('customer_tier_states') }}
where as_of_date = {{ as_of() }}
    and (
        (is_new = 1) != (previous_rank = 0)
        or (decision = 'new' and is_new = 0)
        or (decision = 'upgraded') > (tier_rank < previous_rank)
        or (decision = 'downgraded') > (tier_rank > previous_rank)
        or (decision in ('kept', 'held')) > (tier_rank = previous_rank)
        or (tier_rank = previous_rank) != (tier_since_date < as_of_date)
    )
