-- Detects marts that show something else than the build that was published last: a snapshot table without rows of that
-- build, or with rows of two builds. A returned row is a mart whose customers are not as many as were published.
with published as (
    select as_of_date, customer_count as published_count
    from {{ ref('published_builds') }}
    order by as_of_date desc
    limit 1
),

shown as (
    select 'customer_tiers' as mart, count() as customer_count from {{ ref('customer_tiers') }}
    union all
    select 'score_contributions', count() from {{ ref('score_contributions') }}
    {% for mart in ['customer_features', 'customer_tier_history'] -%}
    union all
    select '{{ mart }}', count() from {{ ref(mart) }}
    where as_of_date = (select as_of_date from published)
    {% endfor -%}
    {% for mart in ['tier_distribution', 'tier_value_contribution'] -%}
    union all
    select '{{ mart }}', sum(customer_count) from {{ ref(mart) }}
    where as_of_date = (select as_of_date from published)
    {% endfor -%}
    -- Of every earlier day, each customer of today arrives once; some of that day may be gone.
    union all
    select 'tier_migration', least(min(arrived_count), (select published_count from published))
    from (
        select sum(customer_count) as arrived_count
        from {{ ref('tier_migration') }}
        where to_date = (select as_of_date from published)
        group by from_date
    )
    having count() > 0
)

select shown.mart as mart, shown.customer_count as customer_count, published.published_count as published_count
from shown
cross join published
where shown.customer_count != published.published_count
