{# Divisions and sums that keep null where nothing is known. #}

{# a / b in Float64; null when b is null or 0. #}
{% macro ratio(numerator, denominator) -%}
    (toFloat64({{ numerator }}) / nullIf(toFloat64({{ denominator }}), 0))
{%- endmacro %}

{# Money per piece in Float64; null when there are no pieces. Cents are integers and a division of integers rounds once, so
   equal means are equal numbers: 30.30 over 3 orders ties with 10.10 over 1. #}
{% macro money_per(amount, count) -%}
    (toFloat64(cast(({{ amount }}) * 100 as Decimal(38, 0))) / nullIf(toFloat64(100 * {{ count }}), 0))
{%- endmacro %}

{# Mid-rank percentile in (0, 1) of `value` among the rows of `partition`: (number before + half of the number equal, itself
   included) / n, so ties share it. Ascending, unless `value` ends with desc. Both terms share one sorted window. #}
{% macro midrank(value, partition='') -%}
    {%- set by = 'partition by ' ~ partition if partition else '' -%}
    ((rank() over ({{ by }} order by {{ value }}) - 1 + count() over ({{ by }} order by {{ value }})) / 2
        / count() over ({{ by }}))
{%- endmacro %}

{# The smallest number of cents whose value in CNY is at least the threshold, as money. #}
{% macro cents_from(threshold) -%}
    (cast(
        arrayFirst(
            cents -> cents / 100 >= {{ threshold }}, arrayMap(more -> toInt64(floor({{ threshold }} * 100)) + more, [-1, 0, 1, 2])
        ) as Decimal(18, 2)
    ) / 100)
{%- endmacro %}

{# The largest number of cents whose value in CNY is at most the threshold. #}
{% macro cents_until(threshold) -%}
    arrayFirst(
        cents -> cents / 100 <= {{ threshold }}, arrayMap(more -> toInt64(floor({{ threshold }} * 100)) + more, [2, 1, 0, -1])
    )
{%- endmacro %}
