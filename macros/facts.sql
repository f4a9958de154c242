{# What the incremental facts share: the watermark, and the untouched rest of the months that a change touches. #}

{# Loader time up to which the facts hold every landed row; none when they have to be built from nothing. #}
{% macro facts_watermark() -%}
    {%- if not execute or flags.FULL_REFRESH -%}
        {{ return(none) }}
    {%- endif -%}
    {%- for name in ['fct_order_lines', 'fct_orders', 'fct_watermark'] -%}
        {%- if not adapter.get_relation(database=none, schema=target.schema ~ '_facts', identifier=name) -%}
            {{ return(none) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set rows = run_query('select toString(max(loaded_at)) from ' ~ target.schema ~ '_facts.fct_watermark') -%}
    {{ return("toDateTime64('" ~ rows.columns[0].values()[0] ~ "', 3, 'UTC')") }}
{%- endmacro %}

{# Orders with more than one header version, with lines of different moments, or with refunds: their versions have to be
   put in order. Lines that all carry one moment cannot be versions of one another, since landing keeps one per moment. #}
{% macro entangled_in_landing(where) -%}
    select order_id from {{ ref('stg_orders') }} where {{ where }} group by order_id having count() > 1
    union all
    select order_id from {{ ref('stg_order_lines') }} where {{ where }} group by order_id having min(known_at) != max(known_at)
    union all
    select order_id from {{ ref('stg_refunds') }} where {{ where }}
{%- endmacro %}

{# The orders that a fact computes in this build: all of them when it is built from nothing, else the changed ones. #}
{% macro orders_in_work(columns) -%}
    {%- if execute and model.resource_type == 'model' -%}
        {%- set stored = adapter.get_columns_in_relation(this) | map(attribute='name') | list if is_incremental() else columns -%}
        {%- if columns | reject('in', stored) | list -%}
            {{ exceptions.raise_compiler_error('The facts were made by an earlier version of tierhouse; run `tierhouse refresh --full` once') }}
        {%- endif -%}
        {%- set listed = run_query('select count() from ' ~ ref('fct_changed_orders') ~ ' where covers_all = 1').columns[0].values()[0] -%}
        {%- if (is_incremental() and not listed) -%}
            {{ return('order_id in (select order_id from ' ~ ref('fct_changed_orders') ~ ')') }}
        {%- elif not listed -%}
            {{ exceptions.raise_compiler_error('The work list holds changes only; build it and the facts together: dbt build --full-refresh --select fct_changed_orders+') }}
        {%- endif -%}
    {%- endif -%}
    {{ return('true') }}
{%- endmacro %}

{# Orders in work whose versions have to be put in order, as a list for `in`. #}
{% macro entangled_orders() -%}
    (select order_id from {{ ref('fct_changed_orders') }} where is_simple = 0)
{%- endmacro %}

{# Rows of this incremental fact that the changed orders leave alone, in the months that they touch. A month is replaced
   as a whole, so what did not change in it is copied. No month is ever emptied: a period that ends keeps its row. #}
{% macro untouched_rows(columns) -%}
    select {{ columns | join(', ') }}
    from {{ this }}
    where toYYYYMM(business_date) in (
            select toYYYYMM(business_date) from {{ ref('stg_orders') }}
            where order_id in (select order_id from {{ ref('fct_changed_orders') }})
        )
        and order_id not in (select order_id from {{ ref('fct_changed_orders') }})
{%- endmacro %}
