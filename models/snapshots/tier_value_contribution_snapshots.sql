-- One row per as-of date, build and tier of the ladder, also tiers without customers. Cumulative shares run from the best
-- tier downwards. Amounts are those of the 90 days that end on the as-of date. Of a loss no tier has a share: the tiers that
-- earn would have the negative ones.
{{ config(order_by='tier_rank') }}

with tiers as (
    select
        standards.tier as tier,
        standards.tier_rank as tier_rank,
        countIf(snapshots.customer_id is not null) as customer_count,
        coalesce(sum(snapshots.net_amount_90d), 0) as net_amount,
        sumOrNull(snapshots.gross_margin_90d) as gross_margin
    from {{ ladder_of_day() }} as standards
    left join (
        select customer_id, tier, net_amount_90d, gross_margin_90d
        from {{ ref('customer_tier_snapshots') }}
        where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
    ) as snapshots on standards.tier = snapshots.tier
    group by tier, tier_rank
),

shares as (
    select
        *,
        {{ ratio('customer_count', 'sum(customer_count) over ()') }} as customer_share,
        {{ ratio('net_amount', 'greatest(sum(net_amount) over (), 0)') }} as net_amount_share,
        {{ ratio('gross_margin', 'greatest(sum(gross_margin) over (), 0)') }} as gross_margin_share,
        -- Of sums, not sums of shares: the last one is 1, and not a digit more.
        {{ ratio('sum(customer_count) over best_first', 'sum(customer_count) over ()') }} as cumulative_customer_share,
        {{ ratio('sum(net_amount) over best_first', 'greatest(sum(net_amount) over (), 0)') }} as cumulative_net_amount_share,
        {{ ratio('sum(gross_margin) over best_first', 'greatest(sum(gross_margin) over (), 0)') }} as cumulative_gross_margin_share
    from tiers
    window best_first as (order by tier_rank rows between unbounded preceding and current row)
)

select
    {{ as_of() }} as as_of_date,
    {{ build_id() }} as build_id,
    toLowCardinality(shares.tier) as tier,
    tier_rank,
    customer_count,
    customer_share,
    cast(shares.net_amount as Decimal(18, 2)) as net_amount,
    net_amount_share,
    cast(shares.gross_margin as Nullable(Decimal(18, 2))) as gross_margin,
    gross_margin_share,
    cumulative_customer_share,
    cumulative_net_amount_share,
    cumulative_gross_margin_share
from shares
