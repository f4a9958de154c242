{# What the incremental facts share: the watermark, the work list, and the sums of lines. #}

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
    {%- set row = run_query('select toString(max(loaded_at)), count() from ' ~ target.schema ~ '_facts.fct_watermark').rows[0] -%}
    {{ return("toDateTime64('" ~ row[0] ~ "', 3, 'UTC')" if row[1] else none) }}
{%- endmacro %}

{# Before a work list that covers everything: takes the watermark away, so that a build that is cut off starts from nothing again. #}
{% macro forget_watermark() -%}
    {%- if execute and not facts_watermark() -%}
        truncate table if exists {{ target.schema }}_facts.fct_watermark
    {%- endif -%}
{%- endmacro %}

{# True for a header version whose order counts. #}
{% macro is_order_valid() -%}
    (order_status != 'cancelled' and is_deleted = 0)
{%- endmacro %}

{# The orders that a fact computes in this build: all of them when it is built from nothing, else the changed ones, of which
   `condition` on the work list leaves some out. #}
{% macro orders_in_work(columns, condition='true') -%}
    {%- if execute and model.resource_type == 'model' -%}
        {%- set stored = adapter.get_columns_in_relation(this) | map(attribute='name') | list if is_incremental() else columns -%}
        {%- if columns | reject('in', stored) | list -%}
            {{ exceptions.raise_compiler_error('The facts were made by an earlier version of tierhouse; run `tierhouse refresh --full` once') }}
        {%- endif -%}
        {%- set listed = run_query('select count() from ' ~ ref('fct_changed_orders') ~ ' where covers_all = 1').columns[0].values()[0] -%}
        {%- if (is_incremental() and not listed) -%}
            {{ return('order_id in (select order_id from ' ~ ref('fct_changed_orders') ~ ' where ' ~ condition ~ ')') }}
        {%- elif not listed -%}
            {{ exceptions.raise_compiler_error('The work list holds changes only; build it and the facts together: dbt build --full-refresh --select fqn:tierhouse.facts') }}
        {%- endif -%}
    {%- endif -%}
    {{ return('true') }}
{%- endmacro %}

{# Before an incremental fact appends the orders in work: takes out what it holds of them. Nothing when there is no work.
   A patch part, for which the table keeps block numbers: a mutation would wait its turn once per part. #}
{% macro delete_orders_in_work(condition='true') -%}
    {%- if execute and is_incremental() -%}
        {%- set work = run_query('select max(covers_all), countIf(' ~ condition ~ ') from ' ~ ref('fct_changed_orders')).rows[0] -%}
        {%- if work[0] -%}
            truncate table {{ this }}
        {%- elif work[1] -%}
            delete from {{ this }} where order_id in (select order_id from {{ ref('fct_changed_orders') }} where {{ condition }})
            settings lightweight_delete_mode = 'lightweight_update'
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# Orders in work with one of the flags, as a list for `in`: their versions of that kind have to be put in order. #}
{% macro orders_with(flags, condition='true') -%}
    (select order_id from {{ ref('fct_changed_orders') }} where ({{ flags | join(' = 1 or ') }} = 1) and {{ condition }})
{%- endmacro %}

{# What the valid ones of a group of order lines add up to. #}
{% macro line_measures() -%}
    toInt64(sum(lines.is_valid)) as line_count,
        toInt64(sum(lines.is_valid * lines.is_cost_known)) as costed_line_count,
        sum(lines.gross_amount * lines.is_valid) as gross_amount,
        sum(lines.discount_amount * lines.is_valid) as discount_amount,
        sum(lines.tier_discount_amount * lines.is_valid) as tier_discount_amount,
        sum(lines.cost_amount * lines.is_valid) as cost_amount,
        sum(lines.gross_amount * lines.is_valid * lines.is_cost_known) as cost_known_gross_amount
{%- endmacro %}

{# These sums, named `sums`, as fct_orders stores them, but for the amounts that a refund changes. #}
{% macro stored_measures(sums) -%}
    toUInt32({{ sums }}.line_count) as line_count,
        {% for amount in ['gross_amount', 'discount_amount', 'tier_discount_amount', 'cost_known_gross_amount'] -%}
        cast({{ sums }}.{{ amount }} as Decimal(18, 2)) as {{ amount }},
        {% endfor -%}
        toUInt8({{ sums }}.costed_line_count > 0) as is_cost_known,
        toUInt8({{ sums }}.line_count > 0) as is_valid
{%- endmacro %}
