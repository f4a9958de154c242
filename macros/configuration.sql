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

{# The few rows of `relation` as one constant, an array for ARRAY JOIN with the names and types of `columns`: each row beside it is
   repeated in place, where a cross join would be ten times as slow. #}
{% macro rows_of(relation, columns) -%}
    {%- set types = [] -%}
    {%- for name, type in columns.items() %}{% do types.append(name ~ ' ' ~ type) %}{% endfor -%}
    (
        select arraySort(groupArray(cast(tuple({{ columns | join(', ') }}) as Tuple({{ types | join(', ') }}))))
        from {{ relation }}
    )
{%- endmacro %}
