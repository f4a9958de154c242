-- One row per product as the cut-off describes it, with the name of its category.
{{ config(order_by='product_id') }}

with products as (
    select * from {{ described_at_cutoff(ref('stg_products'), 'product_id', [
        'product_name', 'category_id', 'unit', 'launched_on', 'product_status',
    ], texts=['unit', 'product_status']) }}
),

categories as (
    select * from {{ described_at_cutoff(ref('stg_categories'), 'category_id', ['category_name', 'parent_category_id']) }}
)

select
    products.product_id as product_id,
    products.product_name as product_name,
    products.category_id as category_id,
    categories.category_name as category_name,
    categories.parent_category_id as parent_category_id,
    products.unit as unit,
    products.launched_on as launched_on,
    products.product_status as product_status
from products
left join categories on products.category_id = categories.category_id
