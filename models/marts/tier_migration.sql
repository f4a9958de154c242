-- One row per pair of dates, tier left and tier reached.

select * except (build_id, as_of_date)
from {{ ref('tier_migration_snapshots') }}
where {{ published() }}
