-- One row per as-of date: the build of it that the marts show. Writing this row is the one atomic step that publishes a
-- snapshot: before it every mart shows the build before, after it every mart shows the new one.
{{ config(order_by='as_of_date', partition_by='as_of_date') }}

with replaced as (
    {% if is_incremental() -%}
    select arrayDistinct(arrayFlatten(groupArray(arrayPushBack(published.replaced_build_ids, published.build_id)))) as build_ids
    from {{ this }} as published
    where published.as_of_date = {{ as_of() }} and published.build_id != {{ build_id() }}
    {%- else -%}
    select emptyArrayString() as build_ids
    {%- endif %}
)

select
    as_of_date,
    {{ build_id() }} as build_id,
    any(snapshots.config_version) as config_version,
    count() as customer_count,
    -- Last day whose knowledge counts: the day itself, unless the snapshot was restated.
    toDate(any({{ cutoff() }}) - interval 1 day, '{{ var("zone") }}') as known_until,
    (select build_ids from replaced) as replaced_build_ids
from {{ ref('customer_tier_snapshots') }} as snapshots
where snapshots.as_of_date = {{ as_of() }} and snapshots.build_id = {{ build_id() }}
group by as_of_date
-- depends_on: {{ ref('customer_feature_snapshots') }}
-- depends_on: {{ ref('tier_distribution_snapshots') }}
-- depends_on: {{ ref('tier_migration_snapshots') }}
-- depends_on: {{ ref('tier_value_contribution_snapshots') }}
-- depends_on: {{ ref('tier_revision_log') }}
-- depends_on: {{ ref('tier_benefit_snapshots') }}
-- depends_on: {{ ref('tier_stability_snapshots') }}
-- depends_on: {{ ref('tier_policy_frontier_snapshots') }}
-- depends_on: {{ ref('churn_snapshots') }}
