-- One row per customer and place of the list: the products to offer from the last weekly prediction on, with the reason.
-- Without customers who are blocked or closed this morning, whenever in the week that came about.

select
    listed.as_of_date,
    listed.customer_id,
    listed.rank,
    listed.product_id,
    listed.product_name,
    listed.category_id,
    listed.category_name,
    listed.score,
    listed.method,
    listed.reason_code,
    {{ recommendation_reason_text('listed', 'en') }} as reason,
    {{ recommendation_reason_text('listed', 'zh') }} as reason_zh,
    listed.last_bought_on,
    listed.goes_with_product_id,
    listed.goes_with_product_name,
    listed.region_share,
    listed.model_version
from {{ source('predictive', 'product_recommendations') }} as listed
where listed.as_of_date = (select max(as_of_date) from {{ source('predictive', 'product_recommendations') }})
    and listed.customer_id not in (
        select customer_id from {{ ref('customer_tier_snapshots') }} where {{ published(latest=true) }} and customer_status != 'active'
    )
