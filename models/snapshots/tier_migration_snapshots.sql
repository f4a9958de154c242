-- One row per pair of dates, build, tier left and tier reached. The later date is the as-of date; the earlier ones are
-- the stored day before it, and a week, a month and a quarter earlier. Customers who are blocked or closed, and those
-- without an order for long, are in the states `blocked` and `lapsed`; who was not there yet comes from `new`.
{{ config(order_by='(from_date, from_tier, to_tier)') }}

with stored as (
    select distinct as_of_date from {{ ref('customer_tier_states') }} where as_of_date < {{ as_of() }}
),

-- Where the very day is not stored, the latest of the seven days that end on it stands in.
from_dates as (
    select
        as_of_date,
        toUInt8(as_of_date = assumeNotNull((select max(as_of_date) from stored))) as is_over_day,
        toUInt8(as_of_date = {{ latest_of_seven('stored', as_of() ~ ' - 7') }}) as is_over_week,
        toUInt8(as_of_date = {{ latest_of_seven('stored', 'addMonths(' ~ as_of() ~ ', -1)') }}) as is_over_month,
        toUInt8(as_of_date = {{ latest_of_seven('stored', 'addMonths(' ~ as_of() ~ ', -3)') }}) as is_over_quarter
    from stored
    where is_over_day + is_over_week + is_over_month + is_over_quarter > 0
),

before as (
    select as_of_date, customer_id, migration_state, net_amount_90d
    from {{ ref('customer_tier_states') }}
    where is_in_force = 1 and as_of_date in (select as_of_date from from_dates)
),

after as (
    select
        from_dates.as_of_date as from_date,
        states.customer_id as customer_id,
        states.migration_state as migration_state,
        states.net_amount_90d as net_amount_90d
    from from_dates
    cross join {{ ref('customer_tier_states') }} as states
    where states.is_in_force = 1 and states.as_of_date = {{ as_of() }}
),

moves as (
    select
        coalesce(before.as_of_date, after.from_date) as from_date,
        coalesce(before.migration_state, 'new') as from_tier,
        coalesce(after.migration_state, 'lapsed') as to_tier,
        coalesce(after.net_amount_90d, toDecimal64(0, 2)) as net_amount
    from after
    full outer join before on after.customer_id = before.customer_id and after.from_date = before.as_of_date
),

counts as (
    select from_date, from_tier, to_tier, count() as customer_count, sum(net_amount) as net_amount
    from moves
    group by from_date, from_tier, to_tier
)

select
    assumeNotNull(counts.from_date) as from_date,
    {{ as_of() }} as as_of_date,
    {{ as_of() }} as to_date,
    {{ build_id() }} as build_id,
    from_dates.is_over_day as is_over_day,
    from_dates.is_over_week as is_over_week,
    from_dates.is_over_month as is_over_month,
    from_dates.is_over_quarter as is_over_quarter,
    toLowCardinality(assumeNotNull(counts.from_tier)) as from_tier,
    toLowCardinality(assumeNotNull(counts.to_tier)) as to_tier,
    counts.customer_count as customer_count,
    {{ ratio(
        'counts.customer_count', 'sum(counts.customer_count) over (partition by counts.from_date, counts.from_tier)'
    ) }} as share_of_from,
    cast(assumeNotNull(counts.net_amount) as Decimal(18, 2)) as net_amount_90d
from counts
inner join from_dates on counts.from_date = from_dates.as_of_date
