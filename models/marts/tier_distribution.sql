-- One row per kept snapshot, region, business type and tier that has customers.

select * except (build_id)
from {{ ref('tier_distribution_snapshots') }}
where {{ published() }}
