-- One row per as-of date: the build of it that the marts show, and the rules that decided it. Writing this row is the one atomic
-- step that publishes a snapshot: before it every mart shows the build before, after it every mart shows the new one. A day that is
-- decided again keeps the rules that it was measured by.
{{ config(order_by='as_of_date', partition_by='as_of_date', pre_hook='{{ refuse_a_part_of_a_build() }}') }}

with replaced as (
    {% if is_incremental() -%}
    select arrayDistinct(arrayFlatten(groupArray(arrayPushBack(published.replaced_build_ids, published.build_id)))) as build_ids
    from {{ this }} as published
    where published.as_of_date = {{ as_of() }} and published.build_id != {{ build_id() }}
    {%- else -%}
    select emptyArrayString() as build_ids
    {%- endif %}
),

{% if is_carried() -%}
carried as (
    select stored.* except (build_id, replaced_build_ids)
    from {{ this }} as stored
    where stored.as_of_date = {{ as_of() }} and stored.build_id = {{ carried_build_id() }}
)

select
    carried.*,
    {{ build_id() }} as build_id,
    (select build_ids from replaced) as replaced_build_ids
from carried
{%- else -%}
-- What marts explain tiers with: they read no seed, whose rows may have changed since.
rules as (
    select
        policies.criteria_band as criteria_band,
        policies.percentile_scope as percentile_scope,
        policies.maximum_steps_down as maximum_steps_down,
        policies.minimum_dwell_days as minimum_dwell_days,
        policies.grace_days_after_upgrade as grace_days_after_upgrade,
        {{ weekday_mask('policies.downgrade_weekdays') }} as downgrade_weekdays,
        policies.new_customer_days as new_customer_days,
        policies.lapsed_after_days as lapsed_after_days,
        policies.lapsed_treatment as lapsed_treatment,
        models.normalisation as normalisation,
        models.monetary_input as monetary_input,
        models.recency_form as recency_form,
        models.recency_half_life_days as recency_half_life_days
    from {{ configured('tier_policy') }} as policies
    inner join {{ configured('scoring_models') }} as models on policies.scoring_model = models.scoring_model
    where policies.is_in_force = 1
)

select
    as_of_date,
    {{ build_id() }} as build_id,
    any(snapshots.config_version) as config_version,
    count() as customer_count,
    -- Last day whose knowledge counts: the day itself, unless the snapshot was restated.
    toDate(any({{ cutoff() }}) - interval 1 second, '{{ var("zone") }}') as known_until,
    {{ ladder_steps(configured('tier_standards')) }} as ladder,
    (
        select arrayMap(step -> step.2, arraySort(groupArray((tier_rank, toString(tier_label))))) from {{ configured('tier_standards') }}
    ) as tier_labels,
    (
        select arraySort(groupArray((toString(gates.gate), toString(gates.measure), gates.threshold, standards.tier_rank)))
        from {{ configured('tier_gates') }} as gates
        inner join {{ configured('tier_standards') }} as standards on gates.best_tier = standards.tier
    ) as gates,
    {% for component in ['r', 'f', 'm', 'p'] -%}
    assumeNotNull((select sumIf(weight, component = '{{ component }}') from {{ configured('score_weights') }})) as {{ component }}_weight,
    {% endfor -%}
    {% for rule in [
        'criteria_band', 'percentile_scope', 'maximum_steps_down', 'minimum_dwell_days', 'grace_days_after_upgrade',
        'downgrade_weekdays', 'new_customer_days', 'lapsed_after_days', 'lapsed_treatment', 'normalisation', 'monetary_input',
        'recency_form', 'recency_half_life_days',
    ] -%}
    assumeNotNull((select any({{ rule }}) from rules)) as {{ rule }},
    {% endfor -%}
    (select build_ids from replaced) as replaced_build_ids
from {{ ref('customer_tier_snapshots') }} as snapshots
where snapshots.as_of_date = {{ as_of() }} and snapshots.build_id = {{ build_id() }}
group by as_of_date
{%- endif %}
-- depends_on: {{ ref('customer_tier_states') }}
-- depends_on: {{ ref('customer_feature_snapshots') }}
-- depends_on: {{ ref('tier_distribution_snapshots') }}
-- depends_on: {{ ref('tier_migration_snapshots') }}
-- depends_on: {{ ref('tier_value_contribution_snapshots') }}
-- depends_on: {{ ref('tier_revision_log') }}
-- depends_on: {{ ref('tier_benefit_snapshots') }}
-- depends_on: {{ ref('tier_stability_snapshots') }}
-- depends_on: {{ ref('tier_policy_frontier_snapshots') }}
-- depends_on: {{ ref('churn_snapshots') }}
-- depends_on: {{ ref('lifetime_value_snapshots') }}
