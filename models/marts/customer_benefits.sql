-- One row per scored customer: what the tier in force entitles the customer to this morning, from when and until when.

with tiers as (
    select
        as_of_date, customer_id, customer_name, account_manager_id, customer_status, tier, tier_since_date, override_valid_to
    from {{ ref('customer_tier_snapshots') }}
    where {{ published(latest=true) }}
),

benefits as (
    select * from {{ ref('tier_benefit_snapshots') }} where {{ published(latest=true) }}
)

select
    tiers.as_of_date as as_of_date,
    tiers.customer_id as customer_id,
    tiers.customer_name as customer_name,
    tiers.account_manager_id as account_manager_id,
    tiers.tier as tier,
    benefits.discount_rate as discount_rate,
    benefits.delivery_priority as delivery_priority,
    benefits.support_channel as support_channel,
    benefits.may_try_new_products as may_try_new_products,
    toUInt8(tiers.customer_status in ('blocked', 'closed')) as is_suspended,
    greatest(tiers.tier_since_date, benefits.terms_valid_from) as valid_from,
    least(
        coalesce(tiers.override_valid_to, benefits.terms_valid_to), coalesce(benefits.terms_valid_to, tiers.override_valid_to)
    ) as valid_to
from tiers
inner join benefits on tiers.tier = benefits.tier
