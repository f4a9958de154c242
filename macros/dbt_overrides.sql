{# What dbt-clickhouse sends, in fewer statements: the project's macros stand before those of the adapter. On a cluster they are
   the adapter's own. Rows, tables and the moment at which a table is replaced are the same (docs/decisions.md). #}

{# The relations of a database. The adapter also reads the definition of every table of the warehouse to find materialized views
   that write into tables; this project has none. #}
{% macro clickhouse__list_relations_without_caching(schema_relation) %}
    {%- if adapter.get_clickhouse_cluster_name() -%}
        {{ return(dbt.clickhouse__list_relations_without_caching(schema_relation)) }}
    {%- endif -%}
    {% call statement('list_relations_without_caching', fetch_result=True) -%}
        select
            name,
            database as schema,
            multiIf(
                engine = 'MaterializedView', 'materialized_view',
                engine = 'View', 'view',
                engine = 'Dictionary', 'dictionary',
                'table'
            ) as type,
            (select engine from system.databases where name = '{{ schema_relation.schema }}') as db_engine,
            '[]' as mvs_pointing_to_it,
            0 as is_refreshable,
            0 as refreshable_append,
            0 as is_on_cluster
        from system.tables
        where database = '{{ schema_relation.schema }}'
    {%- endcall %}
    {{ return(load_result('list_relations_without_caching').table) }}
{% endmacro %}

{# One statement makes and fills a table. The adapter makes it empty, asks for its columns and then fills it, which analyses the
   query twice; on a cluster a table must be made on all hosts and filled on one. #}
{% macro clickhouse__create_table_as(temporary, relation, sql) -%}
    {%- set needs_steps = temporary
        or adapter.get_clickhouse_cluster_name()
        or config.get('contract').enforced
        or config.get('projections')
        or config.get('indexes') -%}
    {%- if needs_steps -%}
        {{ dbt.clickhouse__create_table_as(temporary, relation, sql) }}
    {%- else -%}
        {{ config.get('sql_header', default='') }}
        create table {{ relation }}
        {{ columns_with_codecs(sql, config.get('t64_columns')) if config.get('t64_columns') }}
        {{ engine_clause() }}
        {{ order_cols(label='order by') }}
        {{ primary_key_clause(label='primary key') }}
        {{ partition_cols(label='partition by') }}
        {{ ttl_config(label='ttl') }}
        {{ adapter.get_model_settings(model, config.get('engine', default='MergeTree')) }}
        as (
            {{ sql }}
        )
        {{ adapter.get_model_query_settings(model) }}
    {%- endif -%}
{%- endmacro %}

{# Stops a mart whose query does not have the columns of its contract. The adapter runs the query without rows, which plans it all
   the same; to describe it is half of that work. #}
{% macro clickhouse__get_assert_columns_equivalent(sql) -%}
    {%- set found = [] -%}
    {%- for column in columns_of_query(sql) -%}
        {%- do found.append({'name': column['name'], 'data_type': column['type']}) -%}
    {%- endfor -%}
    {%- set promised = model['columns'].values() | list -%}
    {%- if zip(found | map(attribute='name'), found | map(attribute='data_type')) | sort
        != zip(promised | map(attribute='name'), promised | map(attribute='data_type')) | sort -%}
        {%- do exceptions.raise_contract_error(promised, found) -%}
    {%- endif -%}
{%- endmacro %}

{# Name and type of each column of a query. #}
{% macro columns_of_query(sql) %}
    {{ return(run_query('describe (' ~ sql ~ '\n) ' ~ adapter.get_model_query_settings(model)).rows) }}
{% endmacro %}

{# The columns of a query with their types, and the codec of those that `t64_columns` lists: amounts, quantities and numbers of things
   use few of their 64 bits, and leaving out the others is less work than to look for repetitions (docs/decisions.md). #}
{% macro columns_with_codecs(sql, t64_columns) -%}
    {%- set columns = columns_of_query(sql) -%}
    {%- set unknown = t64_columns | reject('in', columns | map(attribute='name') | list) | list -%}
    {%- if unknown -%}
        {{ exceptions.raise_compiler_error('t64_columns of ' ~ model.name ~ ' names no column of its query: ' ~ unknown | join(', ')) }}
    {%- endif -%}
    (
        {% for column in columns -%}
        {{ adapter.quote(column['name']) }} {{ column['type'] }}{{ ' codec(T64, LZ4)' if column['name'] in t64_columns }}
        {{- ',' if not loop.last }}
        {% endfor %}
    )
{%- endmacro %}

{# A model that replaces partitions compares its columns with those of its table when the new rows are there, see below. #}
{% macro incremental_validate_on_schema_change(on_schema_change, default='ignore') %}
    {%- if config.get('incremental_strategy') == 'insert_overwrite' and not adapter.get_clickhouse_cluster_name() -%}
        {{ return('ignore') }}
    {%- endif -%}
    {{ return(dbt.incremental_validate_on_schema_change(on_schema_change, default)) }}
{% endmacro %}

{# Replaces the partitions that the new rows lie in. The adapter runs the query once more before, without rows, to see its columns;
   here the table of the new rows tells them. Where they differ, the stored table is changed first and the rows are made anew, as
   the query may read the stored table. #}
{% macro clickhouse__incremental_insert_overwrite(existing_relation, partition_by, is_distributed=False) %}
    {%- if is_distributed or adapter.get_clickhouse_cluster_name() -%}
        {{ return(dbt.clickhouse__incremental_insert_overwrite(existing_relation, partition_by, is_distributed)) }}
    {%- endif -%}
    {%- set on_schema_change = config.get('on_schema_change') or 'ignore' -%}
    {%- set new_data = existing_relation.incorporate(
        path={'identifier': existing_relation.identifier ~ '__dbt_new_data_' ~ invocation_id.replace('-', '_')}
    ) -%}
    {% call statement('main') %}
        {{ get_create_table_as_sql(False, new_data, sql) }}
    {% endcall %}
    {%- set found = new_rows_in(new_data, existing_relation) -%}
    {%- if not found['has_same_columns'] and on_schema_change == 'append_new_columns' -%}
        {% do let_columns_be_null(new_data, existing_relation) %}
        {%- set found = new_rows_in(new_data, existing_relation) -%}
    {%- endif -%}
    {%- if not found['has_same_columns'] and on_schema_change != 'ignore' -%}
        {% do adapter.drop_relation(new_data) %}
        {%- set changes = adapter.check_incremental_schema_changes(
            on_schema_change, existing_relation, sql, query_settings=config.get('query_settings', {})
        ) -%}
        {% if changes %}
            {% do clickhouse__apply_column_changes(changes, existing_relation) %}
        {% endif %}
        {% call statement('main') %}
            {{ get_create_table_as_sql(False, new_data, sql) }}
        {% endcall %}
        {%- set found = new_rows_in(new_data, existing_relation) -%}
    {%- endif -%}
    {% if found['partition_ids'] %}
        {% call statement('replace_partitions') %}
            alter table {{ existing_relation }}
            {%- for partition_id in found['partition_ids'].split(',') %}
                replace partition id '{{ partition_id }}' from {{ new_data }}{{ ', ' if not loop.last }}
            {%- endfor %}
        {% endcall %}
    {% endif %}
    {% do adapter.drop_relation(new_data) %}
{% endmacro %}

{# Makes columns Nullable that are so in the new rows: a later version may know that it does not know. Stored days keep their values. #}
{% macro let_columns_be_null(new_data, existing_relation) %}
    {%- set columns = run_query(
        "select stored.name, new.type
        from system.columns as new
        inner join system.columns as stored on new.name = stored.name
        where new.database = '" ~ new_data.schema ~ "' and new.table = '" ~ new_data.identifier ~ "'
            and stored.database = '" ~ existing_relation.schema ~ "' and stored.table = '" ~ existing_relation.identifier ~ "'
            and new.type = concat('Nullable(', stored.type, ')')
        order by stored.position"
    ).rows -%}
    {% if columns %}
        {% call statement('let_columns_be_null') %}
            alter table {{ existing_relation }}
            {%- for column in columns %}
                modify column {{ adapter.quote(column[0]) }} {{ column[1] }}{{ ', ' if not loop.last }}
            {%- endfor %}
        {% endcall %}
    {% endif %}
{% endmacro %}

{# Whether two tables have the same columns, and the partitions that the first one fills, by their ids, joined by commas. #}
{% macro new_rows_in(new_data, existing_relation) %}
    {%- set columns = "arraySort(groupArrayIf((name, type), table = '" -%}
    {%- set found = run_query(
        "select
            (
                select " ~ columns ~ new_data.identifier ~ "')) = " ~ columns ~ existing_relation.identifier ~ "'))
                from system.columns
                where database = '" ~ new_data.schema ~ "'
                    and table in ('" ~ new_data.identifier ~ "', '" ~ existing_relation.identifier ~ "')
            ) as has_same_columns,
            arrayStringConcat(arraySort(groupUniqArray(partition_id)), ',') as partition_ids
        from system.parts
        where active and database = '" ~ new_data.schema ~ "' and table = '" ~ new_data.identifier ~ "'"
    ) -%}
    {{ return(found.rows[0]) }}
{% endmacro %}
