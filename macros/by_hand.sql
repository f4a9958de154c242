{# Before every command of dbt: the tables that models read, and what a refresh must know of a build by hand. #}
{% macro before_all_models() -%}
    {%- if execute and not env_var('TIERHOUSE_BUILD_ID', '') and flags.WHICH in ['run', 'build', 'seed'] -%}
        {% do prepare_build_by_hand() %}
    {%- endif -%}
    {% do create_predictive_tables_once() %}
{%- endmacro %}

{# A refresh leaves views and seeds alone while they are those of its project, so a build by hand, which may make others of them,
   takes that mark away. `--empty` makes every view anew over no rows: marts and facts would stay empty until someone noticed. #}
{% macro prepare_build_by_hand() -%}
    {%- set marts = target.schema ~ '_marts' -%}
    {%- if flags.WHICH != 'seed' and not adapter.get_relation(database=none, schema=target.schema ~ '_landing', identifier='orders') -%}
        {{ exceptions.raise_compiler_error('nothing has landed yet; run `tierhouse demo` or `tierhouse land DIR` first') }}
    {%- endif -%}
    {%- set zone_table = adapter.get_relation(database=none, schema=marts, identifier='business_zone') -%}
    {%- set zones = run_query('select zone from ' ~ zone_table).columns[0].values() if zone_table else [] -%}
    {%- if zones and zones[0] != var('zone') -%}
        {{ exceptions.raise_compiler_error(
            'the days of this warehouse are days in ' ~ zones[0] ~ ', and TIERHOUSE_ZONE is ' ~ var('zone') ~ ': set it to ' ~ zones[0]
        ) }}
    {%- endif -%}
    {%- if flags.EMPTY and adapter.get_relation(database=none, schema=target.schema ~ '_snapshots', identifier='published_builds') -%}
        {{ exceptions.raise_compiler_error(
            '--empty would leave the views of a warehouse that is in use without rows; name another one in TIERHOUSE_SCHEMA, or use dbt compile'
        ) }}
    {%- endif -%}
    {% do refuse_a_mix_of_days() %}
    {%- set cluster = adapter.get_clickhouse_cluster_name() -%}
    {% do run_query('truncate table if exists ' ~ marts ~ '.settled_project' ~ (' on cluster ' ~ cluster if cluster else '')) %}
{%- endmacro %}

{# Features, scores and candidates hold one day. Publishing another day than theirs without making all of them anew would show a
   mix of both. #}
{% macro refuse_a_mix_of_days() -%}
    {%- set features = adapter.get_relation(database=none, schema=target.schema ~ '_features', identifier='customer_order_features') -%}
    {%- if features and 'model.' ~ project_name ~ '.published_builds' in selected_resources -%}
        {%- set day = run_query('select toString(any(as_of_date)) from ' ~ features).rows[0][0] -%}
        {%- set left_out = [] -%}
        {%- for node in graph.nodes.values() if node.config.materialized == 'table' and node.unique_id not in selected_resources -%}
            {%- if node.fqn[1] in ['features', 'scoring', 'tiers'] or node.name in ['dim_customers', 'dim_products'] -%}
                {% do left_out.append(node.name) %}
            {%- endif -%}
        {%- endfor -%}
        {%- if left_out and day not in [as_of_iso(), '1970-01-01'] -%}
            {{ exceptions.raise_compiler_error(
                'The tables of one day hold ' ~ day ~ ', and this selection would publish ' ~ as_of_iso() ~ ' without making '
                ~ left_out | sort | join(', ') ~ ' anew. Build all models, or leave out what publishes: --exclude published_builds+'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
