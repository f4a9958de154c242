-- One row per report day and policy: how still its tiers held in the 52 weeks before.

select * except (build_id)
from {{ ref('tier_stability_snapshots') }}
where {{ published() }}
