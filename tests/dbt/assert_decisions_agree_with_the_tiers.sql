-- Detects days whose decision is not what the two tiers say, or a tier whose begin does not fit the decision. A
-- returned row is a customer of the day being built.
select customer_id, previous_tier, tier, decision, tier_since_date
from {{ ref('customer_tier_states') }}
where as_of_date = {{ as_of() }}
    and (
        (decision = 'new') != (previous_tier is null)
        or (decision = 'kept') != coalesce(previous_tier = tier, false)
        or (decision = 'kept') != (tier_since_date < as_of_date)
    )
