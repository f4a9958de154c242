-- One row per scored customer, as-of date and build: every feature, with the parts of potential in both versions.
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
),

potential as (
    select
        served.customer_id as customer_id,
        served.category_headroom_90d as category_headroom_90d,
        served.headroom_share as headroom_share,
        served.growth_rate_90d as growth_rate_90d,
        served.growth_share as growth_share,
        served.new_product_acceptance_180d as new_product_acceptance_180d,
        served.potential_index as potential_index,
        parts.category_headroom_by_size_90d as category_headroom_by_size_90d,
        parts.headroom_by_size_share as headroom_by_size_share,
        parts.headroom_peers as headroom_peers,
        parts.growth_slope_52w as growth_slope_52w,
        parts.growth_slope_p_value as growth_slope_p_value,
        parts.growth_slope_share as growth_slope_share,
        parts.expected_net_amount_next_90d as expected_net_amount_next_90d,
        parts.expected_growth_share as expected_growth_share,
        parts.forecast_method as forecast_method,
        parts.new_product_acceptance_fitted_180d as new_product_acceptance_fitted_180d,
        parts.acceptance_method as acceptance_method,
        parts.potential_index_v2 as potential_index_v2,
        -- The second version serves under the name of its artifact.
        toUInt8(if(served.model_version = parts.model_version, 2, 1)) as potential_version
    from {{ source('predictive', 'potential') }} as served
    left join {{ source('predictive', 'potential_parts') }} as parts
        on served.customer_id = parts.customer_id and served.as_of_date = parts.as_of_date
    where served.as_of_date = {{ as_of() }}
)

select
    features.as_of_date as as_of_date,
    {{ build_id() }} as build_id,
    features.* except (as_of_date),
    potential.* except (customer_id)
from rated as features
left join potential on features.customer_id = potential.customer_id
{%- endif %}
