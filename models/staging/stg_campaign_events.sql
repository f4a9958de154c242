-- One row per delivered version of a campaign event: renamed, dates in the business zone. known_at is the source's clock,
-- loaded_at the loader's. Every version stays: a snapshot picks the one it knew.
select
    event_id,
    campaign_id,
    customer_id,
    event as campaign_event,
    occurred_at,
    amount as event_amount,
    is_deleted,
    updated_at as known_at,
    _loaded_at as loaded_at
from {{ source('landing', 'campaign_events') }}
