{# What the criteria of a tier need of a customer: a part of macros/levers.sql. #}

{# For a SELECT from lever_targets and the bars of both targets: their thresholds, the smallest value of each measure that reaches
   them (null when every value does, or none), and which criteria are missed. #}
{% macro criteria_needs(rules) -%}
    toInt64(lifetime_value * 100) as lifetime_value_cents,
    {% for target in ['keep', 'next'] -%}
    {{ rule(rules, 'ladder') }}[{{ target }}_rank] as {{ target }}_step,
    {{ margin_of(target ~ '_direction', rules) }} as {{ target }}_margin,
    {{ harder_minimum(target ~ '_step.3', target ~ '_margin') }} as {{ target }}_orders_threshold,
    {{ harder_minimum(target ~ '_step.4', target ~ '_margin') }} as {{ target }}_order_value_threshold,
    {{ target }}_bars.lifetime_value_limit as {{ target }}_lifetime_value_limit,
    {{ target }}_bars.score_limit as {{ target }}_score_limit,
    {{ target }}_rank > 0 and candidate_rule = 'standards' as {{ target }}_by_standards,
    {{ target }}_rank > 0 and candidate_rule = 'score' as {{ target }}_by_score,
    if({{ target }}_by_standards, toNullable(toUInt32(ceil({{ target }}_orders_threshold))), null) as {{ target }}_orders,
    if({{ target }}_by_standards, toNullable({{ cents_from(target ~ '_order_value_threshold') }}), null) as {{ target }}_order_value,
    if(
        {{ target }}_by_standards,
        {{ needed_value('lifetime_value_cents', target ~ '_bars.lifetime_value', 'BAR + 1') }}, null
    ) as {{ target }}_lifetime_value_cents,
    if(
        {{ target }}_by_score,
        {{ needed_value('total_score', target ~ '_bars.score', rounded_score('BAR + 1e-12')) }}, null
    ) as {{ target }}_total_score,
    arrayMap(criterion -> criterion.1, arrayFilter(criterion -> {{ target }}_by_standards and not criterion.2, [
        ('orders_per_month', orders_per_month >= {{ target }}_orders_threshold),
        ('average_order_value', coalesce(average_order_value >= {{ target }}_order_value_threshold, false)),
        ('lifetime_value', lifetime_value_top_share <= {{ target }}_lifetime_value_limit)
    ])) as {{ target }}_missed,
    toUInt8(multiIf(
        {{ target }}_by_standards,
        greatest(toInt16(required_criteria) - 3 + toInt16(length({{ target }}_missed)), 0),
        {{ target }}_by_score, score_top_share > {{ target }}_score_limit,
        0
    )) as {{ target }}_missing_count{{ ',' if not loop.last }}
    {% endfor -%}
{%- endmacro %}

{# The bars of a share of the base, for a FROM clause: one row per group that is ranked together, target rank and direction of the
   margin. With `most` = the largest whole number with most / 2 / n within the limit, a value is good enough if
   2 * (others above) + (others equal) + 1 <= most. So only the customer at place a + 1, a = (most - 1) div 2, can bar the way;
   for who stands before that place it is the next one. Of both: the value, how many are above, how many equal. #}
{% macro share_bars(customers, rules) -%}
    (
        select
            percentile_group,
            target_rank,
            direction,
            base_size,
            {% for values, limit in [('lifetime_values', 'lifetime_value_limit'), ('scores', 'score_limit')] -%}
            {%- set bar = values[:-1] -%}
            arrayFirst(
                most -> most / 2 / base_size <= {{ limit }},
                arrayMap(more -> toInt64(floor({{ limit }} * 2 * base_size)) + more, [1, 0, -1])
            ) as {{ bar }}_most,
            toInt64(intDiv({{ bar }}_most - 1, 2)) as {{ bar }}_above_at_most,
            multiIf({{ bar }}_most < 1, 'never', {{ bar }}_above_at_most >= base_size - 1, 'always', 'at') as {{ bar }}_reach,
            {% for place in [1, 2] -%}
            {{ values }}[{{ bar }}_above_at_most + {{ place }}] as {{ bar }}_bar_{{ place }},
            toInt64(indexOf({{ values }}, {{ bar }}_bar_{{ place }})) - 1 as {{ bar }}_above_{{ place }},
            toInt64(countEqual({{ values }}, {{ bar }}_bar_{{ place }})) as {{ bar }}_equal_{{ place }},
            {% endfor -%}
            {% endfor -%}
            lifetime_value_limit,
            score_limit
        from (
            select
                if({{ rule(rules, 'percentile_scope') }} = 'region', toString(region_code), '') as percentile_group,
                toInt64(count()) as base_size,
                arrayReverseSort(groupArray(toInt64(lifetime_value * 100))) as lifetime_values,
                arrayReverseSort(groupArray(total_score)) as scores,
                arrayJoin(arrayMap(step -> (step.1, step.5, step.6), {{ rule(rules, 'ladder') }})) as target,
                target.1 as target_rank,
                arrayJoin([-1, 0, 1]) as direction,
                {{ harder_share('target.2', margin_of('direction', rules)) }} as lifetime_value_limit,
                {{ harder_share('target.3', margin_of('direction', rules)) }} as score_limit
            from {{ customers }}
            group by percentile_group
        )
    )
{%- endmacro %}

{# The smallest value that is good enough, from the bar of share_bars; null when every value is, or none. `above` is the smallest
   value above the bar. #}
{% macro needed_value(value, bar, above) -%}
    if(
        {{ bar }}_reach != 'at', null,
        if(
            2 * (if({{ value }} >= {{ bar }}_bar_1, {{ bar }}_above_2 - ({{ value }} > {{ bar }}_bar_2), {{ bar }}_above_1))
            + if({{ value }} >= {{ bar }}_bar_1, {{ bar }}_equal_2 - ({{ value }} = {{ bar }}_bar_2), {{ bar }}_equal_1)
            + 1 <= {{ bar }}_most,
            if({{ value }} >= {{ bar }}_bar_1, {{ bar }}_bar_2, {{ bar }}_bar_1),
            {{ above.replace('BAR', 'if(' ~ value ~ ' >= ' ~ bar ~ '_bar_1, ' ~ bar ~ '_bar_2, ' ~ bar ~ '_bar_1)') }}
        )
    )
{%- endmacro %}
