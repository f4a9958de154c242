-- One row per scored customer and kept snapshot: every feature, named with window and unit. The second version of potential is
-- shown in customer_potential.

select
    * except (
        build_id, category_headroom_by_size_90d, headroom_by_size_share, headroom_peers, growth_slope_52w, growth_slope_p_value,
        growth_slope_share, expected_net_amount_next_90d, expected_growth_share, forecast_method,
        new_product_acceptance_fitted_180d, acceptance_method, potential_index_v2
    )
from {{ ref('customer_feature_snapshots') }}
where {{ published() }}
