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
