{# Rows of published builds only: all as-of dates, or the latest one. #}
{% macro published(latest=false) -%}
    (as_of_date, build_id) in (
        select as_of_date, build_id from {{ ref('published_builds') }}
        {% if latest %}where as_of_date = (select max(as_of_date) from {{ ref('published_builds') }}){% endif %}
    )
{%- endmacro %}

{# True while a later day is decided again because a day before it was added or restated: its measures stay. #}
{% macro is_carried() -%}
    {{ return(execute and env_var('TIERHOUSE_CARRIED_BUILD_ID', '') != '') }}
{%- endmacro %}

{# The published build whose measures a day that is decided again keeps. Read at run time only. #}
{% macro carried_build_id() -%}
    '{{ env_var("TIERHOUSE_CARRIED_BUILD_ID", "") if execute else "" }}'
{%- endmacro %}

{# The ladder of the day, as rows of the seed tier_standards. A day that is decided again keeps the ladder that its ranks were measured
   by: that of its published build, whatever versions the seed has got since. (A build of an earlier version may know none.) #}
{% macro ladder_of_day() -%}
    {%- set columns = [
        'minimum_orders_per_month', 'minimum_average_order_value', 'maximum_lifetime_value_top_share', 'maximum_score_top_share',
    ] -%}
    {%- if is_carried() -%}
    {%- set of_build -%}
        {{ target.schema }}_snapshots.published_builds where as_of_date = {{ as_of() }} and build_id = {{ carried_build_id() }}
    {%- endset -%}
    (
        select
            toLowCardinality(toString(step.2)) as tier,
            step.1 as tier_rank,
            toLowCardinality(label) as tier_label,
            {% for column in columns -%}
            toFloat64(step.{{ loop.index + 2 }}) as {{ column }}{{ ',' if not loop.last }}
            {% endfor %}
        from (select ladder, tier_labels from {{ of_build }})
        array join ladder as step, arrayResize(tier_labels, length(ladder)) as label
        union all
        select tier, tier_rank, tier_label{% for column in columns %}, toFloat64({{ column }}) as {{ column }}{% endfor %}
        from {{ configured('tier_standards') }}
        where (select max(notEmpty(ladder)) = 0 from {{ of_build }})
    )
    {%- else -%}
    {{ configured('tier_standards') }}
    {%- endif -%}
{%- endmacro %}

{# True while a past day is rebuilt with what became known after it. #}
{% macro is_restated() -%}
    {{ return(execute and env_var('TIERHOUSE_KNOWN_UNTIL', '') not in ('', as_of_iso())) }}
{%- endmacro %}

{# Rows of the build that the marts show of the day until now; false where nothing was ever published. For a model that is made
   before published_builds, and so cannot have it as a parent. #}
{% macro is_published_so_far() -%}
    {%- if execute -%}
        {%- set builds = adapter.get_relation(
            database=none, schema=target.schema ~ '_snapshots', identifier='published_builds'
        ) -%}
    {%- endif -%}
    {%- if builds -%}
        (as_of_date, build_id) in (select as_of_date, build_id from {{ builds }})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{# Before a build is published: refuses one that lacks a part which marts show. `dbt run --select candidate_tiers+` makes tiers, but
   their features are not downstream of them, and the marts of the day would be without customers. A day that is decided again
   carries over what its published build had. #}
{% macro refuse_a_part_of_a_build() -%}
    {%- if execute and not is_carried() -%}
        {%- set of_build = 'where as_of_date = ' ~ as_of() ~ ' and build_id = ' ~ build_id() -%}
        {%- set is_first_day = '(select count() = 0 from ' ~ ref('customer_tier_states') ~ ' where as_of_date < ' ~ as_of() ~ ')' -%}
        {%- set counts = [] -%}
        {%- for part in [
            ref('customer_feature_snapshots'), ref('tier_distribution_snapshots'), ref('tier_value_contribution_snapshots'),
            ref('tier_benefit_snapshots'), ref('tier_migration_snapshots'),
        ] -%}
            {%- set rows = '(select count() from ' ~ part ~ ' ' ~ of_build ~ ')' if load_relation(part) else '0' -%}
            {# Before the first stored day there is nothing to have moved from. #}
            {%- set or_none = ' + ' ~ is_first_day if part.identifier == 'tier_migration_snapshots' else '' -%}
            {% do counts.append("('" ~ part.identifier ~ "', " ~ rows ~ or_none ~ ")") %}
        {%- endfor -%}
        {%- set missing = run_query(
            "select arrayStringConcat(arrayMap(part -> part.1, arrayFilter(part -> part.2 = 0, [" ~ counts | join(', ') ~ "])), ', ') "
            ~ 'from (select count() as tiers from ' ~ ref('customer_tier_snapshots') ~ ' ' ~ of_build ~ ') where tiers > 0'
        ).rows -%}
        {%- set missing = missing[0][0] if missing else '' -%}
        {%- if missing -%}
            {{ exceptions.raise_compiler_error(
                'This build of ' ~ as_of_iso() ~ ' has tiers, but no rows of that day in ' ~ missing ~ ', and is not published: the marts '
                ~ 'show the build before. Select customer_order_features+ too, or leave out what publishes: --exclude published_builds+'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
