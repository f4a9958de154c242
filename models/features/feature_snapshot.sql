-- One row per scored customer of the snapshot being built: every feature, side by side. Earlier snapshots are kept in
-- the snapshots layer. What a source does not deliver is null, never 0.
{{ config(order_by='customer_id') }}

{# Without payments every invoice would look unpaid. -#}
{% set has_receivables = '(' ~ is_delivered(ref('stg_invoices')) ~ ' and ' ~ is_delivered(ref('stg_payments')) ~ ')' %}
{% set has_categories = '(select countIf(category_id is not null) > 0 from ' ~ ref('dim_products') ~ ')' %}
{% set has_launches = '(select countIf(launched_on is not null) > 0 from ' ~ ref('dim_products') ~ ')' %}

with customers as (
    select * from {{ ref('dim_customers') }}
),

category_counts as (
    select customer_id, count() as category_count_90d
    from {{ ref('customer_category_spend') }}
    group by customer_id
),

final as (
    select
        orders.as_of_date as as_of_date,
        orders.customer_id as customer_id,
        customers.customer_name as customer_name,
        customers.business_type as business_type,
        customers.region_code as region_code,
        customers.city as city,
        customers.account_manager_id as account_manager_id,
        customers.customer_status as customer_status,
        toUInt32(
            {{ as_of() }} - least(coalesce(customers.registered_on, orders.first_order_date), orders.first_order_date)
        ) as customer_age_days,
        orders.* except (as_of_date, customer_id, order_dates, net_amount_prior_180d, net_amount_prior_364d),

        if({{ is_delivered(ref('stg_complaints')) }}, toNullable(coalesce(complaints.complaint_count_90d, 0)), null) as complaint_count_90d,
        {{ ratio('complaint_count_90d', 'orders.order_count_90d') }} as complaint_rate_90d,

        toUInt8(customers.credit_term_days > 0 or credit.customer_id is not null) as is_on_credit_terms,
        {% for column in ['receivable_amount', 'overdue_amount', 'overdue_days_max'] -%}
        if({{ has_receivables }} and is_on_credit_terms = 1, coalesce(credit.{{ column }}, toNullable(0)), null) as {{ column }},
        {% endfor -%}
        if({{ has_receivables }}, credit.overdue_invoices, []) as overdue_invoices,
        {{ ratio('overdue_amount', 'receivable_amount') }} as overdue_share,
        if({{ has_receivables }}, credit.weighted_days_overdue_180d, null) as weighted_days_overdue_180d,

        if({{ has_categories }}, toNullable(toUInt32(coalesce(category_counts.category_count_90d, 0))), null) as category_count_90d,
        products.product_count_90d as product_count_90d,
        if({{ has_launches }}, toNullable(products.new_product_offered_count_180d), null) as new_product_offered_count_180d,
        if({{ has_launches }}, toNullable(products.new_product_tried_count_180d), null) as new_product_tried_count_180d
    from {{ ref('customer_order_features') }} as orders
    inner join customers on orders.customer_id = customers.customer_id
    inner join {{ ref('customer_product_features') }} as products on orders.customer_id = products.customer_id
    left join {{ ref('customer_complaint_features') }} as complaints on orders.customer_id = complaints.customer_id
    left join {{ ref('customer_credit_features') }} as credit on orders.customer_id = credit.customer_id
    left join category_counts on orders.customer_id = category_counts.customer_id
)

select * from final
