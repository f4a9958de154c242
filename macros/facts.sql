{# What the incremental facts share: the watermark, and the untouched rest of the months that a change touches. #}

{# Loader time up to which the facts hold every landed row; 1970 before the first complete build. #}
{% macro facts_watermark() -%}
    {%- if execute and not flags.FULL_REFRESH -%}
        {%- set relation = adapter.get_relation(database=none, schema=target.schema ~ '_facts', identifier='fct_watermark') -%}
        {%- if relation -%}
            {%- set rows = run_query('select toString(max(loaded_at)) from ' ~ relation) -%}
            {{ return("toDateTime64('" ~ rows.columns[0].values()[0] ~ "', 3, 'UTC')") }}
        {%- endif -%}
    {%- endif -%}
    {{ return("toDateTime64('1970-01-01 00:00:00', 3, 'UTC')") }}
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
