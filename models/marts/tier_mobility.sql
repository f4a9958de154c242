-- One row per pair of dates: how much customers moved between the tiers, in one index and in shares.

with moves as (
    select * from {{ ref('tier_migration_snapshots') }} where {{ published() }}
),

-- Ranks of the later day's ladder. Moves from or to `new`, `lapsed` and `blocked` have none, and neither has a tier that is gone.
ladder as (
    select as_of_date, tier, tier_rank from {{ ref('tier_value_contribution_snapshots') }} where {{ published() }}
),

from_ranked as (
    select moves.*, ladder.tier_rank as from_rank
    from moves
    left join ladder on moves.to_date = ladder.as_of_date and moves.from_tier = ladder.tier
),

ranked as (
    select from_ranked.*, ladder.tier_rank as to_rank
    from from_ranked
    left join ladder on from_ranked.to_date = ladder.as_of_date and from_ranked.to_tier = ladder.tier
),

-- Of those who are in a tier on both days, the share that stayed, tier by tier: the diagonal of the transition matrix.
diagonal as (
    select
        from_date,
        to_date,
        from_tier,
        {{ ratio('sumIf(customer_count, from_rank = to_rank)', 'sum(customer_count)') }} as stayed_share
    from ranked
    where from_rank > 0 and to_rank > 0
    group by from_date, to_date, from_tier
),

indices as (
    select from_date, to_date, if(count() > 1, (count() - sum(stayed_share)) / (count() - 1), null) as mobility_index
    from diagonal
    group by from_date, to_date
),

totals as (
    select
        from_date,
        to_date,
        any(is_over_day) as is_over_day,
        any(is_over_week) as is_over_week,
        any(is_over_month) as is_over_month,
        any(is_over_quarter) as is_over_quarter,
        sumIf(customer_count, from_rank > 0 and to_rank > 0) as in_tiers,
        sumIf(customer_count, from_rank = to_rank and from_rank > 0) as kept,
        sumIf(customer_count, to_rank < from_rank and to_rank > 0) as upgraded,
        sumIf(customer_count, to_rank > from_rank and from_rank > 0) as downgraded,
        sumIf(net_amount_90d, to_rank < from_rank and to_rank > 0) as upgraded_net_amount,
        sumIf(net_amount_90d, to_rank > from_rank and from_rank > 0) as downgraded_net_amount,
        sumIf(customer_count, from_tier = 'new') as arrived,
        sumIf(customer_count, to_tier = 'lapsed' and from_tier != 'lapsed') as lapsed,
        sumIf(customer_count, from_tier = 'lapsed' and to_rank > 0) as won_back,
        sumIf(customer_count, to_tier = 'blocked' and from_tier != 'blocked') as blocked
    from ranked
    group by from_date, to_date
)

select
    totals.from_date as from_date,
    totals.to_date as to_date,
    totals.is_over_day as is_over_day,
    totals.is_over_week as is_over_week,
    totals.is_over_month as is_over_month,
    totals.is_over_quarter as is_over_quarter,
    totals.in_tiers as customer_count,
    totals.kept as kept_count,
    totals.upgraded as upgraded_count,
    totals.downgraded as downgraded_count,
    totals.arrived as new_count,
    totals.lapsed as lapsed_count,
    totals.won_back as won_back_count,
    totals.blocked as blocked_count,
    cast(totals.upgraded_net_amount as Decimal(18, 2)) as upgraded_net_amount_90d,
    cast(totals.downgraded_net_amount as Decimal(18, 2)) as downgraded_net_amount_90d,
    indices.mobility_index as mobility_index
from totals
left join indices on totals.from_date = indices.from_date and totals.to_date = indices.to_date
