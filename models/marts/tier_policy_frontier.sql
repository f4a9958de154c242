-- One row per report day and variant of the policy in force: how still its tiers would have held in the 52 weeks before.

select * except (build_id)
from {{ ref('tier_policy_frontier_snapshots') }}
where {{ published() }}
