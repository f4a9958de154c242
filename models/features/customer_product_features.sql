-- One row per customer with a line in the 180 days that end on the as-of date: breadth of the range, new products.
-- A product is new when launched in those 180 days and ordered by anyone since; a customer could have tried it when it was
-- launched on or after the customer's first order.
{{ config(order_by='customer_id') }}

with lines as (
    select customer_id, product_id, max(business_date) as last_business_date
    from {{ ref('fct_order_lines') }}
    where {{ known_at_cutoff() }} and is_valid = 1 and {{ in_window('business_date', 180) }}
    group by customer_id, product_id
),

new_products as (
    select product_id, assumeNotNull(launched_on) as launched_on
    from {{ ref('dim_products') }}
    where launched_on is not null and {{ in_window('launched_on', 180) }} and product_id in (select product_id from lines)
),

launches as (
    select arraySort(groupArray(launched_on)) as launch_dates from new_products
),

tried as (
    select
        lines.customer_id as customer_id,
        countIf(new_products.launched_on >= first_orders.first_order_date) as tried_count
    from lines
    inner join new_products on lines.product_id = new_products.product_id
    inner join {{ ref('customer_order_features') }} as first_orders on lines.customer_id = first_orders.customer_id
    group by customer_id
),

breadth as (
    select customer_id, countIf({{ in_window('last_business_date', 90) }}) as product_count
    from lines
    group by customer_id
)

select
    customers.customer_id as customer_id,
    toUInt32(coalesce(breadth.product_count, 0)) as product_count_90d,
    toUInt32(arrayCount(launched_on -> launched_on >= customers.first_order_date, (select launch_dates from launches))) as new_product_offered_count_180d,
    toUInt32(coalesce(tried.tried_count, 0)) as new_product_tried_count_180d
from {{ ref('customer_order_features') }} as customers
left join breadth on customers.customer_id = breadth.customer_id
left join tried on customers.customer_id = tried.customer_id
