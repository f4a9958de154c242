-- One row per scored customer and kept snapshot: every feature, named with window and unit.

select * except (build_id)
from {{ ref('customer_feature_snapshots') }}
where {{ published() }}
