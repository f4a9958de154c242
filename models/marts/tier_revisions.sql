-- One row per as-of date, build and customer whose published snapshot the build changed: what it showed before, what it shows
-- now, and why it was built again.

select revisions.*
from {{ ref('tier_revision_log') }} as revisions
inner join {{ ref('published_builds') }} as published on revisions.as_of_date = published.as_of_date
where revisions.build_id = published.build_id or has(published.replaced_build_ids, revisions.build_id)
