-- One row per scored customer and kept snapshot: every feature, named with window and unit. Of the second version of potential
-- the shares that its index is made of; customer_potential shows the rest.

select
    * except (
        build_id, category_headroom_by_size_90d, headroom_peers, growth_slope_52w, growth_slope_p_value,
        expected_net_amount_next_90d, forecast_method, acceptance_method, potential_index_v2
    )
from {{ ref('customer_feature_snapshots') }}
where {{ published() }}
