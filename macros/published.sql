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
        {%- set stored_before = '(select count() from ' ~ ref('customer_tier_states') ~ ' where as_of_date < ' ~ as_of() ~ ')' -%}
        {%- set missing = run_query(
            "select arrayStringConcat(groupArray(part), ', ') from ("
            ~ "select 'customer_feature_snapshots' as part, count() as row_count from " ~ ref('customer_feature_snapshots') ~ " " ~ of_build
            ~ " union all select 'tier_distribution_snapshots', count() from " ~ ref('tier_distribution_snapshots') ~ " " ~ of_build
            ~ " union all select 'tier_value_contribution_snapshots', count() from " ~ ref('tier_value_contribution_snapshots') ~ " " ~ of_build
            ~ " union all select 'tier_benefit_snapshots', count() from " ~ ref('tier_benefit_snapshots') ~ " " ~ of_build
            ~ " union all select 'tier_migration_snapshots', count() + toUInt8(" ~ stored_before ~ " = 0) from "
            ~ ref('tier_migration_snapshots') ~ " " ~ of_build
            ~ ") where row_count = 0 and (select count() from " ~ ref('customer_tier_snapshots') ~ " " ~ of_build ~ ") > 0"
        ).rows[0][0] -%}
        {%- if missing -%}
            {{ exceptions.raise_compiler_error(
                'This build of ' ~ as_of_iso() ~ ' has tiers, but no rows of that day in ' ~ missing ~ ', and is not published: the marts '
                ~ 'show the build before. Select customer_order_features+ too, or leave out what publishes: --exclude published_builds+'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
