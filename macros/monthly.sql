{# Models that have rows on the first stored day of a month alone. Their query is sent on those days only: the engine takes longer
   to plan it than most models take to run. #}

{# Whether a month begins with the day being built: an earlier day of `relation` is stored, and none of the same month. #}
{% macro starts_month(relation) -%}
    {%- if not execute or model.resource_type != 'model' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set found = run_query(
        "select toUInt8(max(as_of_date) < toStartOfMonth(" ~ as_of() ~ ") and count() > 0) from " ~ relation
        ~ " where as_of_date < " ~ as_of()
    ) -%}
    {{ return(found.rows[0][0] == 1) }}
{%- endmacro %}

{# No rows, for a snapshot that `mart` shows: the columns of its contract and the build. #}
{% macro no_rows_for(mart) -%}
    {%- set columns = ['build_id String'] -%}
    {%- for column in (graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | selectattr('name', 'equalto', mart) | first).columns.values() -%}
        {%- do columns.append(column.name ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    select * from null('{{ columns | join(', ') }}')
{%- endmacro %}
