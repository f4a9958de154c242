{# Models that have rows on the first stored day of a week or month alone. Their query is sent on those days only: the engine takes
   longer to plan it than most models take to run. #}

{# Whether a period begins with the day being built: no earlier day of `relation` is stored in it. `start` is the engine's function
   from a day to the first of its period; the first stored day of all begins one only where `first_too` says so. #}
{% macro starts_period(start, relation, first_too) -%}
    {%- if not execute or model.resource_type != 'model' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set found = run_query(
        "select toUInt8(max(as_of_date) < " ~ start ~ "(" ~ as_of() ~ ") and (count() > 0 or " ~ first_too ~ ")) from " ~ relation
        ~ " where as_of_date < " ~ as_of()
    ) -%}
    {{ return(found.rows[0][0] == 1) }}
{%- endmacro %}

{# The last stored day of each week in the 365 days that end on the day being built, for a FROM clause. #}
{% macro weeks_of_a_year(relation) -%}
    (
        select max(stored.as_of_date) as as_of_date
        from (
            select distinct as_of_date
            from {{ relation }}
            where {{ in_window('as_of_date', 365) }}
        ) as stored
        group by toMonday(stored.as_of_date)
    )
{%- endmacro %}

{# No rows, for a snapshot that `mart` shows: the columns of its contract and the build. #}
{% macro no_rows_for(mart) -%}
    {%- set columns = ['build_id String'] -%}
    {%- for column in (graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | selectattr('name', 'equalto', mart) | first).columns.values() -%}
        {%- do columns.append(column.name ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    select * from null('{{ columns | join(', ') }}')
{%- endmacro %}
