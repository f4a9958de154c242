{# The orders that the tests of the facts read, as a list for `in`: the latest 100,000 of those that this build computed.
   A build from nothing lists only the orders that are not simple, so the latest ones of all join them. #}
{% macro checked_orders() -%}
    (
        select order_id from {{ ref('fct_changed_orders') }} where covers_all = 0 order by order_id desc limit 100000
        union all
        select order_id from {{ ref('stg_orders') }}
        where (select countIf(covers_all = 1) from {{ ref('fct_changed_orders') }}) > 0
        order by order_id desc limit 100000
    )
{%- endmacro %}
