-- One row per customer and category with a line in the 90 days that end on the as-of date; products without a category
-- are left out. spend_90d is the sum of line values before refunds.
{{ config(order_by='(customer_id, category_id)') }}

select
    lines.customer_id as customer_id,
    assumeNotNull(products.category_id) as category_id,
    cast(sum(lines.gross_amount) as Decimal(18, 2)) as spend_90d
from {{ ref('fct_order_lines') }} as lines
inner join {{ ref('dim_products') }} as products on lines.product_id = products.product_id
where {{ known_at_cutoff('lines') }} and lines.is_valid = 1 and {{ in_window('lines.business_date', 90) }}
    and products.category_id is not null
group by customer_id, category_id
