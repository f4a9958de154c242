{# From measures to the tier they reach. Nothing here needs dbt, so a simulation uses the same text as the models. #}

{# The ladder of a day as one array, best tier first. Elements: tier_rank, tier, minimum_orders_per_month,
   minimum_average_order_value, maximum_lifetime_value_top_share, maximum_score_top_share. #}
{% macro ladder_steps(standards) -%}
    (
        select arraySort(groupArray((
            tier_rank, tier, toFloat64(minimum_orders_per_month), toFloat64(minimum_average_order_value),
            maximum_lifetime_value_top_share, maximum_score_top_share
        )))
        from {{ standards }}
    )
{%- endmacro %}

{# A threshold made harder by `margin` (easier when negative): a minimum grows, a largest share shrinks. Rounded, since
   800 * 1.1 is a little more than 880 in double precision, and a mean order of 880.00 would not reach it. #}
{% macro harder_minimum(minimum, margin) -%}
    round({{ minimum }} * (1 + {{ margin }}), 9)
{%- endmacro %}
{% macro harder_share(share, margin) -%}
    round({{ share }} * (1 - {{ margin }}), 9)
{%- endmacro %}

{# When a measure reaches a bound that is made harder by `margin`: at least a minimum, at most a largest share. #}
{% macro at_least(measure, bound, margin) -%} {{ measure }} >= {{ harder_minimum(bound, margin) }} {%- endmacro %}
{% macro at_most(measure, bound, margin) -%} {{ measure }} <= {{ harder_share(bound, margin) }} {%- endmacro %}

{# Ranks that the measures reach with every threshold made harder by `margin` (easier when negative), as an array:
   frequency, order value, lifetime value, score. The lowest tier takes everyone, whatever its bounds say. The bounds of a
   criterion are taken out of the steps first: a step repeated beside every row would carry the tier's name along. #}
{% macro criterion_ranks(measures, steps, margin) -%}
    [
        {{ first_reached(at_least(measures.orders_per_month, 'bound', margin), steps, 3) }},
        {{ first_reached('coalesce(' ~ at_least(measures.average_order_value, 'bound', margin) ~ ', false)', steps, 4) }},
        {{ first_reached(at_most(measures.lifetime_value_top_share, 'bound', margin), steps, 5) }},
        {{ first_reached(at_most(measures.score_top_share, 'bound', margin), steps, 6) }}
    ]
{%- endmacro %}

{% macro first_reached(condition, steps, place) -%}
    toUInt8(arrayFirstIndex(
        (bound, step_rank) -> {{ condition }} or step_rank = length({{ steps }}), tupleElement({{ steps }}, {{ place }}), tupleElement({{ steps }}, 1)
    ))
{%- endmacro %}

{# One of these ranks where the bounds are known when the statement is written, best tier first: many times faster. `reaches` is
   at_least or at_most; an unknown measure reaches no bound. #}
{% macro criterion_rank(reaches, measure, bounds, margin) -%}
    toUInt8(multiIf(
        {% for bound in bounds[:-1] -%} {{ reaches(measure, bound, margin) }}, {{ loop.index }}, {% endfor -%} {{ bounds | length }}
    ))
{%- endmacro %}

{# The rank under a policy: of the score, or the k-th best of the three criteria, the best tier that at least k of them reach. #}
{% macro policy_rank(ranks, candidate_rule, required_criteria) -%}
    if({{ candidate_rule }} = 'score', {{ ranks }}[4], arraySort(arraySlice({{ ranks }}, 1, 3))[{{ required_criteria }}])
{%- endmacro %}

{# The same of three ranks, where k is known when the statement is written. #}
{% macro kth_best(a, b, c, k) -%}
    {%- if k == 1 -%} least({{ a }}, {{ b }}, {{ c }})
    {%- elif k == 3 -%} greatest({{ a }}, {{ b }}, {{ c }})
    {%- else -%} greatest(least({{ a }}, {{ b }}), least(greatest({{ a }}, {{ b }}), {{ c }}))
    {%- endif -%}
{%- endmacro %}

{# The types of what the next two macros give; a history packs such a value into four bits. #}
{% macro standing_type() -%}
Enum8('active' = 0, 'new' = 1, 'lapsed' = 2, 'blocked' = 3)
{%- endmacro %}

{% macro treatment_type() -%}
Enum8('decide' = 0, 'follow' = 1, 'protect' = 2, 'lowest' = 3, 'freeze' = 4)
{%- endmacro %}

{# Why the machine does not decide for a customer as for others. `policy` names a relation with a policy's columns, or maps them
   to expressions. #}
{% macro standing(status, days_since_last_order, days_since_first_order, policy) -%}
    {%- set type = standing_type() -%}
    multiIf(
        {{ status }} in ('blocked', 'closed'), cast('blocked' as {{ type }}),
        {{ days_since_last_order }} > {{ policy_value(policy, 'lapsed_after_days') }}, cast('lapsed' as {{ type }}),
        {{ days_since_first_order }} < {{ policy_value(policy, 'new_customer_days') }}, cast('new' as {{ type }}),
        cast('active' as {{ type }})
    )
{%- endmacro %}

{# What the machine does instead. #}
{% macro treatment(standing, policy) -%}
    {%- set type = treatment_type() -%}
    multiIf(
        {{ standing }} = 'blocked', cast({{ policy_value(policy, 'blocked_treatment') }} as {{ type }}),
        {{ standing }} = 'lapsed', cast({{ policy_value(policy, 'lapsed_treatment') }} as {{ type }}),
        {{ standing }} = 'new', cast({{ policy_value(policy, 'new_customer_treatment') }} as {{ type }}),
        cast('decide' as {{ type }})
    )
{%- endmacro %}

{% macro policy_value(policy, column) -%}
    {{ policy[column] if policy is mapping else policy ~ '.' ~ column }}
{%- endmacro %}

{# Weekdays like '1' or '1,4' as a bit mask, bit 0 = Monday. #}
{% macro weekday_mask(weekdays) -%}
    toUInt8(arraySum(arrayMap(day -> bitShiftLeft(1, toUInt8(day) - 1), splitByChar(',', toString({{ weekdays }})))))
{%- endmacro %}

{# The measures that gates look at, as an array of (name, value); an unknown one is null. #}
{% macro gate_measures(overdue_days_max, overdue_amount, complaint_count_90d, has_risk_flag) -%}
    [
        ('overdue_days_max', {{ gate_measure(overdue_days_max) }}),
        ('overdue_amount', {{ gate_measure(overdue_amount) }}),
        ('complaint_count_90d', {{ gate_measure(complaint_count_90d) }}),
        ('has_risk_flag', {{ gate_measure(has_risk_flag) }})
    ]
{%- endmacro %}

{# A measure as gates compare it. #}
{% macro gate_measure(column) -%}
    toFloat64({{ column }})
{%- endmacro %}

{# True while a gate is closed; nothing is not more than any threshold, and unknown closes none. #}
{% macro gate_is_closed(measured_value, threshold) -%}
    ({{ measured_value }} > 0 and {{ measured_value }} > {{ threshold }})
{%- endmacro %}

{# Last day of a manager's entry: nobody means an override for ever, so one that was entered without an end gets one. #}
{% macro override_valid_to(entry, days_without_end) -%}
    assumeNotNull(coalesce({{ entry }}.valid_to, {{ entry }}.valid_from + {{ days_without_end }} - 1))
{%- endmacro %}

{# Whether an entry counts, before several of one customer are compared. #}
{% macro override_validity(tier_exists, reason) -%}
    multiIf(not ({{ tier_exists }}), 'unknown_tier', trim(both ' ' from {{ reason }}) = '', 'no_reason', 'in_force')
{%- endmacro %}

{# The seeds whose rows decide scores and tiers, in the order in which a configuration version reads them. #}
{% macro configuration_seeds() -%}
score_weights,scoring_models,tier_standards,tier_policy,tier_gates,tier_benefits,potential_weights
{%- endmacro %}

{# A text that changes when any row of a configuration does; `versions` are relations with the rows that count, one per seed of
   configuration_seeds(). #}
{% macro config_version(versions) -%}
    lower(hex(sipHash64(
        {% for version in versions -%}
        (select arraySort(groupArray(toString(tuple(* except (comment))))) from {{ version }}){{ ',' if not loop.last }}
        {% endfor -%}
    )))
{%- endmacro %}
