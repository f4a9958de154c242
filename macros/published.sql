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
