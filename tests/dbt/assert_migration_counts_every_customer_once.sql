-- Detects customers whom the migration matrix lost or counted twice: from each earlier day every customer of that day
-- must leave once, every customer of the as-of date must arrive once, and the shares of a tier left must add up to 1. A
-- returned row is an earlier day that does not add up.
with moves as (
    select
        from_date,
        sumIf(customer_count, from_tier != 'new') as left_count,
        sum(customer_count) as move_count,
        sum(share_of_from) as share_sum,
        uniqExact(from_tier) as from_tier_count
    from {{ ref('tier_migration_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
    group by from_date
),

states as (
    select as_of_date, count() as customer_count
    from {{ ref('customer_tier_states') }}
    where is_in_force = 1 and (as_of_date = {{ as_of() }} or as_of_date in (select from_date from moves))
    group by as_of_date
)

select moves.*
from moves
left join states on moves.from_date = states.as_of_date
where moves.left_count != coalesce(states.customer_count, 0)
    or moves.move_count < (select sum(customer_count) from states where as_of_date = {{ as_of() }})
    or abs(moves.share_sum - moves.from_tier_count) > 1e-9
