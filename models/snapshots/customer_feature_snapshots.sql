-- One row per scored customer, as-of date and build: every feature, with the parts of the potential index.
{{ config(order_by='customer_id') }}

{% if is_carried() -%}
select stored.* except (build_id), {{ build_id() }} as build_id
from {{ this }} as stored
where stored.as_of_date = {{ as_of() }} and stored.build_id = {{ carried_build_id() }}
{%- else -%}
with rated as (
    select features.*, risks.has_risk_flag as has_risk_flag, risks.credit_score as credit_score
    from {{ ref('feature_snapshot') }} as features
    left join {{ ref('customer_risk_features') }} as risks on features.customer_id = risks.customer_id
)

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
from rated as features
left join {{ source('predictive', 'potential') }} as potential
    on features.customer_id = potential.customer_id and potential.as_of_date = {{ as_of() }}
{%- endif %}
