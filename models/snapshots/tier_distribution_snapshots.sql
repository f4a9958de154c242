-- One row per as-of date, build, region, business type and tier that has customers.
{{ config(order_by='(region_code, business_type, tier_rank)') }}

select
    as_of_date,
    build_id,
    region_code,
    business_type,
    tier,
    tier_rank,
    count() as customer_count,
    cast(sum(snapshots.net_amount_90d) as Decimal(18, 2)) as net_amount_90d,
    cast(sumOrNull(snapshots.gross_margin_90d) as Nullable(Decimal(18, 2))) as gross_margin_90d
from {{ ref('customer_tier_snapshots') }} as snapshots
where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
group by as_of_date, build_id, region_code, business_type, tier, tier_rank
