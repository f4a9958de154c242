-- One row per business date from the first to the last order, days without an order too: parts of the date, and how busy the
-- platform was, as it is known now.
{{ config(materialized='view') }}

with activity as (
    select
        business_date,
        count() as order_count,
        uniqExact(customer_id) as customer_count
    from {{ ref('fct_orders') }}
    where is_valid = 1 and known_to = {{ end_of_time() }}
    group by business_date
),

days as (
    select
        arrayJoin(arrayMap(
            day -> min(activity.business_date) + day, range(toUInt32(max(activity.business_date) - min(activity.business_date)) + 1)
        )) as business_date
    from activity
    having count() > 0
)

select
    days.business_date as business_date,
    toUInt16(toISOYear(days.business_date)) as iso_year,
    toUInt8(toISOWeek(days.business_date)) as iso_week,
    toUInt8(toDayOfWeek(days.business_date)) as iso_weekday,
    toMonday(days.business_date) as week_start_date,
    toStartOfMonth(days.business_date) as month_start_date,
    toStartOfQuarter(days.business_date) as quarter_start_date,
    toUInt8(toDayOfWeek(days.business_date) >= 6) as is_weekend,
    toUInt32(coalesce(activity.order_count, 0)) as order_count,
    toUInt32(coalesce(activity.customer_count, 0)) as customer_count
from days
left join activity on days.business_date = activity.business_date
