{# Rows of published builds only: all as-of dates, or the latest one. #}
{% macro published(latest=false) -%}
    (as_of_date, build_id) in (
        select as_of_date, build_id from {{ ref('published_builds') }}
        {% if latest %}where as_of_date = (select max(as_of_date) from {{ ref('published_builds') }}){% endif %}
    )
{%- endmacro %}
