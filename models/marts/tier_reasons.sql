-- One row per scored customer: why the customer is in this morning's tier, and the smallest change per lever that keeps it or
-- gains the next one. None where an earlier version published the morning and kept no rules with it.

-- The parser of the linter does not know names given inside an expression.
-- noqa: disable=all
with published_rules as (
    select * from {{ ref('published_builds') }}
    where as_of_date = (select max(as_of_date) from {{ ref('published_builds') }})
),

published_tiers as (
    select * from {{ ref('customer_tier_snapshots') }} where {{ published(latest=true) }}
),

-- Labels only name things: no result depends on these rows of a seed.
labels as (
    select * from {{ ref('labels') }}
    where valid_from = (
        select max(valid_from) from {{ ref('labels') }} where valid_from <= (select any(as_of_date) from published_rules)
    )
),

inputs as (
    {{ reason_inputs(ref('customer_tier_snapshots'), ref('customer_feature_snapshots'), published(latest=true)) }}
)

select * from {{ reason_cards('inputs', 'published_rules', 'labels', 'published_tiers') }}
