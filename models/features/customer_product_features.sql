-- One row per scored customer: breadth of the range in 90 days, new products of 180 days.
-- A product is new when launched in the 180 days that end on the as-of date and ordered by anyone in them; a customer
-- could have tried it when it was launched on or after the customer's first order.
{{ config(order_by='customer_id') }}

with launched as (
    select product_id, assumeNotNull(launched_on) as launched_on
    from {{ ref('dim_products') }}
    where launched_on is not null and {{ in_window('launched_on', 180) }}
),

ordered as (
    select distinct product_id
    from {{ ref('fct_order_lines') }}
    where {{ known_at_cutoff() }} and is_valid = 1 and {{ in_window('business_date', 180) }}
),

new_products as (
    select (groupArray(product_id), groupArray(launched_on)) as launches
    from launched
    where product_id in (select product_id from ordered)
),

-- Once per date of a first order rather than per customer.
offered as (
    select
        first_order_date,
        arrayCount(launched_on -> launched_on >= first_order_date, tupleElement((select launches from new_products), 2)) as offered_count
    from (select distinct first_order_date from {{ ref('customer_order_features') }})
),

-- Both windows in one reading.
ranges as (
    select
        customer_id,
        -- Less work than a set per customer.
        arrayUniq(groupArrayIf(product_id, {{ in_window('business_date', 90) }})) as product_count,
        groupUniqArrayIf(product_id, product_id in (select product_id from launched)) as tried_products
    from {{ ref('fct_order_lines') }}
    where {{ known_at_cutoff() }} and is_valid = 1 and {{ in_window('business_date', 180) }}
    group by customer_id
)

select
    customers.customer_id as customer_id,
    toUInt32(coalesce(ranges.product_count, 0)) as product_count_90d,
    toUInt32(offered.offered_count) as new_product_offered_count_180d,
    -- Looked up by a hash: after a move to another system every product may be new.
    toUInt32(arrayCount(
        product_id -> transform(
            product_id,
            tupleElement((select launches from new_products), 1), tupleElement((select launches from new_products), 2),
            toDate(0)
        ) >= customers.first_order_date,
        ranges.tried_products
    )) as new_product_tried_count_180d
from {{ ref('customer_order_features') }} as customers
inner join offered on customers.first_order_date = offered.first_order_date
left join ranges on customers.customer_id = ranges.customer_id
