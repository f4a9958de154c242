{# What the total score needs of a customer: a part of macros/levers.sql. #}

{# For a SELECT from lever_needs: the value of each component that reaches the needed total score alone, the others as they are. #}
{% macro component_needs(rules) -%}
    {{ monetary(rules) }} as monetary_now,
    if(p_score is null, 1 - {{ rule(rules, 'p_weight') }}, 1) as weight_in_use,
    {% for target in ['keep', 'next'] -%}
    -- How much of the total score a component has to add.
    if({{ target }}_missing_count = 1, {{ target }}_total_score - total_score, null) as {{ target }}_score_gap,
    {% for component in ['r', 'f', 'm', 'p'] -%}
    {%- set weight = rule(rules, component ~ '_weight') ~ ' / ' ~ ('1' if component == 'p' else 'weight_in_use') -%}
    if(
        {{ target }}_missing_count = 1 and {{ component }}_score < 1
        and {{ forward(component, '1', rules) }} >= {{ target }}_total_score,
        least(1, {{ component }}_score + {{ target }}_score_gap / ({{ weight }})), null
    ) as {{ target }}_{{ component }}_score,
    {% endfor -%}
    {% endfor -%}
    -- In units that someone can act on; not under mid-ranks, where the component of a measure depends on all others.
    {{ rule(rules, 'normalisation') }} = 'ratio_to_max' as is_in_units
{%- endmacro %}

{# For a SELECT from lever_components and the maxima of the base: the same in days, orders and cents. Computed forward around the
   inverse of the formula, so that the stated unit is enough and one less is not. #}
{% macro unit_needs(rules) -%}
    {% for target in ['keep', 'next'] -%}
    if(
        is_in_units and {{ target }}_r_score is not null,
        arrayFirst(
            days -> days >= 0 and {{ forward('r', recency('days', rules), rules) }} >= {{ target }}_total_score,
            arrayMap(
                more -> toInt64(floor(if(
                    {{ rule(rules, 'recency_form') }} = 'half_life',
                    -log2({{ target }}_r_score) * {{ rule(rules, 'recency_half_life_days') }},
                    1 / {{ target }}_r_score - 1
                ))) + more,
                [1, 0, -1]
            )
        ),
        null
    ) as {{ target }}_days_since_last_order,
    if(
        is_in_units and {{ target }}_f_score is not null,
        arrayFirst(
            orders -> {{ forward('f', 'orders / order_count_max', rules) }} >= {{ target }}_total_score,
            arrayMap(more -> toInt64(ceil({{ target }}_f_score * order_count_max)) + more, [-1, 0, 1])
        ),
        null
    ) as {{ target }}_order_count,
    if(
        is_in_units and {{ target }}_m_score is not null,
        arrayFirst(
            cents -> {{ forward('m', 'least(cents / 100 / monetary_max, 1)', rules) }} >= {{ target }}_total_score,
            arrayMap(more -> toInt64(ceil({{ target }}_m_score * monetary_max * 100)) + more, [-1, 0, 1])
        ),
        null
    ) as {{ target }}_monetary_cents{{ ',' if not loop.last }}
    {% endfor -%}
{%- endmacro %}

{# The monetary measure of the scoring model, as scoring computes it. #}
{% macro monetary(rules) -%}
    if({{ rule(rules, 'monetary_input') }} = 'net_amount', if(order_count > 0, toFloat64(net_amount_90d), null), average_order_value)
{%- endmacro %}

{# The recency component of a number of days, as scoring computes it. #}
{% macro recency(days, rules) -%}
    if(
        {{ rule(rules, 'recency_form') }} = 'half_life',
        pow(0.5, {{ days }} / {{ rule(rules, 'recency_half_life_days') }}), 1 / (1 + {{ days }})
    )
{%- endmacro %}

{# The total score with one component replaced, added up in the order of scoring, so that equal scores are equal numbers. #}
{% macro forward(component, score, rules) -%}
    {%- set total -%}
        {%- for part in ['r', 'f', 'm', 'p'] -%}
        {%- if part != component %}{{ part }}_contribution
        {%- else %}{{ rule(rules, part ~ '_weight') }} * ({{ score }}){{ ' / weight_in_use' if part != 'p' }}
        {%- endif -%}
        {{ ' + ' if not loop.last }}
        {%- endfor -%}
    {%- endset -%}
    {{ rounded_score(total) }}
{%- endmacro %}
