{# Rows of a configuration seed that count on the as-of date: the version with the latest valid_from on or before it. #}
{% macro configured(seed) -%}
    (
        select * from {{ ref(seed) }}
        where valid_from = (select max(valid_from) from {{ ref(seed) }} where valid_from <= {{ as_of() }})
    )
{%- endmacro %}

{# The identifier of the build that this invocation makes. #}
{% macro build_id() -%}
    '{{ var("build_id") or invocation_id }}'
{%- endmacro %}
