-- One row per kept snapshot and tier: customers, sales and margin, with shares and cumulative shares.

select * except (build_id)
from {{ ref('tier_value_contribution_snapshots') }}
where {{ published() }}
