-- One row per scored customer, as-of date and build: every feature, with the parts of the potential index.
{{ config(order_by='customer_id') }}

select
    features.as_of_date as as_of_date,
    {{ build_id() }} as build_id,
    features.* except (as_of_date),
    potential.category_headroom_90d as category_headroom_90d,
    potential.headroom_share as headroom_share,
    potential.growth_rate_90d as growth_rate_90d,
    potential.growth_share as growth_share,
    potential.new_product_acceptance_180d as new_product_acceptance_180d,
    potential.potential_index as potential_index
from {{ ref('feature_snapshot') }} as features
left join {{ source('predictive', 'potential') }} as potential
    on features.customer_id = potential.customer_id and potential.as_of_date = {{ as_of() }}
