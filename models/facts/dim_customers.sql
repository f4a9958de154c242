-- One row per customer as the cut-off describes it: every customer with a row in the source or an order in the facts.
-- Without a row in the source, region and business type are 'unknown'.
{{ config(order_by='customer_id') }}

with described as (
    select * from {{ described_at_cutoff(ref('stg_customers'), 'customer_id', [
        'customer_name', 'business_type', 'region_code', 'city', 'chain_id', 'registered_on', 'account_manager_id',
        'credit_term_days', 'credit_limit', 'customer_status',
    ], texts=['business_type', 'region_code', 'city', 'customer_status']) }}
),

ordering as (
    select distinct customer_id from {{ ref('fct_orders') }}
)

select
    assumeNotNull(coalesce(described.customer_id, ordering.customer_id)) as customer_id,
    coalesce(described.customer_name, '') as customer_name,
    coalesce(nullIf(described.business_type, ''), 'unknown') as business_type,
    coalesce(nullIf(described.region_code, ''), 'unknown') as region_code,
    coalesce(described.city, '') as city,
    described.chain_id as chain_id,
    described.registered_on as registered_on,
    described.account_manager_id as account_manager_id,
    coalesce(described.credit_term_days, 0) as credit_term_days,
    described.credit_limit as credit_limit,
    coalesce(described.customer_status, 'active') as customer_status
from described
full outer join ordering on described.customer_id = ordering.customer_id
