-- Detects customers or sales lost on the way to the marts: all snapshot tables of one build must hold the same
-- customers and the same net sales. A returned row is a table that differs from the states of the day.
with totals as (
    select 'customer_feature_snapshots' as snapshot, count() as customer_count, sum(net_amount_90d) as net_amount
    from {{ ref('customer_feature_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
    union all
    select 'customer_tier_snapshots', count(), sum(net_amount_90d)
    from {{ ref('customer_tier_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
    union all
    select 'tier_distribution_snapshots', sum(customer_count), sum(net_amount_90d)
    from {{ ref('tier_distribution_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
    union all
    select 'tier_value_contribution_snapshots', sum(customer_count), sum(net_amount)
    from {{ ref('tier_value_contribution_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
),

states as (
    select count() as customer_count, sum(net_amount_90d) as net_amount
    from {{ ref('customer_tier_states') }}
    where is_in_force = 1 and as_of_date = {{ as_of() }}
)

select totals.*
from totals
cross join states
where (totals.customer_count != states.customer_count or totals.net_amount != states.net_amount)
    -- Without a build of this invocation (`dbt test` alone) there is nothing to compare.
    and (select max(customer_count) from totals) > 0
