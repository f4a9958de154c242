-- One row per as-of date, build and tier: what the tier entitles to, and since when these terms hold. A day that is decided again
-- keeps its terms with its ladder.
{{ config(order_by='tier') }}

{% if is_carried() -%}
select stored.* except (build_id), {{ build_id() }} as build_id
from {{ this }} as stored
where stored.as_of_date = {{ as_of() }} and stored.build_id = {{ carried_build_id() }}
{%- else -%}
select
    {{ as_of() }} as as_of_date,
    {{ build_id() }} as build_id,
    toLowCardinality(benefits.tier) as tier,
    benefits.discount_rate as discount_rate,
    benefits.delivery_priority as delivery_priority,
    toLowCardinality(benefits.support_channel) as support_channel,
    benefits.may_try_new_products as may_try_new_products,
    benefits.valid_from as terms_valid_from,
    (
        select minOrNull(later.valid_from) - 1 from {{ ref('tier_benefits') }} as later where later.valid_from > {{ as_of() }}
    ) as terms_valid_to
from {{ configured('tier_benefits') }} as benefits
{%- endif %}
-- With the tiers that they are the terms of, so that a build of a changed feature and what follows from it is whole:
-- depends_on: {{ ref('customer_tier_snapshots') }}
