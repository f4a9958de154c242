-- One row per month, period, tier left and tier reached: the mean of the transition matrices of the month's stored days.

with cells as (
    select
        toStartOfMonth(to_date) as month,
        arrayJoin(arrayFilter(
            (period, is_over) -> is_over = 1,
            ['day', 'week', 'month', 'quarter'], [is_over_day, is_over_week, is_over_month, is_over_quarter]
        )) as period,
        to_date,
        from_tier,
        to_tier,
        customer_count,
        share_of_from,
        net_amount_90d
    from {{ ref('tier_migration_snapshots') }}
    where {{ published() }}
),

-- A matrix without a cell has 0 there; one without the whole row says nothing about it.
matrices as (
    select month, period, from_tier, uniqExact(to_date) as matrix_count
    from cells
    group by month, period, from_tier
)

select
    cells.month as month,
    toLowCardinality(cells.period) as period,
    cells.from_tier as from_tier,
    cells.to_tier as to_tier,
    any(matrices.matrix_count) as matrix_count,
    -- Sorted, because floats add up to other digits in another order.
    arrayReduce('sumOrNull', arraySort(groupArray(cells.share_of_from))) / any(matrices.matrix_count) as mean_share_of_from,
    sum(cells.customer_count) / any(matrices.matrix_count) as mean_customer_count,
    toFloat64(sum(cells.net_amount_90d)) / any(matrices.matrix_count) as mean_net_amount_90d
from cells
inner join matrices
    on cells.month = matrices.month and cells.period = matrices.period and cells.from_tier = matrices.from_tier
group by month, period, from_tier, to_tier
