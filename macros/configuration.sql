{# Rows of a configuration seed that count on the as-of date: the version with the latest valid_from on or before it. #}
{% macro configured(seed) -%}
    (
        select * from {{ ref(seed) }}
        where valid_from = (select max(valid_from) from {{ ref(seed) }} where valid_from <= {{ as_of() }})
    )
{%- endmacro %}

{# The identifier of the build that this invocation makes: the refresh's, else dbt's own. Read at run time only. #}
{% macro build_id() -%}
    '{{ (env_var("TIERHOUSE_BUILD_ID", "") if execute else "") or invocation_id }}'
{%- endmacro %}
