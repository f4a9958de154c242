{# When the machine may move a customer next: a part of macros/levers.sql. The machine itself is macros/tier_machine.sql. #}

{# For a SELECT from lever_targets: the earliest days of a downgrade, an upgrade and a lapse if every day goes on as this one; null
   where none is under way. #}
{% macro next_dates(rules) -%}
    -- Days on which downgrades are decided, from the day or from the end of a new customer's protection.
    treatment = 'protect' as is_protected,
    if(
        is_protected,
        greatest(as_of_date, first_order_date + {{ rule(rules, 'new_customer_days') }} - 1),
        as_of_date
    ) as counted_from,
    arrayFilter(
        days -> bitTest({{ rule(rules, 'downgrade_weekdays') }}, toDayOfWeek(counted_from + days) - 1), range(1, 8)
    ) as downgrade_offsets,
    treatment in ('decide', 'protect') and lenient_rank > earned_rank as is_below,
    treatment in ('decide', 'protect') and strict_rank < earned_rank as is_above,
    greatest(
        {{ downgrade_day_after(
            'counted_from', 'downgrade_offsets',
            'greatest(1, toInt32(confirm_down_decisions) - if(is_protected, 0, down_count))'
        ) }},
        earned_since_date + {{ rule(rules, 'minimum_dwell_days') }},
        upgraded_on + {{ rule(rules, 'grace_days_after_upgrade') }}
    ) as downgrade_not_before,
    -- The first downgrade day that is not before it: whole weeks, then the rest.
    toUInt16(downgrade_not_before - counted_from - 1) as days_until,
    arrayFirst(days -> days > days_until % 7, arrayConcat(downgrade_offsets, [downgrade_offsets[1] + 7])) as last_days,
    if(is_below, toNullable(counted_from + 7 * intDiv(days_until, 7) + last_days), null) as earliest_downgrade_on,
    if(
        is_below,
        greatest(
            least(
                if(down_rank = 0 or is_protected, lenient_rank, least(down_rank, lenient_rank)),
                earned_rank + {{ rule(rules, 'maximum_steps_down') }}
            ),
            cap_rank
        ),
        0
    ) as earliest_downgrade_rank,
    if(
        is_above, toNullable(as_of_date + greatest(1, toInt32(confirm_up_decisions) - up_count)), null
    ) as earliest_upgrade_on,
    if(
        standing in ('active', 'new') and {{ rule(rules, 'lapsed_treatment') }} = 'lowest' and earned_rank < lowest_rank,
        toNullable(as_of_date - toInt32(days_since_last_order) + {{ rule(rules, 'lapsed_after_days') }} + 1),
        null
    ) as lapses_on
{%- endmacro %}

{# First day after `start` on which downgrades are decided, counted `times` times. `offsets` are the days from start to each
   downgrade day of the week after it. #}
{% macro downgrade_day_after(start, offsets, times) -%}
    ({{ start }} + 7 * intDiv({{ times }} - 1, length({{ offsets }})) + {{ offsets }}[({{ times }} - 1) % length({{ offsets }}) + 1])
{%- endmacro %}
