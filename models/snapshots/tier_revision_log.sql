-- One row per as-of date, build and customer whose published snapshot the build changed: what it showed before, what it shows
-- now. A build that replaces none, or changes nothing, has no row. Rows stay when the build is replaced in its turn.
{{ config(order_by='customer_id') }}

with after as (
    select customer_id, tier, candidate_tier, net_amount_90d, lifetime_value
    from {{ ref('customer_tier_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
),

before as (
    select customer_id, build_id, tier, candidate_tier, net_amount_90d, lifetime_value
    from {{ ref('customer_tier_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id != {{ build_id() }} and {{ is_published_so_far() }}
)

select
    {{ as_of() }} as as_of_date,
    {{ build_id() }} as build_id,
    assumeNotNull(coalesce(after.customer_id, before.customer_id)) as customer_id,
    toLowCardinality('{{ 'restated' if is_restated() else 'decided_again' if is_carried() else 'rebuilt' }}') as cause,
    toTimeZone({{ cutoff() }}, 'UTC') as known_before,
    cast(before.tier as LowCardinality(Nullable(String))) as tier_before,
    cast(after.tier as LowCardinality(Nullable(String))) as tier_after,
    cast(before.candidate_tier as LowCardinality(Nullable(String))) as candidate_tier_before,
    cast(after.candidate_tier as LowCardinality(Nullable(String))) as candidate_tier_after,
    cast(before.net_amount_90d as Nullable(Decimal(18, 2))) as net_amount_90d_before,
    cast(after.net_amount_90d as Nullable(Decimal(18, 2))) as net_amount_90d_after,
    cast(before.lifetime_value as Nullable(Decimal(18, 2))) as lifetime_value_before,
    cast(after.lifetime_value as Nullable(Decimal(18, 2))) as lifetime_value_after
from after
full outer join before on after.customer_id = before.customer_id
where (select count() from before) > 0
    and (
        after.customer_id is null or before.customer_id is null
        or (after.tier, after.candidate_tier) != (before.tier, before.candidate_tier)
        or (after.net_amount_90d, after.lifetime_value) != (before.net_amount_90d, before.lifetime_value)
    )
