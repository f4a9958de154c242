{# How far a customer is from losing a tier and from gaining the next one, per lever: formulas in docs/definitions.md, "Reason
   card". `customers` names a relation with all customers of one build: the columns of customer_tier_snapshots, beside
   overdue_amount, overdue_days_max, overdue_invoices, complaint_count_90d and has_risk_flag. `rules` names a relation of one row
   with the columns of published_builds. Nothing here needs dbt. #}

{# One rule of the day. An aggregate, so that no row at all is an empty value and not an error. #}
{% macro rule(rules, name) -%}
    (select any({{ name }}) from {{ rules }})
{%- endmacro %}

{# Margins of the criteria by name: what keeps a tier, what makes a candidate, what gains a tier. #}
{% macro margin_of(direction, rules) -%}
    (if({{ direction }} = 0, 0, {{ direction }} * {{ rule(rules, 'criteria_band') }}))
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

{# First day after `start` on which downgrades are decided, counted `times` times. `offsets` are the days from start to each
   downgrade day of the week after it. #}
{% macro downgrade_day_after(start, offsets, times) -%}
    ({{ start }} + 7 * intDiv({{ times }} - 1, length({{ offsets }})) + {{ offsets }}[({{ times }} - 1) % length({{ offsets }}) + 1])
{%- endmacro %}

{# The levers, for a FROM clause: one row per customer with all columns of `customers`, the ranks that count, and per target
   (`keep` and `next`) what each lever needs. #}
{% macro customer_levers(customers, rules, base=none) -%}
    (
        with lever_bars as (
            select * from {{ share_bars(base or customers, rules) }}
        ),

        lever_maxima as (
            select
                max(order_count) as order_count_max,
                max(greatest({{ monetary(rules) }}, 0)) as monetary_max
            from {{ base or customers }}
        ),

        lever_targets as (
            select
                *,
                if({{ rule(rules, 'percentile_scope') }} = 'region', toString(region_code), '') as percentile_group,
                toUInt8(length({{ rule(rules, 'ladder') }})) as lowest_rank,
                toUInt8(indexOf(arrayMap(step -> step.2, {{ rule(rules, 'ladder') }}), toString(earned_tier))) as earned_rank,
                greatest(earned_rank, cap_rank) as ruled_rank,
                -- While nothing that the customer does can move the tier, no lever applies.
                standing = 'blocked' as is_locked,
                toUInt8(if(is_locked or ruled_rank = lowest_rank, 0, ruled_rank)) as keep_rank,
                toUInt8(if(is_locked, 0, ruled_rank - 1)) as next_rank,
                if(treatment = 'follow', 0, -1) as keep_direction,
                -- Who has earned the next tier already, and is held back by a gate, has only to stay there.
                multiIf(treatment = 'follow', 0, earned_rank <= next_rank, -1, 1) as next_direction
            from {{ customers }}
        ),

        lever_needs as (
            select
                targets.*,
                toInt64(targets.lifetime_value * 100) as lifetime_value_cents,
                {{ monetary(rules) }} as monetary_now,
                if(targets.p_score is null, 1 - {{ rule(rules, 'p_weight') }}, 1) as weight_in_use,
                {% for target in ['keep', 'next'] -%}
                {{ rule(rules, 'ladder') }}[targets.{{ target }}_rank] as {{ target }}_step,
                {{ margin_of('targets.' ~ target ~ '_direction', rules) }} as {{ target }}_margin,
                {{ harder_minimum(target ~ '_step.3', target ~ '_margin') }} as {{ target }}_orders_threshold,
                {{ harder_minimum(target ~ '_step.4', target ~ '_margin') }} as {{ target }}_order_value_threshold,
                {{ target }}_bars.lifetime_value_limit as {{ target }}_lifetime_value_limit,
                {{ target }}_bars.score_limit as {{ target }}_score_limit,
                targets.{{ target }}_rank > 0 and targets.candidate_rule = 'standards' as {{ target }}_by_standards,
                targets.{{ target }}_rank > 0 and targets.candidate_rule = 'score' as {{ target }}_by_score,
                if({{ target }}_by_standards, toNullable(toUInt32(ceil({{ target }}_orders_threshold))), null) as {{ target }}_orders,
                if({{ target }}_by_standards, toNullable({{ cents_from(target ~ '_order_value_threshold') }}), null) as {{ target }}_order_value,
                if(
                    {{ target }}_by_standards,
                    {{ needed_value('lifetime_value_cents', target ~ '_bars.lifetime_value', 'BAR + 1') }}, null
                ) as {{ target }}_lifetime_value_cents,
                if(
                    {{ target }}_by_score,
                    {{ needed_value(
                        'targets.total_score', target ~ '_bars.score', rounded_score('BAR + 1e-12')
                    ) }}, null
                ) as {{ target }}_total_score,
                arrayMap(criterion -> criterion.1, arrayFilter(criterion -> {{ target }}_by_standards and not criterion.2, [
                    ('orders_per_month', targets.orders_per_month >= {{ target }}_orders_threshold),
                    ('average_order_value', coalesce(targets.average_order_value >= {{ target }}_order_value_threshold, false)),
                    ('lifetime_value', targets.lifetime_value_top_share <= {{ target }}_lifetime_value_limit)
                ])) as {{ target }}_missed,
                toUInt8(multiIf(
                    {{ target }}_by_standards,
                    greatest(toInt16(targets.required_criteria) - 3 + toInt16(length({{ target }}_missed)), 0),
                    {{ target }}_by_score, targets.score_top_share > {{ target }}_score_limit,
                    0
                )) as {{ target }}_missing_count,
                {% for measure in ['overdue_amount', 'overdue_days_max'] -%}
                arrayFilter(
                    gate -> targets.{{ target }}_rank > 0 and gate.2 = '{{ measure }}' and gate.4 > targets.{{ target }}_rank,
                    {{ rule(rules, 'gates') }}
                ).3 as {{ target }}_{{ measure }}_thresholds,
                {% endfor -%}
                if(
                    empty({{ target }}_overdue_amount_thresholds), null,
                    toNullable({{ cents_until('arrayMin(' ~ target ~ '_overdue_amount_thresholds)') }})
                ) as {{ target }}_overdue_cents_at_most,
                {% endfor -%}
                arrayMap(
                    gate -> (
                        gate.1,
                        gate.2,
                        multiIf(
                            gate.2 = 'overdue_days_max', toFloat64(targets.overdue_days_max),
                            gate.2 = 'overdue_amount', toFloat64(targets.overdue_amount),
                            gate.2 = 'complaint_count_90d', toFloat64(targets.complaint_count_90d),
                            toFloat64(targets.has_risk_flag)
                        ),
                        gate.3,
                        {{ rule(rules, 'ladder') }}[gate.4].2,
                        gate.4
                    ),
                    {{ rule(rules, 'gates') }}
                ) as gate_states,
                -- What is older than the gates allow has to be paid; that lowers the amount too.
                if(
                    targets.next_rank = 0 or targets.overdue_amount is null, null,
                    greatest(
                        if(
                            empty(next_overdue_days_max_thresholds), 0,
                            arraySum(arrayMap(
                                invoice -> toInt64(invoice.2 * 100),
                                arrayFilter(invoice -> invoice.1 > arrayMin(next_overdue_days_max_thresholds), targets.overdue_invoices)
                            ))
                        ),
                        coalesce(toInt64(targets.overdue_amount * 100) - next_overdue_cents_at_most, 0),
                        0
                    )
                ) as next_overdue_payment_cents,
                arrayMap(gate -> gate.1, arrayFilter(
                    gate -> targets.next_rank > 0 and coalesce({{ gate_is_closed('gate.3', 'gate.4') }}, false) and gate.6 > targets.next_rank,
                    gate_states
                )) as next_closed_gates,
                -- Days on which downgrades are decided, from the day or from the end of a new customer's protection.
                targets.treatment = 'protect' as is_protected,
                if(
                    is_protected,
                    greatest(targets.as_of_date, targets.first_order_date + {{ rule(rules, 'new_customer_days') }} - 1),
                    targets.as_of_date
                ) as counted_from,
                arrayFilter(
                    days -> bitTest({{ rule(rules, 'downgrade_weekdays') }}, toDayOfWeek(counted_from + days) - 1), range(1, 8)
                ) as downgrade_offsets,
                targets.treatment in ('decide', 'protect') and targets.lenient_rank > targets.earned_rank as is_below,
                targets.treatment in ('decide', 'protect') and targets.strict_rank < targets.earned_rank as is_above,
                greatest(
                    {{ downgrade_day_after(
                        'counted_from', 'downgrade_offsets',
                        'greatest(1, toInt32(targets.confirm_down_decisions) - if(is_protected, 0, targets.down_count))'
                    ) }},
                    targets.earned_since_date + {{ rule(rules, 'minimum_dwell_days') }},
                    targets.upgraded_on + {{ rule(rules, 'grace_days_after_upgrade') }}
                ) as downgrade_not_before,
                -- The first downgrade day that is not before it: whole weeks, then the rest.
                toUInt16(downgrade_not_before - counted_from - 1) as days_until,
                arrayFirst(days -> days > days_until % 7, arrayConcat(downgrade_offsets, [downgrade_offsets[1] + 7])) as last_days,
                if(is_below, toNullable(counted_from + 7 * intDiv(days_until, 7) + last_days), null) as earliest_downgrade_on,
                if(
                    is_below,
                    greatest(
                        least(
                            if(
                                targets.down_rank = 0 or is_protected,
                                targets.lenient_rank, least(targets.down_rank, targets.lenient_rank)
                            ),
                            targets.earned_rank + {{ rule(rules, 'maximum_steps_down') }}
                        ),
                        targets.cap_rank
                    ),
                    0
                ) as earliest_downgrade_rank,
                if(
                    is_above,
                    toNullable(targets.as_of_date + greatest(1, toInt32(targets.confirm_up_decisions) - targets.up_count)), null
                ) as earliest_upgrade_on,
                if(
                    targets.standing in ('active', 'new') and {{ rule(rules, 'lapsed_treatment') }} = 'lowest'
                    and targets.earned_rank < targets.lowest_rank,
                    toNullable(
                        targets.as_of_date - toInt32(targets.days_since_last_order) + {{ rule(rules, 'lapsed_after_days') }} + 1
                    ),
                    null
                ) as lapses_on,
                -- An unpaid invoice grows older by itself.
                if(
                    targets.overdue_days_max > 0 and not empty(keep_overdue_days_max_thresholds),
                    toNullable(
                        targets.as_of_date
                        + greatest(1, toInt32(floor(arrayMin(keep_overdue_days_max_thresholds))) + 1 - targets.overdue_days_max)
                    ),
                    null
                ) as gate_closes_on
            from lever_targets as targets
            {% for target in ['keep', 'next'] -%}
            left join lever_bars as {{ target }}_bars
                on targets.percentile_group = {{ target }}_bars.percentile_group
                    and targets.{{ target }}_rank = {{ target }}_bars.target_rank
                    and targets.{{ target }}_direction = {{ target }}_bars.direction
            {% endfor %}
        ),

        lever_components as (
            select
                needs.*,
                {% for target in ['keep', 'next'] -%}
                -- How much of the total score a component has to add, the others as they are.
                if(needs.{{ target }}_missing_count = 1, needs.{{ target }}_total_score - needs.total_score, null) as {{ target }}_score_gap,
                {% for component in ['r', 'f', 'm', 'p'] -%}
                {%- set weight = rule(rules, component ~ '_weight') ~ ' / ' ~ ('1' if component == 'p' else 'needs.weight_in_use') -%}
                if(
                    needs.{{ target }}_missing_count = 1 and needs.{{ component }}_score < 1
                    and {{ forward(component, '1', rules) }} >= needs.{{ target }}_total_score,
                    least(1, needs.{{ component }}_score + {{ target }}_score_gap / ({{ weight }})), null
                ) as {{ target }}_{{ component }}_score,
                {% endfor -%}
                {% endfor -%}
                -- In units that someone can act on; not under mid-ranks, where the component of a measure depends on all others.
                {{ rule(rules, 'normalisation') }} = 'ratio_to_max' as is_in_units
            from lever_needs as needs
        )

        select
            needs.*,
            {% for target in ['keep', 'next'] -%}
            if(
                needs.is_in_units and needs.{{ target }}_r_score is not null,
                arrayFirst(
                    days -> days >= 0 and {{ forward('r', recency('days', rules), rules) }} >= needs.{{ target }}_total_score,
                    arrayMap(
                        more -> toInt64(floor(if(
                            {{ rule(rules, 'recency_form') }} = 'half_life',
                            -log2(needs.{{ target }}_r_score) * {{ rule(rules, 'recency_half_life_days') }},
                            1 / needs.{{ target }}_r_score - 1
                        ))) + more,
                        [1, 0, -1]
                    )
                ),
                null
            ) as {{ target }}_days_since_last_order,
            if(
                needs.is_in_units and needs.{{ target }}_f_score is not null,
                arrayFirst(
                    orders -> {{ forward('f', 'orders / maxima.order_count_max', rules) }} >= needs.{{ target }}_total_score,
                    arrayMap(more -> toInt64(ceil(needs.{{ target }}_f_score * maxima.order_count_max)) + more, [-1, 0, 1])
                ),
                null
            ) as {{ target }}_order_count,
            if(
                needs.is_in_units and needs.{{ target }}_m_score is not null,
                arrayFirst(
                    cents -> {{ forward('m', 'least(cents / 100 / maxima.monetary_max, 1)', rules) }} >= needs.{{ target }}_total_score,
                    arrayMap(more -> toInt64(ceil(needs.{{ target }}_m_score * maxima.monetary_max * 100)) + more, [-1, 0, 1])
                ),
                null
            ) as {{ target }}_monetary_cents{{ ',' if target == 'keep' }}
            {% endfor %}
        from lever_maxima as maxima
        cross join lever_components as needs
    )
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
        {%- if part != component %}needs.{{ part }}_contribution
        {%- else %}{{ rule(rules, part ~ '_weight') }} * ({{ score }}){{ ' / needs.weight_in_use' if part != 'p' }}
        {%- endif -%}
        {{ ' + ' if not loop.last }}
        {%- endfor -%}
    {%- endset -%}
    {{ rounded_score(total) }}
{%- endmacro %}
