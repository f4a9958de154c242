-- One row per scored customer: breadth of the range in 90 days, new products of 180 days.
-- A product is new when launched in the 180 days that end on the as-of date and ordered by anyone in them; a customer
-- could have tried it when it was launched on or after the customer's first order.
{{ config(order_by='customer_id') }}

with launched as (
    select product_id, assumeNotNull(launched_on) as launched_on
    from {{ ref('dim_products') }}
    where launched_on is not null and {{ in_window('launched_on', 180) }}
),

trials as (
    select distinct customer_id, product_id
    from {{ ref('fct_order_lines') }}
    where {{ known_at_cutoff() }} and is_valid = 1 and {{ in_window('business_date', 180) }}
        and product_id in (select product_id from launched)
),

new_products as (
    select product_id, launched_on from launched where product_id in (select product_id from trials)
),

launches as (
    select arraySort(groupArray(launched_on)) as launch_dates from new_products
),

tried as (
    select
        trials.customer_id as customer_id,
        countIf(new_products.launched_on >= customers.first_order_date) as tried_count
    from trials
    inner join new_products on trials.product_id = new_products.product_id
    inner join {{ ref('customer_order_features') }} as customers on trials.customer_id = customers.customer_id
    group by customer_id
),

breadth as (
    select customer_id, groupBitmap(product_id) as product_count
    from {{ ref('fct_order_lines') }}
    where {{ known_at_cutoff() }} and is_valid = 1 and {{ in_window('business_date', 90) }}
    group by customer_id
)

select
    customers.customer_id as customer_id,
    toUInt32(coalesce(breadth.product_count, 0)) as product_count_90d,
    toUInt32(
        arrayCount(launched_on -> launched_on >= customers.first_order_date, (select launch_dates from launches))
    ) as new_product_offered_count_180d,
    toUInt32(coalesce(tried.tried_count, 0)) as new_product_tried_count_180d
from {{ ref('customer_order_features') }} as customers
left join breadth on customers.customer_id = breadth.customer_id
left join tried on customers.customer_id = tried.customer_id
